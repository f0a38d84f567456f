# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The map: keyframes, which of them look like a query, and their way to disk and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import Description, FrontEnd
from mast3r_ros.frontends.features import FeatureFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes import store as storage
from mast3r_ros.keyframes.keyframe import Keyframe, make_thumbnail
from mast3r_ros.keyframes.retrieval import GlobalIndex, PosePrior
from mast3r_ros.keyframes.triangulation import choose_neighbors, triangulated

_NEIGHBORS = 6


class KeyframeMap:
    """Keyframes described by one front end, in one map frame.

    Not safe for use by several threads at once: a node guards it with a lock.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        """An empty map for the descriptions of `front_end`."""
        self.front_end = front_end
        self._keyframes: dict[int, Keyframe] = {}
        self._index = GlobalIndex()
        self._next_id = 0

    def __len__(self) -> int:
        return len(self._keyframes)

    def __iter__(self) -> Iterator[Keyframe]:
        return iter(self._keyframes.values())

    @property
    def next_id(self) -> int:
        """The id that the next keyframe will get."""
        return self._next_id

    def __getitem__(self, keyframe_id: int) -> Keyframe:
        """A keyframe by its id.

        Raises:
            KeyError: there is none of that id.
        """
        if keyframe_id not in self._keyframes:
            known = f"ids {min(self._keyframes)} to {max(self._keyframes)}" if self else "none"
            raise KeyError(f"no keyframe {keyframe_id} in the map, which holds {known}")
        return self._keyframes[keyframe_id]

    def add(self, frame: Frame, pose: Pose, description: Description | None = None) -> int:
        """Make a frame a keyframe.

        A frame without depth gets metric points by triangulation with its neighbors, and gives
        neighbors without depth new ones.

        Args:
            frame: the image; its `depth`, where known, gives the keyframe its metres.
            pose: map <- camera, (4, 4).
            description: what `front_end.describe(frame)` returned, to save doing it again.

        Returns:
            The keyframe's id.

        Raises:
            ValueError: the pose is not a finite rigid transform.
        """
        if not transforms.is_rigid(pose):
            raise ValueError(f"keyframe pose {pose.tolist()} is not a rigid transform")
        keyframe = Keyframe(
            self._next_id,
            np.array(pose, np.float64),
            description or self.front_end.describe(frame),
            frame.camera,
            frame.stamp,
            frame.frame_id,
            frame.size,
            make_thumbnail(frame.image),
            sensed=frame.depth is not None,
            mask=None if frame.mask is None else np.where(frame.mask, 255, 0).astype(np.uint8),
        )
        self._insert(keyframe)
        self._triangulate_around(keyframe)
        return keyframe.id

    def _insert(self, keyframe: Keyframe) -> None:
        self._index.add(keyframe.id, keyframe.description.global_descriptor)
        self._keyframes[keyframe.id] = keyframe
        self._next_id = max(self._next_id, keyframe.id + 1)

    def _triangulate_around(self, keyframe: Keyframe) -> None:
        """Renew the points of every keyframe without depth that this one may help."""
        if not isinstance(self.front_end, FeatureFrontEnd):
            return
        near = choose_neighbors(keyframe, list(self), _NEIGHBORS)
        for other in [keyframe, *near]:
            if other.sensed:
                continue
            neighbors = choose_neighbors(other, list(self), _NEIGHBORS)
            description = triangulated(other, neighbors, self.front_end)
            self._keyframes[other.id] = replace(other, description=description)

    def remove(self, keyframe_id: int) -> None:
        """Forget a keyframe.

        Raises:
            KeyError: there is none of that id.
        """
        self[keyframe_id]
        self._index.remove(keyframe_id)
        del self._keyframes[keyframe_id]

    def nearest(
        self, description: Description, k: int, prior: PosePrior | None = None
    ) -> list[Keyframe]:
        """The `k` keyframes most likely to show what the query shows, best first.

        With a prior, those that it admits come first, but it never takes more than half of the
        places from looks alone: a wrong prior costs time, not the way home.
        """
        by_looks = self._index.search(description.global_descriptor, k)
        if prior is not None:
            admitted = [keyframe.id for keyframe in self if prior.admits(keyframe.pose)]
            believed = self._index.search(description.global_descriptor, k, admitted)
            reserved = k // 2 if len(believed) == k else k - len(believed)
            chosen = believed[: k - reserved] + by_looks[:reserved] + believed + by_looks
            by_looks = list(dict.fromkeys(chosen))[:k]
        return [self._keyframes[i] for i in by_looks]

    def save(self, path: str | Path) -> None:
        """Write the map to a folder: the old one or the new one is there, whatever happens.

        Raises:
            MapError: the folder cannot be written, or holds something else.
        """
        storage.save(list(self), self.front_end, self._next_id, Path(path))

    @staticmethod
    def load(path: str | Path, front_end: FrontEnd) -> KeyframeMap:
        """Read a map from a folder.

        Raises:
            MapError: no map, another front end's or a newer version's, damaged or incomplete.
        """
        keyframes, next_id = storage.load(Path(path), front_end)
        loaded = KeyframeMap(front_end)
        loaded._next_id = next_id
        for keyframe in keyframes:
            try:
                loaded._insert(keyframe)
            except ValueError as error:
                raise storage.MapError(f"{path}: keyframe {keyframe.id}: {error}") from error
        return loaded
