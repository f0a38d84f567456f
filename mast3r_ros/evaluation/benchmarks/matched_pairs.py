# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Ways of matching compared on pairs of views, by the pose that the matches alone give.

The reference's depth is the true one, so that no way is better or worse by its points.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.kinds import WORLDS
from mast3r_ros.datasets.options import PairOptions
from mast3r_ros.datasets.recording import PosedPair
from mast3r_ros.datasets.registry import open_dataset
from mast3r_ros.evaluation.benchmarks.answer import Solver
from mast3r_ros.evaluation.benchmarks.base import Ask, Benchmark, BenchmarkError, Record, Task
from mast3r_ros.evaluation.benchmarks.options import BenchmarkOptions
from mast3r_ros.evaluation.pose_error import PoseError
from mast3r_ros.frontends.mast3r.frontend import Mast3rFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.absolute_pose import ransac
from mast3r_ros.geometry.overlap import depth_at, reproject

_MIN_OVERLAP = 0.3
_THRESHOLD = 4.0  # pixels, of an image as large as the network's
_AUC_DEGREES = 5.0
_NEAR = 5.0  # pixels, of the query itself
AUC_LABEL = f"AUC of the pose error to {_AUC_DEGREES:g} degrees [%]"


class MatchedPairs(Benchmark):
    """Pairs of views, each matched in several ways."""

    data_hint = (
        "Give worlds, for rendered rooms, or a folder in the TUM layout with depth: Download one "
        "as for the benchmark tum"
    )

    def __init__(self, data: Path, options: BenchmarkOptions) -> None:
        """A source of pairs with depth."""
        if str(data) == WORLDS:
            self.data, self.options = data, options
        else:
            super().__init__(data, options)

    @abstractmethod
    def compare(self, pair: PosedPair, front_end: Mast3rFrontEnd) -> Record:
        """A pair's `ways`: figures by way, see `way_of`, and the `seconds` of it all."""

    def tasks(self) -> Sequence[Task]:
        """One task of all pairs."""
        count = self.options.count
        return [Task("pairs", tuple(f"pair {i:05d}" for i in range(count)))]

    def prepare(self, task: Task, solver: Solver) -> Ask:
        """Read the pairs as far as they are asked for."""
        front_end = solver.front_end
        if not isinstance(front_end, Mast3rFrontEnd):
            raise BenchmarkError(f"{self.name}: dense descriptors are needed: --front-end mast3r")
        options = PairOptions(self.options.count, _MIN_OVERLAP, self.options.seed)
        source = open_dataset(self.data).pairs(options)
        read: list[PosedPair] = []

        def ask(query: str) -> Record:
            number = int(query.rpartition(" ")[2])
            while len(read) <= number:
                pair = next(source, None)
                if pair is None:
                    raise BenchmarkError(f"{self.data} has {len(read)} pairs: lower --count")
                read.append(pair)
            return self.compare(read[number], front_end)

        return ask

    def summarize(self, records: Sequence[Record]) -> dict[str, float | None]:
        """Of each way: AUC of the pose error to 5 degrees, and means of what `way_of` says."""
        figures: dict[str, float | None] = {"pairs": len(records)}
        found = [r["ways"] for r in records if "ways" in r]
        for way in found[0] if found else ():
            some = [ways[way] for ways in found]
            errors = np.array([w["error_deg"] for w in some])
            figures[f"{way}: AUC@5"] = float(np.maximum(0.0, 1.0 - errors / _AUC_DEGREES).mean())
            figures[f"{way}: within_5px"] = float(np.mean([w["within_5px"] for w in some]))
            figures[f"{way}: time_ms"] = float(np.mean([w["ms"] for w in some]))
            figures[f"{way}: matches"] = float(np.mean([w["matches"] for w in some]))
        return figures

    def about(self) -> dict[str, Any]:
        """The pairs."""
        return {"count": self.options.count, "seed": self.options.seed}


def curve(
    figures: Mapping[str, float | None], ways: Sequence[str], quantity: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A quantity and the AUC [%] of some ways, (N,) each."""
    x = np.array([figures[f"{way}: {quantity}"] for way in ways], np.float64)
    return x, 100.0 * np.array([figures[f"{way}: AUC@5"] for way in ways], np.float64)


def way_of(
    pair: PosedPair,
    reference_pixels: NDArray[np.floating],
    query_pixels: NDArray[np.floating],
    seconds: float,
    scale: float,
) -> dict[str, float]:
    """What a way of matching gave.

    Args:
        pair: the views.
        reference_pixels, query_pixels: (N, 2) matches, in the original images.
        seconds: they took.
        scale: the front end's `pixel_error_scale`.
    """
    return {
        "matches": len(query_pixels),
        "ms": round(1e3 * seconds, 3),
        "error_deg": round(_error(pair, reference_pixels, query_pixels, scale), 4),
        "within_5px": round(_near(pair, reference_pixels, query_pixels), 4),
    }


def _near(
    pair: PosedPair, reference_pixels: NDArray[np.floating], query_pixels: NDArray[np.floating]
) -> float:
    """Share of the matches that are right to some pixels, of those whose depth is known."""
    reference, query = pair.reference, pair.query
    assert reference.depth is not None
    assert reference.camera is not None
    assert query.camera is not None
    query_reference = transforms.inverse(pair.motion)
    there = reproject(
        reference_pixels, reference.depth, reference.camera, query.camera, query_reference
    )
    off = np.linalg.norm(there - query_pixels, axis=1)
    known = np.isfinite(off)
    return float((off[known] < _NEAR).mean()) if known.any() else 0.0


def _error(
    pair: PosedPair,
    reference_pixels: NDArray[np.floating],
    query_pixels: NDArray[np.floating],
    scale: float,
) -> float:
    """Greater error of rotation and direction [degrees]; 180 without a pose."""
    reference, camera = pair.reference, pair.query.camera
    assert reference.depth is not None
    assert reference.camera is not None
    assert camera is not None
    points = reference.camera.unproject(
        reference_pixels, depth_at(reference.depth, reference_pixels)
    )
    rays = camera.normalize(query_pixels)[:, :2]
    pose = ransac(points, rays, (camera.fx, camera.fy), _THRESHOLD * scale)
    if pose is None:
        return 180.0
    error = PoseError.of(pose, pair.motion)
    return float(min(180.0, max(error.rotation_deg, error.direction_deg)))
