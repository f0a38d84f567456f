# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Nearest descriptors in numpy: what the C++ kernels compute, where no compiler was at hand.

A matrix product in blocks finds the few rows whose score is within rounding of a query's best.
Those are scored again in the order that every backend keeps to (`canonical_scores`), so that the
index and the score are the same bits whichever backend answered.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_QUERY_BLOCK = 1024
_DATABASE_BLOCK = 4096


def canonical_scores(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    a_rows: NDArray[np.intp],
    b_rows: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Dot products of some rows: ``sum = fma(a[k], b[k], sum)`` for k = 0, 1, ... in float32.

    Args:
        a: (A, D) float32.
        b: (B, D) float32.
        a_rows: (N,) rows of `a`.
        b_rows: (N,) rows of `b`.

    Returns:
        (N,) float32. A product of two float32 is exact in float64, so a float64 addition rounded to
        float32 is the fused one (but for double rounding, one time in 2^29).
    """
    score = np.zeros(len(a_rows), np.float32)
    for k in range(a.shape[1]):
        product = a[a_rows, k].astype(np.float64) * b[b_rows, k]
        score = (product + score).astype(np.float32)
    return score


class NumpyIndex:
    """Descriptors of one image, searched by matrix products in blocks.

    Args:
        rows: (N, D) float32, finite.
    """

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self._rows = rows
        self._longest = float(_norms(rows).max(initial=0.0))

    def nearest(
        self, queries: NDArray[np.float32], *, threads: int, second: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Index and score of the best row; where `second`, the best score of any other row."""
        del threads  # the BLAS library has its own
        indices = np.empty(len(queries), np.int64)
        scores, seconds = np.full((2, len(queries)), -np.inf, np.float32)
        nothing = np.full(_QUERY_BLOCK, -1)
        for start in range(0, len(queries), _QUERY_BLOCK):
            part = slice(start, start + _QUERY_BLOCK)
            some = queries[part]
            indices[part], scores[part] = self._best(some, nothing[: len(some)])
            if second and len(self._rows) > 1:
                seconds[part] = self._best(some, indices[part])[1]
        return indices, scores, seconds

    def _best(
        self, queries: NDArray[np.float32], excluded: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The best row of each query but the one excluded (-1: none is)."""
        # Twice the error of a float32 dot product: the product's, and that of the shared order.
        error = 2.0 * queries.shape[1] * 2.0**-23 * _norms(queries) * self._longest + 1e-37
        best = np.full(len(queries), -np.inf, np.float32)
        index = np.full(len(queries), len(self._rows), np.int64)
        for start in range(0, len(self._rows), _DATABASE_BLOCK):
            rows = self._rows[start : start + _DATABASE_BLOCK]
            products = queries @ rows.T
            here = (excluded >= start) & (excluded < start + len(rows))
            products[here, excluded[here] - start] = -np.inf
            floor = (np.maximum(best, products.max(axis=1)) - error).astype(np.float32)
            near = products >= np.nextafter(floor, np.float32(-np.inf))[:, None]
            query, row = np.nonzero(near & (products > -np.inf))
            exact = canonical_scores(queries, rows, query, row)
            # Best first, then the first row: a query's first candidate is its best of this block.
            order = np.lexsort((row, -exact, query))
            first = order[np.unique(query[order], return_index=True)[1]]
            first = first[exact[first] > best[query[first]]]
            best[query[first]] = exact[first]
            index[query[first]] = row[first] + start
        return index, best


def _norms(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    return norms
