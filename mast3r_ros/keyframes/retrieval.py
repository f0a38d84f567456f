# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which keyframes look like the query: a FAISS index of global descriptors, and a pose prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes import trained_index
from mast3r_ros.keyframes.trained_index import Trained, Training

# So many descriptors are all compared with a query: 10,000 of 560 numbers take 2 ms.
EXACT = 10_000
# An index is trained again once the map has grown so many times.
_GROWN = 4
# Where a prior admits so many, none of them is missed for being in a cell that is not searched.
_FEW = 4096
# Ids up to here are marked in a table of bits, of 1 MB.
_MARKED = 1 << 23


@dataclass(frozen=True)
class PosePrior:
    """Where the camera is believed to be.

    Attributes:
        pose: map <- camera, (4, 4).
        covariance: (6, 6) [m, rad], in the sense of `transforms.perturb`.
        reach: how far a keyframe may stand from the camera and still show the same things [m].
    """

    pose: Pose
    covariance: NDArray[np.float64]
    reach: float = 3.0

    @property
    def radius(self) -> float:
        """How far a keyframe may stand from the believed place [m]."""
        deviation = np.sqrt(np.linalg.eigvalsh(self.covariance[:3, :3]).max())
        return float(self.reach + 3.0 * deviation)

    def looks_along(self, poses: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(N,) whether cameras of (N, 4, 4) poses may look the same way."""
        turn = np.sqrt(np.linalg.eigvalsh(self.covariance[3:, 3:]).max())
        axes = np.clip(poses[:, :3, 2] @ self.pose[:3, 2], -1.0, 1.0)
        return np.asarray(np.arccos(axes) <= np.pi / 3 + 3.0 * turn)


class GlobalIndex:
    """Global descriptors by keyframe id, largest dot product first.

    Exact search up to some ten thousand, a matter of milliseconds; beyond, an index of cells that
    `Training` makes. On the first GPU where faiss-gpu is installed: the descriptors are uploaded
    once, what is added later is added there too. NOT RUN ON A GPU YET.
    """

    def __init__(self) -> None:
        self._index: Any = None
        self._on_gpu: Any = None
        self._gpu: Any = None
        self._centroids: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return 0 if self._index is None else int(self._index.ntotal)

    @property
    def length(self) -> int:
        """Numbers of a descriptor; 0 before there is one."""
        return 0 if self._index is None else int(self._index.d)

    @property
    def centroids(self) -> NDArray[np.float32] | None:
        """(C, G) centers of the trained index's cells; None where search is exact."""
        return self._centroids

    @property
    def wants_training(self) -> bool:
        """Whether there are more than can be searched in time as they are."""
        if self._centroids is None:
            return len(self) > EXACT
        return len(self) > _GROWN * len(self._centroids) ** 2

    def training(self) -> Training | None:
        """What an index of cells is to be trained of; None where none is wanted.

        `Training.run` takes seconds, in which any other thread may search, add and remove;
        `take` then puts its index in this one's place.
        """
        return Training(*self._all()) if self.wants_training else None

    def take(self, trained: Trained) -> None:
        """Search by the cells of an index that was trained of these descriptors.

        What was added or removed since is added to it and removed from it.
        """
        ids = self._ids()
        added = np.setdiff1d(ids, trained.ids)
        descriptors = [self._index.reconstruct(int(i)) for i in added]
        self._index, self._centroids, self._on_gpu = trained.index, trained.centroids, None
        gone = np.setdiff1d(trained.ids, ids)
        if len(gone):
            self._index.remove_ids(gone)
        if len(added):
            trained_index.add(self._index, added, np.array(descriptors))

    def use(self, centroids: NDArray[np.float32]) -> None:
        """Begin anew, empty, with the cells of an index that was trained before."""
        self._centroids, self._on_gpu = centroids, None
        self._index = trained_index.make_index(centroids)

    def cells(self, ids: Sequence[int]) -> dict[int, int]:
        """Cells of keyframes in the trained index."""
        if not len(ids):
            return {}
        found = trained_index.cells_by_id(self._index, np.array(ids, np.int64))
        return dict(zip(ids, found.tolist(), strict=True))

    def add(self, keyframe_id: int, descriptor: NDArray[np.float32]) -> None:
        """Add one descriptor, (G,).

        Raises:
            ValueError: its length is not that of the others.
        """
        self.extend(np.array([keyframe_id]), descriptor[None])

    def extend(
        self,
        ids: NDArray[np.int64],
        descriptors: NDArray[np.float32],
        cells: NDArray[np.int64] | None = None,
    ) -> None:
        """Add descriptors, (N, G), of keyframes (N,); ValueError as of `add`.

        Args:
            ids: of the keyframes.
            descriptors: theirs.
            cells: (N,) of the trained index, where they are known.
        """
        length = descriptors.shape[1]
        if self._index is None:
            self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(length))
        if length != self._index.d:
            raise ValueError(
                f"global descriptor of length {length}, the map's have {self._index.d}: "
                "one map holds the descriptions of one front end"
            )
        if self._centroids is not None:
            trained_index.add(self._index, ids, descriptors, cells)
        else:
            self._index.add_with_ids(descriptors.astype(np.float32), ids)
        if self._on_gpu is not None:
            self._on_gpu.add_with_ids(descriptors.astype(np.float32), ids)

    def remove(self, keyframe_id: int) -> None:
        """Forget a descriptor."""
        self._index.remove_ids(np.array([keyframe_id], np.int64))
        self._on_gpu = None  # FAISS cannot remove there: the next search uploads what is left

    def search(
        self, descriptor: NDArray[np.float32], k: int, among: NDArray[np.int64] | None = None
    ) -> list[int]:
        """Ids of the `k` most similar keyframes, best first; only those `among`, if given."""
        return [keyframe_id for keyframe_id, _ in self.scored(descriptor, k, among)]

    def scored(
        self, descriptor: NDArray[np.float32], k: int, among: NDArray[np.int64] | None = None
    ) -> list[tuple[int, float]]:
        """As `search`, each id with the dot product of its descriptor and the query's."""
        count = min(k, len(self) if among is None else len(among))
        if count <= 0:
            return []
        query = descriptor[None].astype(np.float32)
        if among is None:
            scores, ids = self._searchable().search(query, count)
        else:
            # Selectors exist on the CPU index alone.
            selected: Any = faiss.SearchParameters()
            if self._centroids is not None:
                selected = faiss.SearchParametersIVF()
                # Few may lie in any cell: all are searched for them.
                few = len(among) <= _FEW
                selected.nprobe = self._index.nlist if few else self._index.nprobe
            selected.sel = _selector(np.asarray(among, np.int64))
            scores, ids = self._index.search(query, count, params=selected)
        return [(int(i), float(s)) for i, s in zip(ids[0], scores[0], strict=True) if i >= 0]

    def _all(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """All ids (N,) and descriptors (N, G)."""
        ids = self._ids()
        if self._centroids is None:
            return ids, self._index.index.reconstruct_n(0, len(ids))
        return ids, self._index.reconstruct_batch(ids)

    def _ids(self) -> NDArray[np.int64]:
        """All ids (N,), in the index's order."""
        if self._centroids is None:
            return np.asarray(faiss.vector_to_array(self._index.id_map))
        lists = self._index.invlists
        return np.concatenate(
            [
                faiss.rev_swig_ptr(lists.get_ids(cell), lists.list_size(cell)).copy()
                for cell in range(lists.nlist)
                if lists.list_size(cell)
            ]
        )

    def _searchable(self) -> Any:
        if getattr(faiss, "get_num_gpus", lambda: 0)() == 0:
            return self._index
        if self._on_gpu is None:
            self._gpu = self._gpu or faiss.StandardGpuResources()
            self._on_gpu = faiss.index_cpu_to_gpu(self._gpu, 0, self._index)
        return self._on_gpu


def _selector(ids: NDArray[np.int64]) -> Any:
    """What FAISS takes to search among some keyframes (N,) alone."""
    last = int(ids.max())
    if last >= _MARKED:
        return faiss.IDSelectorBatch(ids)
    marked = np.zeros(last + 1, bool)
    marked[ids] = True
    bitmap: Any = faiss.IDSelectorBitmap  # its Python door takes the array alone
    return bitmap(np.packbits(marked, bitorder="little"))
