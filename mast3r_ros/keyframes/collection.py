# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The keyframes of a map by id: what has changed is in memory, the rest in the map's store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.base import FrontEnd
from mast3r_ros.keyframes.cache import Cache, bytes_of
from mast3r_ros.keyframes.database import FILE, Header, MapError
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.looks import Looks
from mast3r_ros.keyframes.places import Place, Places
from mast3r_ros.keyframes.retrieval import EXACT
from mast3r_ros.keyframes.saving import Saving, is_of, write_usage
from mast3r_ros.keyframes.store import CALIBRATED, SENSED, Store
from mast3r_ros.keyframes.stored import Origin, StoredKeyframe, read
from mast3r_ros.keyframes.usage import Usage, total


class Keyframes(MutableMapping[int, Keyframe]):
    """Keyframes by id, in the order in which they came; those of a store are read when needed."""

    def __init__(self, front_end: FrontEnd, cache_mb: float) -> None:
        """None yet; `cache_mb` bounds those that were read and are not in use [MB]."""
        self.places = Places()
        self.cache = Cache(cache_mb)
        self._front_end = front_end
        self._store: Store | None = None
        self._changed: dict[int, Keyframe] = {}
        # Of other maps on disk, with what is different in this one.
        self._borrowed: dict[int, StoredKeyframe] = {}
        self._removed: set[int] = set()
        # Of the index as it is in the store.
        self._centroids: NDArray[np.float32] | None = None
        # Since the map was saved last.
        self._usage: dict[int, Usage] = {}

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[int]:
        return iter(self.places)

    def __contains__(self, keyframe_id: object) -> bool:
        return keyframe_id in self.places

    def __getitem__(self, keyframe_id: int) -> Keyframe:
        """A keyframe; KeyError where there is none of that id."""
        keyframe = self._changed.get(keyframe_id) or self.cache.get(keyframe_id)
        if keyframe is not None:
            return keyframe
        place = self.places[keyframe_id]
        if keyframe_id in self._borrowed:
            return self._borrowed[keyframe_id].unread()
        assert self._store is not None
        origin = Origin(self._store, keyframe_id, place.pose)
        return StoredKeyframe.of(keyframe_id, place.pose, place.sensed, origin, self._fill)

    def __setitem__(self, keyframe_id: int, keyframe: Keyframe) -> None:
        self.places.put(Place(keyframe_id, keyframe.pose, keyframe.sensed, keyframe.calibrated))
        self._forget(keyframe_id)
        if isinstance(keyframe, StoredKeyframe) and keyframe.origin is not None:
            self._borrowed[keyframe_id] = keyframe.unread(_fill=self._fill)
        else:
            self._changed[keyframe_id] = keyframe

    def __delitem__(self, keyframe_id: int) -> None:
        self.places.remove(keyframe_id)
        self._forget(keyframe_id)
        self._removed.add(keyframe_id)
        self._usage.pop(keyframe_id, None)

    @property
    def unsaved_mb(self) -> float:
        """Memory of what has changed since the last save [MB]."""
        return sum(map(bytes_of, self._changed.values())) / 1e6

    @property
    def usage(self) -> dict[int, Usage]:
        """How often keyframes were of use, by id; those that never were compared are left out."""
        before = self._store.usage() if self._store is not None else {}
        return {i: counts for i, counts in total(before, self._usage).items() if i in self.places}

    def count(self, usage: Mapping[int, Usage]) -> None:
        """Add to the usage of keyframes; those that are not there are left out."""
        for i, counts in usage.items():
            if i in self.places:
                self._usage[i] = self._usage.get(i, Usage()).plus(counts)

    def write_usage(self) -> None:
        """Write what was counted into the file that the map is of; other changes stay in memory.

        Raises:
            MapError: the map was never saved, or its file cannot be written.
        """
        if self._store is None:
            raise MapError("the map was not saved yet: there is no file to count in")
        if self._usage:
            write_usage(self._store, self._usage)
            self._usage = {}

    def open(self, store: Store, looks: Looks) -> None:
        """Take the keyframes of a store, and what they look like.

        Raises:
            MapError: it is damaged.
        """
        self._store, index = store, looks.index
        centroids = store.centroids()
        if len(centroids):
            index.use(centroids)
            self._centroids = centroids
        known, cells = store.cells()
        for entries in store.entries():
            flags = entries.flags
            self.places.extend(
                entries.ids, entries.poses, (flags & SENSED) > 0, (flags & CALIBRATED) > 0
            )
            at = np.searchsorted(known, entries.ids)
            there = np.append(known, -1)[at] == entries.ids
            index.extend(
                entries.ids, entries.descriptors, np.where(there, np.append(cells, -1)[at], -1)
            )
        if looks.codebook is not None and len(self) <= EXACT:
            looks.add_codes(store.codes(looks.codebook))
        looks.forget_words_unless(self)

    def prepare(self, path: Path, next_id: int, looks: Looks) -> Saving:
        """What is to be written to a folder; it does not change with the map any more.

        Args:
            path: the map's folder.
            next_id: of the next keyframe.
            looks: of the keyframes.
        """
        store, ids, index = self._store, None, looks.index
        if store is None or self._borrowed or not is_of(path / FILE, store):
            ids = tuple(self.places)
        centroids, cells = index.centroids, {}
        if centroids is not None:
            as_written = ids is None and centroids is self._centroids
            centroids = None if as_written else centroids
            cells = index.cells(list(self._changed) if as_written else list(self.places))
        book = "" if looks.codebook is None else looks.codebook.identity
        codes = looks.codes(self._changed if ids is None else self.places)
        header = Header.new(self._front_end, next_id, index.length)
        # Counted once, whatever is counted or written meanwhile; a save that fails loses it.
        usage, self._usage = self._usage, {}
        return Saving(
            path, header, dict(self._changed), dict(self._borrowed), frozenset(self._removed), ids,
            cells, centroids, codes, book, store, usage,
        )  # fmt: skip

    def finish(self, saving: Saving, header: Header) -> None:
        """Read what was saved from where it was saved to.

        Raises:
            MapError: it is not there any more.
        """
        if saving.ids is None:
            assert self._store is not None
            self._store.header = header
        else:
            # Whoever still reads from the old one keeps it open.
            self._store = Store(saving.path)
        for keyframe_id, keyframe in saving.changed.items():
            if self._changed.get(keyframe_id) is keyframe:
                del self._changed[keyframe_id]
                self.cache.put(keyframe)
        for keyframe_id, borrowed in saving.borrowed.items():
            if self._borrowed.get(keyframe_id) is borrowed:
                del self._borrowed[keyframe_id]
        self._removed -= saving.removed
        if saving.centroids is not None:
            self._centroids = saving.centroids

    def _forget(self, keyframe_id: int) -> None:
        """Forget what is in memory of a keyframe."""
        self._changed.pop(keyframe_id, None)
        self._borrowed.pop(keyframe_id, None)
        self.cache.drop(keyframe_id)

    def _fill(self, keyframe: StoredKeyframe, contents: bool) -> None:
        read(keyframe, self._front_end, contents)
        if contents and self._is_current(keyframe):
            self.cache.put(keyframe)

    def _is_current(self, keyframe: StoredKeyframe) -> bool:
        if keyframe.id not in self.places or keyframe.id in self._changed:
            return False
        return np.array_equal(self.places[keyframe.id].pose, keyframe.pose)


class InOrder(Sequence[Keyframe]):
    """Keyframes by their numbers in a map's order, each looked up when it is asked for.

    A list of them would keep in memory all that was ever read. The map does not change meanwhile.
    """

    def __init__(self, keyframes: Mapping[int, Keyframe]) -> None:
        """Of a map's keyframes by id."""
        self._keyframes, self._ids = keyframes, list(keyframes)

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, number: int) -> Keyframe: ...

    @overload
    def __getitem__(self, number: slice) -> list[Keyframe]: ...

    def __getitem__(self, number: int | slice) -> Keyframe | list[Keyframe]:
        if isinstance(number, slice):
            return [self._keyframes[i] for i in self._ids[number]]
        return self._keyframes[self._ids[number]]
