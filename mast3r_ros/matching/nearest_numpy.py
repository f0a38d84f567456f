# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Nearest descriptors in numpy: what the C++ kernel computes, where no compiler was at hand.

A matrix product in blocks finds the few candidates of each query whose score is within rounding of the best;
these are scored again in the order that every backend shares (`canonical_scores`), so that the index and
the score are the same bits whichever backend answered.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_QUERY_BLOCK = 1024
_DATABASE_BLOCK = 4096


def canonical_scores(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Dot products of rows, ``acc = fma(a[k], b[k], acc)`` for k = 0, 1, ... in float32.

    Args:
        a: (N, D) float32.
        b: (N, D) float32.

    Returns:
        (N,) float32. A product of two float32 is exact in float64, so one float64 addition rounded
        to float32 is the fused multiply-add (but for double rounding, once in 2^29).
    """
    score = np.zeros(len(a), np.float32)
    for k in range(a.shape[1]):
        score = (a[:, k].astype(np.float64) * b[:, k] + score).astype(np.float32)
    return score


class NumpyIndex:
    """Descriptors of one image, searched by matrix products in blocks.

    Args:
        descriptors: (N, D) float32, finite.
    """

    def __init__(self, descriptors: NDArray[np.float32]) -> None:
        self._rows = descriptors
        norms = np.sqrt(np.einsum("nd,nd->n", descriptors, descriptors, dtype=np.float64))
        self._largest_norm = float(norms.max(initial=0.0))

    def nearest(
        self, queries: NDArray[np.float32], threads: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Index (Q,) and score (Q,) of the largest dot product, first index on ties."""
        del threads  # the BLAS library has its own
        indices = np.empty(len(queries), np.int64)
        scores = np.empty(len(queries), np.float32)
        for start in range(0, len(queries), _QUERY_BLOCK):
            block = slice(start, start + _QUERY_BLOCK)
            indices[block], scores[block] = self._nearest_of_block(queries[block])
        return indices, scores

    def nearest2(
        self, queries: NDArray[np.float32], threads: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """`nearest`, and the best score (Q,) of any other row (-inf where there is none)."""
        indices, scores = self.nearest(queries, threads)
        second = np.full(len(queries), -np.inf, np.float32)
        for start in range(0, len(self._rows), _DATABASE_BLOCK):
            products = queries @ self._rows[start : start + _DATABASE_BLOCK].T
            inside = (indices >= start) & (indices < start + products.shape[1])
            products[np.flatnonzero(inside), indices[inside] - start] = -np.inf
            np.maximum(second, products.max(axis=1), out=second)
        return indices, scores, np.minimum(second, scores)

    def _nearest_of_block(
        self, queries: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        norms = np.sqrt(np.einsum("nd,nd->n", queries, queries, dtype=np.float64))
        # Twice the error bound of a float32 dot product, for the product and for the shared order.
        error = 2.0 * queries.shape[1] * 2.0**-23 * norms * self._largest_norm + 1e-37
        best = np.full(len(queries), -np.inf, np.float32)
        found: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
        for start in range(0, len(self._rows), _DATABASE_BLOCK):
            products = queries @ self._rows[start : start + _DATABASE_BLOCK].T
            np.maximum(best, products.max(axis=1), out=best)
            near = products >= (best - error).astype(np.float32)[:, None]
            query, row = np.divmod(np.flatnonzero(near), products.shape[1])
            found.append((query, row + start))
        query = np.concatenate([q for q, _ in found])
        row = np.concatenate([r for _, r in found])
        exact = canonical_scores(queries[query], self._rows[row])
        order = np.lexsort((row, -exact, query))
        first = order[np.unique(query[order], return_index=True)[1]]
        return row[first].astype(np.int64), exact[first]
