# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A trained FAISS index of global descriptors: too many to compare them all in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

# Cells that are searched for one query. Of 20,000 made-up descriptors (141 cells), 8, 16 and 32
# find 98, 99.4 and 99.9 % of the five most alike, in 0.3, 0.5 and 0.9 ms; of 100,000 (316 cells),
# 16 find 94 %.
_PROBES = 32
# Descriptors that each cell's center is computed from, and rounds of k-means: more change little.
_SAMPLES, _ROUNDS = 40, 8


@dataclass(frozen=True)
class Trained:
    """An index of cells.

    Attributes:
        index: of FAISS, with all descriptors.
        centroids: (C, G) centers of its cells.
        ids: (N,) of the keyframes whose descriptors it has.
    """

    index: Any
    centroids: NDArray[np.float32]
    ids: NDArray[np.int64]


@dataclass(frozen=True)
class Training:
    """What an index is trained of, as it was at one moment: any thread may run it.

    Attributes:
        ids: (N,) of keyframes.
        descriptors: (N, G) theirs.
    """

    ids: NDArray[np.int64]
    descriptors: NDArray[np.float32]

    def run(self) -> Trained:
        """Train the index; takes seconds."""
        centroids = train(self.descriptors)
        index = make_index(centroids)
        add(index, self.ids, self.descriptors)
        return Trained(index, centroids, self.ids)


def train(descriptors: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """Centers of cells, as many as the root of the number of descriptors: (C, G).

    Args:
        descriptors: (N, G).
        seed: of the sample that is used.
    """
    count = max(round(len(descriptors) ** 0.5), 1)
    some = np.random.default_rng(seed).permutation(len(descriptors))[: _SAMPLES * count]
    kmeans = faiss.Kmeans(
        descriptors.shape[1], count, niter=_ROUNDS, spherical=True, seed=seed,
        min_points_per_centroid=1,
    )  # fmt: skip
    kmeans.train(np.ascontiguousarray(descriptors[np.sort(some)]))
    return np.asarray(kmeans.centroids, np.float32).reshape(count, -1)


def make_index(centroids: NDArray[np.float32]) -> Any:
    """An empty index, of float16, of the cells about some centers (C, G)."""
    length = centroids.shape[1]
    quantizer = faiss.IndexFlatIP(length)
    quantizer.add(centroids)
    index: Any = faiss.IndexIVFScalarQuantizer(
        quantizer, length, len(centroids), faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.by_residual = False
    index.train(centroids)
    # What is removed or asked for by its id is found without a scan.
    index.set_direct_map_type(2)  # DirectMap::Hashtable
    index.nprobe = min(_PROBES, len(centroids))
    return index


def cells_of(index: Any, descriptors: NDArray[np.float32]) -> NDArray[np.int64]:
    """(N,) cells of descriptors (N, G)."""
    _, cells = index.quantizer.search(np.ascontiguousarray(descriptors, np.float32), 1)
    return np.asarray(cells[:, 0])


def cells_by_id(index: Any, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) cells in which the descriptors of keyframes (N,) are."""
    places = index.direct_map
    # The upper half of a place is the cell, the lower half the row in it.
    return np.array([places.get(int(i)) >> 32 for i in ids], np.int64)


def add(
    index: Any,
    ids: NDArray[np.int64],
    descriptors: NDArray[np.float32],
    cells: NDArray[np.int64] | None = None,
) -> None:
    """Add descriptors (N, G) to cells (N,); those of -1, or all without cells, are looked up."""
    descriptors = np.ascontiguousarray(descriptors, np.float32)
    cells = np.full(len(ids), -1) if cells is None else cells.copy()
    unknown = (cells < 0) | (cells >= index.nlist)
    if unknown.any():
        cells[unknown] = cells_of(index, descriptors[unknown])
    pointers = [faiss.swig_ptr(np.ascontiguousarray(a, np.int64)) for a in (ids, cells)]
    index.add_core(len(ids), faiss.swig_ptr(descriptors), *pointers)
