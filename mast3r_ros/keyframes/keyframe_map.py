# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The map: keyframes, which of them look like a query, and their way to disk and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.paths import expand
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import Description, FrontEnd, triangulates
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.collection import InOrder, Keyframes
from mast3r_ros.keyframes.database import Header, MapError
from mast3r_ros.keyframes.keyframe import Keyframe, make_thumbnail
from mast3r_ros.keyframes.looks import Looks
from mast3r_ros.keyframes.retrieval import PosePrior
from mast3r_ros.keyframes.saving import Saving
from mast3r_ros.keyframes.store import Store
from mast3r_ros.keyframes.stored import StoredKeyframe, looks_of
from mast3r_ros.keyframes.trained_index import Trained, Training
from mast3r_ros.keyframes.triangulation import Neighborhood, Untriangulated
from mast3r_ros.keyframes.usage import Usage
from mast3r_ros.keyframes.words import codebook_of

# So many that look alike are asked whether they may see the same things as a new keyframe.
_COVISIBLE = 32
# Keyframes of a saved map that stay in memory [MB]: some 250 of `sift`, 50 of published MASt3R.
CACHE_MB = 256.0


class KeyframeMap:
    """Keyframes described by one front end, in one map frame.

    Not safe for use by several threads at once: a node guards it with a lock.
    """

    def __init__(self, front_end: FrontEnd, cache_mb: float = CACHE_MB) -> None:
        """An empty map for the descriptions of `front_end`.

        Args:
            front_end: describes and matches its keyframes.
            cache_mb: once it is saved, keyframes stay in memory that take so much at most [MB].
        """
        self.front_end, self.cache_mb = front_end, cache_mb
        self._keyframes = Keyframes(front_end, cache_mb)
        self._looks = Looks(front_end, codebook_of(front_end))
        self._next_id = 0
        self._untriangulated = Untriangulated()
        self._changes = 0

    def __len__(self) -> int:
        return len(self._keyframes)

    def __iter__(self) -> Iterator[Keyframe]:
        return iter(self._keyframes.values())

    def in_order(self) -> Sequence[Keyframe]:
        """The keyframes by their numbers, in the order of `ids`, while the map does not change.

        Unlike a list of them, it keeps none in memory.
        """
        return InOrder(self._keyframes)

    @property
    def ids(self) -> NDArray[np.int64]:
        """(N,) ids of the keyframes, in their order."""
        return self._keyframes.places.ids

    @property
    def poses(self) -> NDArray[np.float64]:
        """(N, 4, 4) map <- camera of all keyframes, in the order of `ids`; none of them is read."""
        return self._keyframes.places.poses

    @property
    def sensed(self) -> NDArray[np.bool_]:
        """(N,) whether each keyframe's points come from a depth sensor."""
        return self._keyframes.places.sensed

    @property
    def unsaved_mb(self) -> float:
        """Memory of the keyframes that were added or changed since the last save [MB]."""
        return self._keyframes.unsaved_mb

    @property
    def changes(self) -> int:
        """Grows whenever a keyframe is added or removed."""
        return self._changes

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
            known = f"ids {self.ids.min()} to {self.ids.max()}" if len(self) else "none"
            raise KeyError(f"no keyframe {keyframe_id} in the map, which holds {known}")
        return self._keyframes[keyframe_id]

    def add(
        self,
        frame: Frame,
        pose: Pose,
        description: Description | None = None,
        *,
        covariance: NDArray[np.float64] | None = None,
        triangulate: bool = True,
    ) -> int:
        """Make a frame a keyframe.

        A frame without depth gets metric points by triangulation with its neighbors, and gives
        neighbors without depth new ones.

        Args:
            frame: the image; its `depth`, where known, gives the keyframe its meters.
            pose: map <- camera, (4, 4).
            description: what `front_end.describe(frame)` returned, to save doing it again.
            covariance: (6, 6) of the pose, as `Keyframe.covariance`.
            triangulate: at once; otherwise it waits for `triangulate`, or for another thread
                (`next_neighborhood`).

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
            covariance=covariance,
        )
        self._insert(keyframe)
        # Keyframes with depth need no neighbors.
        if triangulates(self.front_end) and self._keyframes.places.unsensed:
            alike = self._looks.search(keyframe.description, _COVISIBLE)
            places = self._keyframes.places
            self._untriangulated.enqueue(keyframe, [places[i] for i in alike])
        if triangulate:
            self.triangulate()
        return keyframe.id

    def triangulate(self) -> None:
        """Match the new keyframes with their neighbors: those without depth get points so.

        Maps are saved as they are: what was not matched before is not matched any more.
        """
        while (neighborhood := self.next_neighborhood()) is not None:
            self.take_points(neighborhood.triangulated())

    def next_neighborhood(self) -> Neighborhood | None:
        """The next keyframe for `triangulate`, with its neighbors; None where none waits.

        `Neighborhood.triangulated`, which takes tenths of a second and more, may run in another
        thread, while the map is used; `take_points` takes what it returns.
        """
        front_end = self.front_end
        if not triangulates(front_end):
            return None
        return self._untriangulated.next(self._keyframes, front_end)

    def take_points(self, renewed: Iterable[Keyframe]) -> None:
        """Put keyframes with new points in the place of those of their ids, if still there."""
        for keyframe in renewed:
            if keyframe.id in self._keyframes:
                self._keyframes[keyframe.id] = keyframe

    def _insert(self, keyframe: Keyframe) -> None:
        if isinstance(keyframe, StoredKeyframe) and keyframe.origin is not None:
            look, code = looks_of(keyframe.origin, self._looks.codebook)
            self._looks.add_stored(keyframe.id, look, code, lambda: keyframe.description)
        else:
            self._looks.add(keyframe.id, keyframe.description)
        self._keyframes[keyframe.id] = keyframe
        self._changes += 1
        self._next_id = max(self._next_id, keyframe.id + 1)

    def derive(self, keyframes: Iterable[Keyframe]) -> KeyframeMap:
        """A map with these keyframes in place of this one's, their ids and their usage kept.

        Keyframes of a map on disk, also moved or renamed ones, are not read for it: the new map
        reads them from there when they are needed, and when it is saved.

        Args:
            keyframes: described by the same front end, for example this map's with other poses.

        Raises:
            ValueError: two have the same id, or a description is not this front end's.
        """
        derived = KeyframeMap(self.front_end, self.cache_mb)
        derived._next_id = self._next_id
        for keyframe in keyframes:
            if keyframe.id in derived._keyframes:
                raise ValueError(f"two keyframes have the id {keyframe.id}")
            derived._insert(keyframe)
        derived.count(self.usage)
        return derived

    def remove(self, keyframe_id: int) -> None:
        """Forget a keyframe.

        Raises:
            KeyError: there is none of that id.
        """
        self[keyframe_id]  # says which there are
        self._looks.remove(keyframe_id)
        del self._keyframes[keyframe_id]
        self._changes += 1

    def nearest(
        self, description: Description, k: int, prior: PosePrior | None = None
    ) -> list[Keyframe]:
        """The `k` keyframes most likely to show what the query shows, best first.

        With a prior, those that it admits come first, but it never takes more than half of the
        places from looks alone: a wrong prior costs time, not the way home.

        Keyframes of a map on disk are read when their contents are asked for.
        """
        if len(self) == 1:  # it comes first whatever it looks like
            return list(self)[:k]
        by_looks = self._looks.search(description, k)
        if prior is not None:
            ids, poses = self._keyframes.places.near(prior.pose[:3, 3], prior.radius)
            admitted = ids[prior.looks_along(poses)]
            believed = self._looks.search(description, k, admitted)
            reserved = k // 2 if len(believed) == k else k - len(believed)
            chosen = believed[: k - reserved] + by_looks[:reserved] + believed + by_looks
            by_looks = list(dict.fromkeys(chosen))[:k]
        return [self._keyframes[i] for i in by_looks]

    def near(
        self, center: NDArray[np.float64], radius: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Ids (N,) and poses (N, 4, 4) of the keyframes within a distance [m] of (3,), unread."""
        return self._keyframes.places.near(center, radius)

    def alike(self, description: Description, k: int) -> list[tuple[float, Keyframe]]:
        """The `k` keyframes that look most alike, best first, and how much: at most 1.

        No keyframe is read for it: the figure is the dot product of the global descriptors.
        """
        found = self._looks.index.scored(description.global_descriptor, k)
        return [(score, self._keyframes[keyframe_id]) for keyframe_id, score in found]

    def by_words(self, description: Description, k: int) -> list[tuple[float, Keyframe]]:
        """The `k` keyframes that share the most visual words, best first, and how much, up to 1.

        Empty where the map compares whole images alone.
        """
        found = self._looks.by_words(description, k)
        return [(score, self._keyframes[keyframe_id]) for keyframe_id, score in found]

    @property
    def usage(self) -> dict[int, Usage]:
        """How often keyframes were of use, by id; those that were never compared are left out."""
        return self._keyframes.usage

    def count(self, usage: Mapping[int, Usage]) -> None:
        """Add to the usage of keyframes; the next save, or `write_usage`, makes it last."""
        self._keyframes.count(usage)

    def write_usage(self) -> None:
        """Write what was counted into the map's file, and nothing else.

        Several programs may count in one map; none of them has to load it again for that.

        Raises:
            MapError: the map was never saved, or its file cannot be written.
        """
        self._keyframes.write_usage()

    def save(self, path: str | Path) -> None:
        """Write the map to a folder: the old one or the new one is there, whatever happens.

        To the folder that it was loaded from, or saved to last, only what has changed is written.
        `~` and environment variables in the path are expanded.

        Raises:
            MapError: the folder cannot be written, or holds something else.
        """
        training = self.training()
        if training is not None:
            self.take_index(training.run())
        saving = self.prepare_saving(path)
        self.finish_saving(saving, saving.write())

    def training(self) -> Training | None:
        """The part of `save` of a map that has grown beyond exact search; None for others.

        `Training.run`, which takes seconds, may run in another thread, while the map is used and
        changed; `take_index` takes what it returns.
        """
        return self._looks.index.training()

    def take_index(self, trained: Trained) -> None:
        """Search by a trained index from now on."""
        self._looks.index.take(trained)

    def prepare_saving(self, path: str | Path) -> Saving:
        """The next part of `save`: the map as it is now.

        `Saving.write` may then run in another thread, while the map is used and changed;
        `finish_saving` takes what it returns.
        """
        return self._keyframes.prepare(expand(path), self._next_id, self._looks)

    def finish_saving(self, saving: Saving, header: Header) -> None:
        """The last part of `save`: from now on the map is read from where it was saved to."""
        self._keyframes.finish(saving, header)

    @staticmethod
    def load(path: str | Path, front_end: FrontEnd, cache_mb: float = CACHE_MB) -> KeyframeMap:
        """Open a map in a folder; its keyframes are read when they are needed.

        Args:
            path: the folder.
            front_end: as the one that described the keyframes.
            cache_mb: keyframes that were read stay in memory while they take no more [MB].

        Raises:
            MapError: no map, another front end's or a newer version's, damaged or incomplete.
                A keyframe that is damaged raises it when it is read.
        """
        store = Store(expand(path))
        store.require(front_end)
        loaded = KeyframeMap(front_end, cache_mb)
        loaded._keyframes.open(store, loaded._looks)
        last = int(loaded.ids.max()) if len(loaded) else -1
        loaded._next_id = max(store.header.next_id, last + 1)
        return loaded

    def verify(self) -> Iterator[MapError]:
        """Read every keyframe once; gives an error for each that is damaged."""
        for keyframe in self:
            try:
                keyframe.description  # noqa: B018
            except MapError as error:
                yield error
