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

    def admits(self, keyframe_pose: Pose) -> bool:
        """Whether a keyframe may share its view, at three standard deviations."""
        offset = np.linalg.norm(keyframe_pose[:3, 3] - self.pose[:3, 3])
        return bool(offset <= self.radius and self.looks_along(keyframe_pose[None])[0])

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

    Exact search: at 10,000 keyframes it is a matter of milliseconds, far below one match. On the
    first GPU where faiss-gpu is installed: the descriptors are uploaded once, what is added later
    is added there too. NOT RUN ON A GPU YET.
    """

    def __init__(self) -> None:
        self._index: Any = None
        self._on_gpu: Any = None
        self._gpu: Any = None

    def __len__(self) -> int:
        return 0 if self._index is None else int(self._index.ntotal)

    @property
    def length(self) -> int:
        """Numbers of a descriptor; 0 before there is one."""
        return 0 if self._index is None else int(self._index.d)

    def add(self, keyframe_id: int, descriptor: NDArray[np.float32]) -> None:
        """Add one descriptor, (G,).

        Raises:
            ValueError: its length is not that of the others.
        """
        self.extend(np.array([keyframe_id]), descriptor[None])

    def extend(self, ids: NDArray[np.int64], descriptors: NDArray[np.float32]) -> None:
        """Add descriptors, (N, G), of keyframes (N,); ValueError as of `add`."""
        length = descriptors.shape[1]
        if self._index is None:
            self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(length))
        if length != self._index.d:
            raise ValueError(
                f"global descriptor of length {length}, the map's have {self._index.d}: "
                "one map holds the descriptions of one front end"
            )
        for index in (self._index, self._on_gpu):
            if index is not None:
                index.add_with_ids(descriptors.astype(np.float32), ids)

    def remove(self, keyframe_id: int) -> None:
        """Forget a descriptor."""
        self._index.remove_ids(np.array([keyframe_id], np.int64))
        self._on_gpu = None  # FAISS cannot remove there: the next search uploads what is left

    def search(
        self, descriptor: NDArray[np.float32], k: int, among: Sequence[int] | None = None
    ) -> list[int]:
        """Ids of the `k` most similar keyframes, best first; only those `among`, if given."""
        count = min(k, len(self) if among is None else len(among))
        if count <= 0:
            return []
        query = descriptor[None].astype(np.float32)
        if among is None:
            _, ids = self._searchable().search(query, count)
        else:
            # Selectors exist on the CPU index alone.
            selector = faiss.IDSelectorBatch(np.array(among, np.int64))
            selected: Any = faiss.SearchParameters()
            selected.sel = selector
            _, ids = self._index.search(query, count, params=selected)
        return [int(i) for i in ids[0] if i >= 0]

    def _searchable(self) -> Any:
        if getattr(faiss, "get_num_gpus", lambda: 0)() == 0:
            return self._index
        if self._on_gpu is None:
            self._gpu = self._gpu or faiss.StandardGpuResources()
            self._on_gpu = faiss.index_cpu_to_gpu(self._gpu, 0, self._index)
        return self._on_gpu
