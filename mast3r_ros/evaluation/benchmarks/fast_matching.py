# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Fast reciprocal matching against the full set: time and accuracy over the stride of the seeds.

The comparison of the MASt3R paper (arXiv 2406.09756, figures 2 and 12). As many matches as the fast
walk from every k-th pixel finds are drawn from the full set of reciprocal matches: all alike
("naive"), or in proportion to how many pixels the walk leads to each ("basin"). The paper claims
that the fast walk is as accurate as the latter, and both more than the former.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.kinds import WORLDS
from mast3r_ros.datasets.options import PairOptions
from mast3r_ros.datasets.recording import PosedPair
from mast3r_ros.datasets.registry import open_dataset
from mast3r_ros.drawing import curves
from mast3r_ros.engines.base import to_numpy
from mast3r_ros.evaluation.benchmarks.answer import Solver
from mast3r_ros.evaluation.benchmarks.base import Ask, Benchmark, BenchmarkError, Record, Task
from mast3r_ros.evaluation.benchmarks.options import BenchmarkOptions
from mast3r_ros.evaluation.pose_error import PoseError
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.mast3r.description import Mast3rDescription
from mast3r_ros.frontends.mast3r.frontend import Mast3rFrontEnd
from mast3r_ros.geometry.absolute_pose import ransac
from mast3r_ros.geometry.overlap import depth_at
from mast3r_ros.matching.nearest import Database
from mast3r_ros.matching.reciprocal import grid_seeds, reciprocal

STRIDES = (2, 4, 8, 16, 32)
MODES = ("naive", "basin", "fast")
_FULL = "full"
_MIN_OVERLAP = 0.3
_THRESHOLD = 4.0  # pixels, of an image as large as the network's
_AUC_DEGREES = 5.0


