# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Point clouds of even density."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

# Points that are compared with one another at a time, at least.
_BLOCK = 100_000


def thinned(points: NDArray[np.floating], distance: float, seed: int = 0) -> NDArray[np.int64]:
    """Points of a cloud no two of which are nearer than a distance, as many as that leaves.

    They are taken in a random order, each that has none of those before it within the distance.

    Args:
        points: (N, 3), all finite.
        distance: in their unit, more than 0.
        seed: of the order.

    Returns:
        (K,) their rows, in the order in which they were taken.
    """
    order = np.random.default_rng(seed).permutation(len(points))
    kept = np.zeros(0, np.int64)
    begin = 0
    while begin < len(order):
        # As many again as are kept already: the tree of these is built a few times in all.
        block = order[begin : begin + max(_BLOCK, len(kept))]
        begin += len(block)
        if len(kept):
            apart, _ = KDTree(points[kept]).query(
                points[block], distance_upper_bound=distance, workers=-1
            )
            block = block[np.isinf(apart)]
        kept = np.concatenate([kept, block[_first_of_each(points[block], distance)]])
    return kept


def _first_of_each(points: NDArray[np.floating], distance: float) -> NDArray[np.bool_]:
    """Which points (N,) have none of those that are taken before them within a distance."""
    taken = np.zeros(len(points), bool)
    undecided = np.ones(len(points), bool)
    pairs = KDTree(points).query_pairs(distance, output_type="ndarray")
    while undecided.any():
        # The first of all its undecided neighbors is taken, whatever becomes of others.
        later = np.zeros(len(points), bool)
        later[pairs[:, 1]] = True
        now = undecided & ~later
        taken |= now
        undecided &= ~now
        undecided[pairs[now[pairs[:, 0]], 1]] = False
        pairs = pairs[undecided[pairs].all(1)]
    return taken
