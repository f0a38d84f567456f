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

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.recording import PosedPair
from mast3r_ros.drawing import curves
from mast3r_ros.engines.base import to_numpy
from mast3r_ros.evaluation.benchmarks.base import Record
from mast3r_ros.evaluation.benchmarks.matched_pairs import AUC_LABEL, MatchedPairs, curve, way_of
from mast3r_ros.frontends.mast3r.frontend import Mast3rFrontEnd
from mast3r_ros.matching.nearest import Database
from mast3r_ros.matching.reciprocal import grid_seeds, reciprocal

STRIDES = (2, 4, 8, 16, 32)
MODES = ("naive", "basin", "fast")
_FULL = "full"


class FastMatching(MatchedPairs):
    """All reciprocal matches of a pair, and subsets of them."""

    name = "fast-matching"
    text = "Time and accuracy of fast reciprocal matching against its stride"
    main_figure = "fast 8: AUC@5"

    def compare(self, pair: PosedPair, front_end: Mast3rFrontEnd) -> Record:
        """Every way to a set of matches, and the pose that it gives."""
        start = time.perf_counter()
        reference, query = front_end.describe(pair.reference), front_end.describe(pair.query)
        (decoded,) = front_end.network.decode([(reference.encoded, query.encoded)])
        first = Database(to_numpy(decoded.reference.descriptors))
        second = Database(to_numpy(decoded.query.descriptors))
        height, width = decoded.reference.descriptors.shape[:2]
        scale = front_end.pixel_error_scale(pair.query.size)
        ways = {}
        for name, (pairs, seconds) in _subsets(first, second, height, width).items():
            pixels = [
                view.transform.apply(_pixels(index, view.network_size.width))
                for view, index in zip((reference, query), pairs.T, strict=True)
            ]
            ways[name] = way_of(pair, pixels[0], pixels[1], seconds, scale)
        return {"ways": ways, "seconds": round(time.perf_counter() - start, 3)}

    def plots(self, records: Sequence[Record]) -> dict[str, bytes]:
        """Accuracy over the number of matches, and over time."""
        figures = self.summarize(records)
        if len(figures) == 1:
            return {}
        ways = {mode: [_FULL, *(f"{mode} {stride}" for stride in STRIDES)] for mode in MODES}
        return {
            f"accuracy over {title}": curves.lines(
                {mode: curve(figures, of_mode, quantity) for mode, of_mode in ways.items()},
                label,
                AUC_LABEL,
                logarithmic=True,
            )
            for title, quantity, label in (
                ("matches", "matches", "matches"),
                ("time", "time_ms", "time of matching a pair [ms]"),
            )
        }


def _subsets(
    first: Database, second: Database, height: int, width: int
) -> dict[str, tuple[NDArray[np.int64], float]]:
    """Matches (N, 2) of every way, and the seconds that they took."""
    rng = np.random.default_rng(0)
    began = time.perf_counter()
    full = reciprocal(first, second, grid_seeds(height, width, 1))
    full_seconds = time.perf_counter() - began
    weights = basin_sizes(full.basin)[full.pairs[:, 0]].astype(np.float64)
    chosen = {_FULL: (full.pairs, full_seconds)}
    for stride in STRIDES:
        began = time.perf_counter()
        fast = reciprocal(first, second, grid_seeds(height, width, stride)).pairs
        chosen[f"fast {stride}"] = fast, time.perf_counter() - began
        for mode, probability in (("naive", None), ("basin", weights / weights.sum())):
            rows = rng.choice(len(full.pairs), len(fast), replace=False, p=probability)
            chosen[f"{mode} {stride}"] = full.pairs[rows], full_seconds
    return chosen


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


def _pixels(index: NDArray[np.int64], width: int) -> NDArray[np.float64]:
    return np.column_stack([index % width, index // width]).astype(np.float64)
