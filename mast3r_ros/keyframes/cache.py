# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keyframes that were read from a map, kept while they fit into a number of megabytes."""

from __future__ import annotations

from collections import OrderedDict

from mast3r_ros.keyframes.keyframe import Keyframe


class Cache:
    """The keyframes used last, by id."""

    def __init__(self, megabytes: float) -> None:
        """An empty cache of at most so many megabytes."""
        self._most = megabytes * 1e6
        self._kept: OrderedDict[int, tuple[Keyframe, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def megabytes(self) -> float:
        """How much they take."""
        return self._bytes / 1e6

    def get(self, keyframe_id: int) -> Keyframe | None:
        """A keyframe, from now on the one used last; None where it is not here."""
        kept = self._kept.get(keyframe_id)
        if kept is None:
            return None
        self._kept.move_to_end(keyframe_id)
        return kept[0]

    def put(self, keyframe: Keyframe) -> None:
        """Keep a keyframe; those used longest ago make place for it."""
        self.drop(keyframe.id)
        size = bytes_of(keyframe)
        self._kept[keyframe.id] = keyframe, size
        self._bytes += size
        # At least one: whoever asked for it is about to use it.
        while self._bytes > self._most and len(self._kept) > 1:
            _, (_, size) = self._kept.popitem(last=False)
            self._bytes -= size

    def drop(self, keyframe_id: int) -> None:
        """Forget a keyframe, if it is here."""
        if keyframe_id in self._kept:
            self._bytes -= self._kept.pop(keyframe_id)[1]


def bytes_of(keyframe: Keyframe) -> int:
    """Memory of a keyframe: what front ends unpack of it to match it takes twice as much again."""
    arrays = sum(array.nbytes for array in keyframe.description.arrays().values())
    mask = 0 if keyframe.mask is None else keyframe.mask.nbytes
    return 3 * arrays + mask + len(keyframe.thumbnail)