class FastMatching(Benchmark):
    """Pairs of views whose pose comes from matches alone: the reference's depth is the true one."""

    name = "fast-matching"
    text = "Time and accuracy of fast reciprocal matching against its stride"
    data_hint = (
        "Give worlds, for rendered rooms, or a folder in the TUM layout with depth: Download one "
        "as for the benchmark tum"
    )
    main_figure = "fast 8: AUC@5"

    def __init__(self, data: Path, options: BenchmarkOptions) -> None:
        """A source of pairs with depth."""
        if str(data) == WORLDS:
            self.data, self.options = data, options
        else:
            super().__init__(data, options)

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
            return _compare(read[number], front_end)

        return ask

    def summarize(self, records: Sequence[Record]) -> dict[str, float | None]:
        """Of each way and stride: milliseconds, matches, AUC of the pose error to 5 degrees."""
        found = [r["ways"] for r in records if "ways" in r]
        if not found:
            return {"pairs": len(records)}
        figures: dict[str, float | None] = {"pairs": len(records)}
        for way in found[0]:
            some = [ways[way] for ways in found]
            errors = np.array([w["error_deg"] for w in some])
            figures[f"{way}: AUC@5"] = float(np.maximum(0.0, 1.0 - errors / _AUC_DEGREES).mean())
            figures[f"{way}: time_ms"] = float(np.mean([w["ms"] for w in some]))
            figures[f"{way}: matches"] = float(np.mean([w["matches"] for w in some]))
        return figures

    def plots(self, records: Sequence[Record]) -> dict[str, bytes]:
        """Accuracy over the number of matches, and over time."""
        figures = self.summarize(records)
        if len(figures) == 1:
            return {}

        def curve(mode: str, quantity: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            ways = [_FULL, *(f"{mode} {stride}" for stride in STRIDES)]
            x = np.array([figures[f"{way}: {quantity}"] for way in ways], np.float64)
            return x, 100.0 * np.array([figures[f"{way}: AUC@5"] for way in ways], np.float64)

        label = f"AUC of the pose error to {_AUC_DEGREES:g} degrees [%]"
        return {
            "accuracy over matches": curves.lines(
                {mode: curve(mode, "matches") for mode in MODES}, "matches", label, logarithmic=True
            ),
            "accuracy over time": curves.lines(
                {mode: curve(mode, "time_ms") for mode in MODES},
                "time of matching a pair [ms]",
                label,
                logarithmic=True,
            ),
        }

    def about(self) -> dict[str, Any]:
        """The pairs."""
        return {"count": self.options.count, "seed": self.options.seed}


def _compare(pair: PosedPair, front_end: Mast3rFrontEnd) -> Record:
    """Every way to a set of matches, and the pose that it gives."""
    start = time.perf_counter()
    reference, query = front_end.describe(pair.reference), front_end.describe(pair.query)
    (decoded,) = front_end.network.decode([(reference.encoded, query.encoded)])
    first = Database(to_numpy(decoded.reference.descriptors))
    second = Database(to_numpy(decoded.query.descriptors))
    height, width = decoded.reference.descriptors.shape[:2]
    rng = np.random.default_rng(0)
    began = time.perf_counter()
    full = reciprocal(first, second, grid_seeds(height, width, 1))
    full_ms = 1e3 * (time.perf_counter() - began)
    weights = basin_sizes(full.basin)[full.pairs[:, 0]].astype(np.float64)
    chosen = {_FULL: (full.pairs, full_ms)}
    for stride in STRIDES:
        began = time.perf_counter()
        fast = reciprocal(first, second, grid_seeds(height, width, stride)).pairs
        chosen[f"fast {stride}"] = fast, 1e3 * (time.perf_counter() - began)
        for mode, probability in (("naive", None), ("basin", weights / weights.sum())):
            rows = rng.choice(len(full.pairs), len(fast), replace=False, p=probability)
            chosen[f"{mode} {stride}"] = full.pairs[rows], full_ms
    scale = front_end.pixel_error_scale(pair.query.size)
    ways = {
        name: {
            "matches": len(pairs),
            "ms": round(ms, 3),
            "error_deg": round(_error(pairs, pair, (reference, query), scale), 4),
        }
        for name, (pairs, ms) in chosen.items()
    }
    return {"ways": ways, "seconds": round(time.perf_counter() - start, 3)}


def basin_sizes(step: NDArray[np.int32]) -> NDArray[np.int64]:
    """How many pixels the walk leads to each pixel.

    Args:
        step: (N,) where one round trip leads from each pixel; itself where the walk ends, -1 where
            it never came.
    """
    known = np.flatnonzero(step >= 0)
    end = step.astype(np.int64)
    # The walk took ten rounds at most; each turn here doubles the length of what is followed.
    for _ in range(5):
        further = end[known]
        end[known] = np.where(end[further] >= 0, end[further], further)
    return np.bincount(end[known], minlength=len(step))


def _error(
    pairs: NDArray[np.int64],
    pair: PosedPair,
    views: tuple[Mast3rDescription, Mast3rDescription],
    scale: float,
) -> float:
    """Greater error of rotation and direction [degrees]; 180 without a pose."""
    pixels = [
        view.transform.apply(_pixels(index, view.network_size.width))
        for view, index in zip(views, pairs.T, strict=True)
    ]
    points = _points(pair.reference, pixels[0])
    assert pair.query.camera is not None
    rays = pair.query.camera.normalize(pixels[1])[:, :2]
    focal = pair.query.camera.fx, pair.query.camera.fy
    query_reference = ransac(points, rays, focal, _THRESHOLD * scale)
    if query_reference is None:
        return 180.0
    error = PoseError.of(query_reference, pair.motion)
    return float(min(180.0, max(error.rotation_deg, error.direction_deg)))


def _points(frame: Frame, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    assert frame.depth is not None
    assert frame.camera is not None
    return frame.camera.unproject(pixels, depth_at(frame.depth, pixels))


def _pixels(index: NDArray[np.int64], width: int) -> NDArray[np.float64]:
    return np.column_stack([index % width, index // width]).astype(np.float64)
