# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keyframes of a map that is being made, on disk as far as they do not fit into memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from mast3r_ros.keyframes.keyframe_map import KeyframeMap

Added = TypeVar("Added")

# So many keyframes are added before their size is looked at.
_EVERY = 16


class Spill:
    """A folder beside the one that the map will be saved to: there is room for the map.

    It is made when it is needed, and deleted in the end: the map must have been saved by then.
    """

    def __init__(self, beside: Path) -> None:
        """Nothing is written yet."""
        self._beside = beside.absolute()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Spill:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def over(self, keyframes: KeyframeMap, added: Iterable[Added]) -> Iterator[Added]:
        """Keep a map small while keyframes are added to it, one a step.

        Args:
            keyframes: the map. Once its new keyframes take as much memory as it may keep of saved
                ones, they are written to the folder, and read from there when they are needed.
            added: yields after each new keyframe, for example its id.

        Raises:
            MapError: they cannot be written.
        """
        for number, keyframe in enumerate(added, start=1):
            if number % _EVERY == 0 and keyframes.unsaved_mb > keyframes.cache_mb:
                keyframes.save(self._path())
            yield keyframe

    def _path(self) -> str:
        if self._folder is None:
            self._beside.parent.mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(
                prefix=f".{self._beside.name}-", dir=self._beside.parent
            )
        return self._folder.name
