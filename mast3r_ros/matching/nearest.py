# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The one door to nearest descriptors: build a `Database` once an image, then ask `nearest`.

The score is the dot product in float32, summed in the order of the channels with fused
multiply-adds; the first index wins a tie. Every backend keeps to that and so gives the same bits.
"""

from __future__ import annotations

import os
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mast3r_ros.matching.nearest_numpy import NumpyIndex, at_least

try:
    from mast3r_ros.matching._nearest import Index as CompiledIndex
except ImportError:  # installed where no compiler was; numpy does the work
    CompiledIndex = None  # type: ignore[assignment, misc]

Backend = Literal["cpp", "numpy"]
Answer = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]
_LONGEST = 1e18  # the product of two such norms is still a float32


class UnfitDescriptorsError(ValueError):
    """A row is NaN, inf, or so long that scores could be."""


class _Index(Protocol):
    def nearest(
        self, queries: NDArray[np.float32], *, threads: int, second: bool, least: float = ...
    ) -> Answer: ...


@runtime_checkable
class Searchable(Protocol):
    """What the matchers need: a `Database` of descriptors, or a `PointDatabase`."""

    shape: tuple[int, int] | None

    @property
    def rows(self) -> NDArray[np.float32]:
        """(N, D)."""
        ...

    def search(self, queries: NDArray[np.float32], *, threads: int, second: bool) -> Answer: ...


def default_backend() -> Backend:
    """``"cpp"`` where the extension was built, else ``"numpy"``."""
    return "numpy" if CompiledIndex is None else "cpp"


class Database:
    """The descriptors of one image, packed for searching.

    Args:
        descriptors: (N, D), or (H, W, D) over an image; converted to float32. Give the image where
            there is one: near pixels have near descriptors, and whole patches are passed over.
        backend: ``"cpp"`` or ``"numpy"``; the default is `default_backend`.
        threads: that pack; 0 means one a core.

    Raises:
        ValueError: another rank, or no channels.
        UnfitDescriptorsError: NaN, inf, or a norm above 1e18.
        ModuleNotFoundError: ``"cpp"`` was asked for and the extension is not there.
    """

    def __init__(
        self, descriptors: ArrayLike, *, backend: Backend | None = None, threads: int = 0
    ) -> None:
        array = np.asarray(descriptors, np.float32)
        if array.ndim not in (2, 3) or array.shape[-1] == 0:
            raise ValueError(f"descriptors: shape {array.shape}; give (N, D) or (H, W, D), D > 0")
        self.shape = (array.shape[0], array.shape[1]) if array.ndim == 3 else None
        self.rows: NDArray[np.float32] = _packed(array.reshape(-1, array.shape[-1]))
        self.backend = backend or default_backend()
        self._index: _Index
        if self.backend == "numpy":
            _refuse_unfit(self.rows, "descriptors")
            self._index = NumpyIndex(self.rows)
        elif self.backend != "cpp":
            raise ValueError(f'backend: {self.backend!r}; give "cpp" or "numpy"')
        elif CompiledIndex is None:
            raise ModuleNotFoundError(
                "mast3r_ros.matching._nearest was not built: reinstall with a C++17 compiler, "
                'or give backend="numpy"'
            )
        else:
            height, width = self.shape or (0, 0)
            try:
                self._index = CompiledIndex(
                    self.rows, height=height, width=width, threads=_threads(threads)
                )
            except ValueError:
                _refuse_unfit(self.rows, "descriptors")
                raise

    def __len__(self) -> int:
        return len(self.rows)

    def search(
        self,
        queries: NDArray[np.float32],
        *,
        threads: int,
        second: bool,
        least: float = -np.inf,
    ) -> Answer:
        """What `nearest` and `nearest2` call once they have checked the shapes."""
        if self.backend == "numpy":
            _refuse_unfit(queries, "queries")
        try:
            return self._index.nearest(
                queries, threads=_threads(threads), second=second, least=least
            )
        except ValueError:
            _refuse_unfit(queries, "queries")
            raise


def nearest(
    queries: ArrayLike, database: Searchable, *, threads: int = 0, least: float = -np.inf
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The database row with the largest score for each query, the first one on ties.

    Args:
        queries: (Q, D).
        database: N rows of D channels.
        threads: 0 means one a core. The answer does not depend on it.
        least: rows with a smaller score are not looked for, which saves most of the time where few
            queries have a better one: the index is -1 then, and the score -inf.

    Returns:
        indices (Q,) int64 and scores (Q,) float32.

    Raises:
        ValueError: another number of channels, or an empty database.
        UnfitDescriptorsError: NaN, inf, or a norm above 1e18.
    """
    indices, scores, _ = _search(queries, database, threads, second=False, least=least)
    return indices, scores


def nearest2(queries: ArrayLike, database: Searchable, *, threads: int = 0) -> Answer:
    """`nearest`, and for ratio tests the best score (Q,) of any other row, -inf without one."""
    return _search(queries, database, threads, second=True)


def _search(
    queries: ArrayLike,
    database: Searchable,
    threads: int,
    second: bool,
    least: float = -np.inf,
) -> Answer:
    rows = _packed(np.asarray(queries, np.float32))
    channels = database.rows.shape[1]
    if rows.ndim != 2 or rows.shape[1] != channels:
        raise ValueError(f"queries: shape {rows.shape}; the database needs (Q, {channels})")
    if not len(rows):
        return np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32)
    if not len(database.rows):
        raise ValueError("database: empty, so that nothing is nearest; test len(database) first")
    if isinstance(database, Database):
        return database.search(rows, threads=threads, second=second, least=least)
    indices, scores, others = database.search(rows, threads=threads, second=second)
    return *at_least(indices, scores, least), others


def _packed(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.require(array, requirements=("C", "ALIGNED"))


def _threads(threads: int) -> int:
    if threads < 0:
        raise ValueError(f"threads: {threads}; give 0 for one a core, or a number of them")
    return threads or len(os.sched_getaffinity(0))


def _refuse_unfit(rows: NDArray[np.float32], name: str) -> None:
    """Names the first row whose scores could be NaN or inf."""
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    unfit = np.flatnonzero(~(norms < _LONGEST))
    if unfit.size:
        what = "a norm above 1e18" if np.isfinite(rows[unfit[0]]).all() else "NaN or inf"
        raise UnfitDescriptorsError(f"{name}: {what} in row {unfit[0]}; leave such rows out")
