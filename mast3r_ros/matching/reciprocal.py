# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reciprocal matches: pairs in which each is the other's nearest."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mast3r_ros.matching.nearest import Database, nearest, nearest2


def mutual_nearest(
    reference: Database | ArrayLike,
    query: Database | ArrayLike,
    *,
    min_score: float | None = None,
    ratio: float | None = None,
    threads: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """All pairs of rows in which each is the other's nearest (largest dot product).

    Give a `Database` for an image that is matched more than once: it is packed only once.

    Args:
        reference: (N, D) descriptors or their `Database`.
        query: (M, D) descriptors or their `Database`.
        min_score: keep pairs with at least this dot product.
        ratio: Lowe's ratio test from the reference side, for unit-norm descriptors: keep pairs
            whose Euclidean distance is under `ratio` times that of the second nearest query row.
        threads: 0 means one a core.

    Returns:
        pairs (P, 2) int64 of (reference row, query row) sorted by reference row, and their scores
        (P,) float32. Empty where either side is.

    Raises:
        ValueError: NaN or inf, or different numbers of channels.
    """
    reference = reference if isinstance(reference, Database) else Database(reference)
    query = query if isinstance(query, Database) else Database(query)
    if not len(reference) or not len(query):
        return np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    keep = np.ones(len(reference), np.bool_)
    if ratio is None:
        forward, scores = nearest(reference.rows, query, threads=threads)
    else:
        forward, scores, second = nearest2(reference.rows, query, threads=threads)
        # |a - b|^2 = 2 - 2 a.b for unit vectors; rounding may leave a score just above 1.
        squared = np.maximum(2.0 - 2.0 * scores.astype(np.float64), 0.0)
        keep &= squared < ratio**2 * np.maximum(2.0 - 2.0 * second.astype(np.float64), 0.0)
    if min_score is not None:
        keep &= scores >= min_score
    rows = np.flatnonzero(keep)
    targets, back_of = np.unique(forward[rows], return_inverse=True)
    back, _ = nearest(query.rows[targets], reference, threads=threads)
    rows = rows[back[back_of] == rows]
    return np.column_stack([rows, forward[rows]]), scores[rows]
