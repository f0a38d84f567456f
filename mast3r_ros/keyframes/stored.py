# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A keyframe of a map on disk: what it holds is read when it is asked for."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.base import FrontEnd
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes import archive
from mast3r_ros.keyframes.database import MapError
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.match_kernel import Code, Codebook
from mast3r_ros.keyframes.store import Store, pack_entry, unpack_descriptor, unpack_pose

# Anything that bytes can be without being a keyframe's.
_NOT_ONE = (
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    RecursionError,
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
)
_ABOUT = ("camera", "stamp", "frame_id", "size", "covariance")
_CONTENTS = ("description", "mask", "thumbnail")


class Origin(NamedTuple):
    """Where the contents of a keyframe are.

    Attributes:
        store: a map on disk.
        id, pose: of the keyframe there.
    """

    store: Store
    id: int
    pose: Pose

    def __str__(self) -> str:
        """The keyframe, for messages."""
        return f"{self.store.file}: keyframe {self.id}"

    def read(self, contents: bool) -> tuple[bytes, str, tuple[bytes, bytes] | None]:
        """Entry and JSON of the keyframe there; with `contents` also its arrays and thumbnail.

        Raises:
            MapError: it is damaged, or was changed by another program.
        """
        try:
            _, entry, about = self.store.short(self.id)
            self.check(entry)
            return entry, about, self.store.contents(self.id) if contents else None
        except KeyError:
            raise self._changed() from None
        except ValueError as error:
            raise MapError(f"{self} is damaged: {error}") from error

    def check(self, entry: bytes) -> None:
        """Raise MapError where the keyframe there is another one by now."""
        if not np.array_equal(unpack_pose(entry), self.pose):
            raise self._changed()

    def _changed(self) -> MapError:
        return MapError(f"{self} was removed or moved since the map was loaded: load it again")


class StoredKeyframe(Keyframe):
    """A keyframe of which id, pose and `sensed` are known; asking for more reads it.

    Those of another map keep where they are read from, and need not be in memory: the same image
    at another pose, with another covariance, or under another id.

    Raises:
        MapError: from any attribute that must be read: it is damaged, or another program has
            changed it.
    """

    # None of one that was made anew from all of its parts (`dataclasses.replace`).
    origin: Origin | None = None
    _fill: Callable[[StoredKeyframe, bool], None]

    @staticmethod
    def of(
        keyframe_id: int,
        pose: Pose,
        sensed: bool,
        origin: Origin,
        fill: Callable[[StoredKeyframe, bool], None],
    ) -> StoredKeyframe:
        """A keyframe whose other fields `fill` sets: those about the image, and its contents."""
        keyframe = object.__new__(StoredKeyframe)
        keyframe.set(id=keyframe_id, pose=pose, sensed=sensed, origin=origin, _fill=fill)
        return keyframe

    def set(self, **values: Any) -> None:
        """Set fields once, as `__init__` does."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        """Read what is not there yet."""
        if name not in _ABOUT + _CONTENTS or "_fill" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        self._fill(self, name in _CONTENTS)
        return self.__dict__[name]

    def unread(self, **values: Any) -> StoredKeyframe:
        """The same image with other fields of `Keyframe`; its contents are not in memory."""
        known = ("id", "pose", "sensed", "covariance", "origin", "_fill")
        keyframe = object.__new__(StoredKeyframe)
        keyframe.set(**{k: v for k, v in vars(self).items() if k in known} | values)
        return keyframe

    def moved(self, pose: Pose, covariance: NDArray[np.float64] | None) -> Keyframe:
        """The same image at another pose, nothing of it read."""
        if self.origin is None:
            return super().moved(pose, covariance)
        return self.unread(pose=pose, covariance=covariance)

    def renamed(self, keyframe_id: int) -> Keyframe:
        """The same image under another id, nothing of it read."""
        return super().renamed(keyframe_id) if self.origin is None else self.unread(id=keyframe_id)

    def restated(self, entry: bytes, about: str) -> tuple[bytes, str]:
        """Entry and JSON of its origin, changed to what is known of this one.

        Raises:
            MapError: they are not those that it was made from.
        """
        assert self.origin is not None
        self.origin.check(entry)
        if "covariance" in vars(self):
            about = archive.with_covariance(about, self.covariance)
        return pack_entry(self.pose, unpack_descriptor(entry)), about


def looks_of(origin: Origin, codebook: Codebook | None) -> tuple[NDArray[np.float32], Code | None]:
    """Global descriptor and visual words of a keyframe, None where it has none of these words.

    Raises:
        MapError: it is damaged, or was changed by another program.
    """
    code = None if codebook is None else origin.store.code(origin.id, codebook)
    return unpack_descriptor(origin.read(contents=False)[0]), code


def read(keyframe: StoredKeyframe, front_end: FrontEnd, contents: bool) -> None:
    """Read what is known about a keyframe's image, and its contents if asked for.

    Raises:
        MapError: it is damaged, or was changed by another program.
    """
    origin = keyframe.origin
    assert origin is not None
    _, text, data = origin.read(contents)
    try:
        about = archive.decode_about(text)
        known = vars(keyframe)
        keyframe.set(**{name: getattr(about, name) for name in _ABOUT if name not in known})
        if data is not None:
            description, mask = archive.decode_contents(about, *data, front_end)
            if len(description.global_descriptor) != origin.store.header.length:
                raise ValueError(
                    f"global descriptor of length {len(description.global_descriptor)}, the map's "
                    f"have {origin.store.header.length}"
                )
            keyframe.set(description=description, mask=mask, thumbnail=data[1])
    except _NOT_ONE as error:
        said = str(error) if isinstance(error, ValueError) else repr(error)
        raise MapError(f"{origin} is damaged: {said}") from error
