# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A keyframe of a map on disk: what it holds is read when it is asked for."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from mast3r_ros.frontends.base import FrontEnd
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes import archive
from mast3r_ros.keyframes.database import MapError
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.store import Store, unpack_pose

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


class StoredKeyframe(Keyframe):
    """A keyframe of which id, pose and `sensed` are known; asking for more reads it.

    Raises:
        MapError: from any attribute that must be read: it is damaged, or another program has
            changed it.
    """

    _fill: Callable[[StoredKeyframe, bool], None]

    @staticmethod
    def of(
        keyframe_id: int,
        pose: Pose,
        sensed: bool,
        fill: Callable[[StoredKeyframe, bool], None],
    ) -> StoredKeyframe:
        """A keyframe whose other fields `fill` sets: those about the image, and its contents."""
        keyframe = object.__new__(StoredKeyframe)
        keyframe.set(id=keyframe_id, pose=pose, sensed=sensed, _fill=fill)
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


def read(keyframe: StoredKeyframe, store: Store, front_end: FrontEnd, contents: bool) -> None:
    """Read what is known about a keyframe's image, and its contents if asked for.

    Raises:
        MapError: it is damaged, or was changed by another program.
    """
    who = f"{store.file}: keyframe {keyframe.id}"
    try:
        _, entry, text = store.short(keyframe.id)
        moved = not np.array_equal(unpack_pose(entry), keyframe.pose)
        data = store.contents(keyframe.id) if contents and not moved else None
    except KeyError:
        moved, data = True, None
    except ValueError as error:
        raise MapError(f"{who} is damaged: {error}") from error
    if moved:
        raise MapError(f"{who} was removed or moved since the map was loaded: load it again")
    try:
        about = archive.decode_about(text)
        keyframe.set(**{name: getattr(about, name) for name in _ABOUT})
        if data is not None:
            description, mask = archive.decode_contents(about, *data, front_end)
            if len(description.global_descriptor) != store.header.length:
                raise ValueError(
                    f"global descriptor of length {len(description.global_descriptor)}, the map's "
                    f"have {store.header.length}"
                )
            keyframe.set(description=description, mask=mask, thumbnail=data[1])
    except _NOT_ONE as error:
        said = str(error) if isinstance(error, ValueError) else repr(error)
        raise MapError(f"{who} is damaged: {said}") from error
