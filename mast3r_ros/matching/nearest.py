# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The one door to nearest descriptors: build a `Database` once an image, then ask `nearest`.

The score is the dot product in float32, added up in the order of the channels with fused
multiply-adds; the first index wins a tie. Every backend keeps to that order and so gives the same
bits: ``cpp`` (the default where the extension was built), ``numpy`` and ``cuda``.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mast3r_ros.matching.nearest_numpy import NumpyIndex

Backend = Literal["cpp", "numpy", "cuda"]


class _Index(Protocol):
    def nearest(
        self, queries: NDArray[np.float32], threads: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...

    def nearest2(
        self, queries: NDArray[np.float32], threads: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]: ...


class Database:
    """The descriptors of one image, packed for searching.

    Args:
        descriptors: (N, D) or, row-major over an image, (H, W, D); converted to float32.
        backend: ``"cpp"`` or ``"numpy"``.

    Raises:
        ValueError: the array has another rank, no channels, or holds NaN or inf.
    """

    def __init__(self, descriptors: ArrayLike, *, backend: Backend = "numpy") -> None:
        array = np.asarray(descriptors, np.float32)
        if array.ndim not in (2, 3) or array.shape[-1] == 0:
            raise ValueError(f"descriptors: shape {array.shape}; give (N, D) or (H, W, D)")
        self.rows = checked_rows(array.reshape(-1, array.shape[-1]), "descriptors")
        self.backend = backend
        self._index: _Index = NumpyIndex(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def checked_rows(array: ArrayLike, name: str) -> NDArray[np.float32]:
    """`array` as C-contiguous float32 (N, D), refused where not finite."""
    rows = np.ascontiguousarray(array, np.float32)
    if rows.ndim != 2:
        raise ValueError(f"{name}: shape {rows.shape}; give (N, D)")
    if not np.isfinite(rows).all():
        bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise ValueError(f"{name}: NaN or inf in row {bad}; mask such rows out before matching")
    return rows


def _checked_queries(queries: ArrayLike, database: Database) -> NDArray[np.float32]:
    rows = checked_rows(queries, "queries")
    if rows.shape[1] != database.rows.shape[1]:
        raise ValueError(
            f"queries: {rows.shape[1]} channels, the database has {database.rows.shape[1]}"
        )
    if len(rows) and not len(database):
        raise ValueError("database: empty, so that no query has a nearest; test len(database) first")
    return rows


def nearest(
    queries: ArrayLike, database: Database, *, threads: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The database row with the largest dot product for each query, the first one on ties.

    Args:
        queries: (Q, D).
        database: N rows of D channels.
        threads: 0 means one a core. The answer does not depend on it.

    Returns:
        indices (Q,) int64 and scores (Q,) float32.

    Raises:
        ValueError: NaN or inf, another number of channels, or an empty database.
    """
    rows = _checked_queries(queries, database)
    if not len(rows):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    return database._index.nearest(rows, threads)


def nearest2(
    queries: ArrayLike, database: Database, *, threads: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """`nearest`, and for ratio tests the best score (Q,) of any other row, -inf where there is none."""
    rows = _checked_queries(queries, database)
    if not len(rows):
        return np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32)
    return database._index.nearest2(rows, threads)
