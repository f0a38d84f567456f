# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Relative pose from two views' own points of the same matches: the paper's "direct regression"."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry.alignment import align
from mast3r_ros.geometry.transforms import Pose

_HYPOTHESES = 300
_ROUNDS = 5
_FEWEST = 6


def pose_from_points(
    reference_points: NDArray[np.floating],
    query_points: NDArray[np.floating],
    tolerance: float = 0.05,
    seed: int = 0,
) -> tuple[Pose, NDArray[np.bool_]] | None:
    """The rigid motion between two metric point sets of which some pairs are wrong.

    RANSAC (Fischler and Bolles, 1981) over three pairs, then alignment of the pairs that agree.

    Args:
        reference_points: (N, 3) in the reference camera's frame [m]; NaN rows are left out.
        query_points: (N, 3) the same points in the query camera's frame [m].
        tolerance: largest error of a pair that agrees, as a part of its distance: a point map's
            errors grow with distance.
        seed: the same seed gives the same answer.

    Returns:
        T_reference_query and (N,) which pairs agree, or None where fewer than six do.
    """
    target = np.asarray(reference_points, np.float64)
    source = np.asarray(query_points, np.float64)
    usable = np.flatnonzero(np.isfinite(np.hstack([target, source])).all(axis=1))
    if len(usable) < _FEWEST:
        return None
    limits = tolerance * np.linalg.norm(target, axis=1)

    def agreeing(pose: Pose) -> NDArray[np.bool_]:
        moved = source @ pose[:3, :3].T + pose[:3, 3]
        with np.errstate(invalid="ignore"):
            close: NDArray[np.bool_] = np.linalg.norm(target - moved, axis=1) < limits
        return close

    rng = np.random.default_rng(seed)
    best = np.zeros(len(target), np.bool_)
    for _ in range(_HYPOTHESES):
        three = rng.choice(usable, 3, replace=False)
        try:
            chosen = agreeing(align(target[three], source[three])[0])
        except ValueError:  # three points on one line
            continue
        if chosen.sum() > best.sum():
            best = chosen
    if best.sum() < _FEWEST:
        return None
    for _ in range(_ROUNDS):
        try:
            pose = align(target[best], source[best])[0]
        except ValueError:
            return None
        before, best = best, agreeing(pose)
        if best.sum() < _FEWEST:
            return None
        if np.array_equal(before, best):
            break
    return pose, best
