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

# The memory of a block of products is used again: fresh memory costs more than the products.
_QUERY_BLOCK = 1024
_DATABASE_BLOCK = 2048
_LOWEST = np.finfo(np.float32).min
_MOST_CANDIDATES = 1 << 20  # gathered before they are thinned out: many rows may be equal


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
        self,
        queries: NDArray[np.float32],
        *,
        threads: int,
        second: bool,
        least: float = -np.inf,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Index and score of the best row; where `second`, the best score of any other row.

        See `at_least` for what `least` does.
        """
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
        return *at_least(indices, scores, least), seconds

    def _best(
        self, queries: NDArray[np.float32], excluded: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The best row of each query but the one excluded (-1: none is)."""
        # Twice the error of a float32 dot product: the product's, and that of the shared order.
        error = 2.0 * queries.shape[1] * 2.0**-23 * _norms(queries) * self._longest + 1e-37
        top = np.full(len(queries), -np.inf, np.float32)
        candidates = np.zeros((2, 0), np.int64)
        found = [candidates]
        memory = np.empty(len(queries) * _DATABASE_BLOCK, np.float32)
        reaches = np.empty(len(queries) * _DATABASE_BLOCK, np.bool_)
        for start in range(0, len(self._rows), _DATABASE_BLOCK):
            rows = self._rows[start : start + _DATABASE_BLOCK]
            shape = len(queries), len(rows)
            products = memory[: len(queries) * len(rows)].reshape(shape)
            near = reaches[: len(queries) * len(rows)].reshape(shape)
            np.matmul(queries, rows.T, out=products)
            here = (excluded >= start) & (excluded < start + len(rows))
            products[here, excluded[here] - start] = -np.inf
            np.maximum(top, products.max(axis=1), out=top)
            floor = np.nextafter((top - error).astype(np.float32), np.float32(-np.inf))
            # Above -inf, which is what was excluded.
            np.greater_equal(products, np.maximum(floor, _LOWEST)[:, None], out=near)
            query, row = np.divmod(np.flatnonzero(near), len(rows))
            found.append(np.stack([query, row + start]))
            if sum(map(np.size, found)) > _MOST_CANDIDATES:
                found = [self._best_of(queries, np.concatenate(found, axis=1))[0]]
        candidates, scores = self._best_of(queries, np.concatenate(found, axis=1))
        return candidates[1], scores

    def _best_of(
        self, queries: NDArray[np.float32], candidates: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Of candidates (2, N), queries and rows, the best row of each query: (2, Q) and scores."""
        query, row = candidates
        exact = canonical_scores(queries, self._rows, query, row)
        # Best first, then the first row: of each query the first counts.
        order = np.lexsort((row, -exact, query))
        first = order[np.unique(query[order], return_index=True)[1]]
        return candidates[:, first], exact[first]


def at_least(
    indices: NDArray[np.int64], scores: NDArray[np.float32], least: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Indices, -1 where the score is smaller than `least`, and scores, -inf there."""
    found = scores >= np.float32(least)
    return np.where(found, indices, -1), np.where(found, scores, np.float32(-np.inf))


def _norms(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    return norms
