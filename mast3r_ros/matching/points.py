# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Points of a point map as features: the other way of matching that the MASt3R paper compares."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from mast3r_ros.matching.nearest import Answer


class PointDatabase:
    """The 3-D points of one image in a k-d tree; the score is the negative distance.

    Args:
        points: (N, 3), or (H, W, 3) over an image, in a frame that both images share [m].

    Raises:
        ValueError: another shape, NaN or inf.
    """

    def __init__(self, points: ArrayLike) -> None:
        array = np.asarray(points, np.float32)
        if array.ndim not in (2, 3) or array.shape[-1] != 3:
            raise ValueError(f"points: shape {array.shape}; give (N, 3) or (H, W, 3)")
        self.shape = (array.shape[0], array.shape[1]) if array.ndim == 3 else None
        self.rows: NDArray[np.float32] = np.ascontiguousarray(array.reshape(-1, 3))
        if not np.isfinite(self.rows).all():
            raise ValueError("points: NaN or inf; leave such points out")
        # Of equal points the tree holds the first, which then wins the tie.
        self._first = np.unique(self.rows, axis=0, return_index=True)[1]
        self._tree = cKDTree(self.rows[self._first])

    def __len__(self) -> int:
        return len(self.rows)

    def search(self, queries: NDArray[np.float32], *, threads: int, second: bool) -> Answer:
        """What `nearest` calls. There is no second best here: `second` must be false."""
        if second:
            raise ValueError("points: no second best; ratio tests are for descriptors")
        if not np.isfinite(queries).all():
            raise ValueError("queries: NaN or inf; leave such points out")
        distances, found = self._tree.query(queries, workers=threads or -1)
        return self._first[found], -distances.astype(np.float32), np.empty(0, np.float32)
