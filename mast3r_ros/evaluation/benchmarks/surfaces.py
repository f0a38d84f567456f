# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How far a cloud is from a scanned surface: accuracy and completeness as the DTU data set has it.

After Jensen et al., "Large Scale Multi-view Stereopsis Evaluation", CVPR 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from mast3r_ros.datasets.dtu import DtuTruth
from mast3r_ros.geometry.thinning import thinned

# Points of a cloud are no nearer to each other [mm]: where it is denser, it counts no more.
SPACING = 0.2
# Distances beyond are outliers, and not part of the means [mm].
FARTHEST = 20.0


@dataclass(frozen=True)
class SurfaceScore:
    """Mean distances [mm]; infinite where nothing is near.

    Attributes:
        accuracy: of the cloud's points from the truth.
        completeness: of the truth's points from the cloud.
    """

    accuracy: float
    completeness: float

    @property
    def overall(self) -> float:
        """The mean of both."""
        return (self.accuracy + self.completeness) / 2.0


def judged(points: NDArray[np.float64], truth: DtuTruth, seed: int = 0) -> NDArray[np.float64]:
    """The points (N, 3) [mm] of a cloud that count: thinned, and where the scanner could see."""
    kept = points[thinned(points, SPACING, seed)]
    voxel = np.rint((kept - truth.corner) / truth.resolution).astype(np.int64)
    inside = ((voxel >= 0) & (voxel < truth.observed.shape)).all(1)
    kept, voxel = kept[inside], voxel[inside]
    return np.asarray(kept[truth.observed[tuple(voxel.T)]])


def surface_score(points: NDArray[np.float64], truth: DtuTruth) -> SurfaceScore:
    """Compare points (N, 3) [mm], see `judged`, with the truth."""
    homogeneous = np.column_stack([truth.points, np.ones(len(truth.points))])
    above = truth.points[homogeneous @ truth.plane > 0]
    return SurfaceScore(_mean_distance(points, truth.points), _mean_distance(above, points))


def _mean_distance(points: NDArray[np.float64], surface: NDArray[np.float64]) -> float:
    """Mean distance from the nearest point of a surface, outliers left out."""
    if not len(points) or not len(surface):
        return float(np.inf)
    apart, _ = KDTree(surface).query(points, distance_upper_bound=FARTHEST, workers=-1)
    near = apart[np.isfinite(apart)]
    return float(near.mean()) if len(near) else float(np.inf)
