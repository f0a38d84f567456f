# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What matching yields: pixels of two images that show the same point of the world."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Correspondences:
    """Matches between a reference image (a keyframe) and a query image.

    Pixels are those of the ORIGINAL images, pixel centers at integers.

    Attributes:
        reference_pixels, query_pixels: (N, 2) float32 [pixels].
        confidence: (N,) float32 in [0, 1].
        reference_points: (N, 3) float32 [m], in the reference camera's frame, NaN where unknown.
        depth_sigma: (N,) float32, standard deviation of each point's distance over that distance:
            above 0 wherever the point is known, since sensors and triangulation have errors too.
        metric: False where the points are up to scale, or there are none.
        query_points: (N, 3) float32 [m], in the query camera's frame; None where the front end
            makes none.
        correlation: how many times larger the standard deviations of a pose by these matches are
            than if their errors had nothing in common; a network is wrong about neighbors alike.
        min_inlier_ratio: a smaller share of these matches that agree may be chance; None takes what
            the front end needs. Points that a network guessed ask for more than measured ones.
    """

    reference_pixels: NDArray[np.float32]
    query_pixels: NDArray[np.float32]
    confidence: NDArray[np.float32]
    reference_points: NDArray[np.float32]
    depth_sigma: NDArray[np.float32]
    metric: bool
    query_points: NDArray[np.float32] | None = None
    correlation: float = 1.0
    min_inlier_ratio: float | None = None
    predicted: bool = False
    scale: float = 1.0
    scale_sigma: float = 0.0

    def __post_init__(self) -> None:
        count = len(self.confidence)
        for name, width in (("reference_pixels", 2), ("query_pixels", 2), ("reference_points", 3)):
            shape = getattr(self, name).shape
            if shape != (count, width):
                raise ValueError(f"{name} of shape {shape}: expected ({count}, {width})")
        if self.depth_sigma.shape != (count,):
            raise ValueError(f"depth_sigma of shape {self.depth_sigma.shape}: expected ({count},)")
        known = np.isfinite(self.reference_points).all(axis=1)
        if not (self.depth_sigma[known] > 0).all():
            raise ValueError("depth_sigma: a point that is known needs a deviation above 0")
        if self.query_points is not None and self.query_points.shape != (count, 3):
            raise ValueError(
                f"query_points of shape {self.query_points.shape}: expected ({count}, 3)"
            )

    def __len__(self) -> int:
        return len(self.confidence)

    def select(self, which: NDArray[Any]) -> Correspondences:
        """The matches that a mask or an index array picks."""
        return replace(
            self,
            reference_pixels=self.reference_pixels[which],
            query_pixels=self.query_pixels[which],
            confidence=self.confidence[which],
            reference_points=self.reference_points[which],
            depth_sigma=self.depth_sigma[which],
            query_points=None if self.query_points is None else self.query_points[which],
        )

    def rescaled(self, scale: float, sigma: float) -> Correspondences:
        """Those of a network with another `scale` in place of theirs; measured ones as they are."""
        if not self.predicted or (scale, sigma) == (self.scale, self.scale_sigma):
            return self
        by, own = np.float32(scale / self.scale), self.query_points
        return replace(
            self,
            reference_points=self.reference_points * by,
            query_points=None if own is None else own * by,
            scale=scale,
            scale_sigma=sigma,
        )
