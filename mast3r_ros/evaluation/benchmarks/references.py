# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A database of images with poses: described when they are asked for, retrieved by their looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

from mast3r_ros.evaluation.benchmarks.base import BenchmarkError
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import FrontEnd, FrontEndError, HasLocalFeatures
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.looks import Looks
from mast3r_ros.keyframes.match_kernel import Codebook, words_of

# Keyframes that stay in memory: some 0.4 GB of published MASt3R, 1 GB coarse to fine.
_KEPT = 128
# The words of a database are learned from so many of its images, evenly chosen.
_LEARNED_FROM = 512


class References:
    """Images of a database as keyframes.

    What a query is matched with depends on its own images alone, not on the queries before: a run
    that is resumed or spread over machines gives the same poses.
    """

    def __init__(
        self,
        names: Sequence[str],
        read: Callable[[str], tuple[Frame, Pose]],
        front_end: FrontEnd,
        retrieval: str = "auto",
    ) -> None:
        """Nothing is read yet.

        Args:
            names: of all images.
            read: an image by its name, with map <- camera.
            front_end: describes them.
            retrieval: `asmk`, by visual words of local features; `global`, by the front end's
                global descriptors; `auto`, by words where there are local features.

        Raises:
            FrontEndError: the front end has no local features, and is asked for them.
        """
        has_words = isinstance(front_end, HasLocalFeatures)
        if retrieval == "asmk" and not has_words:
            raise FrontEndError(
                f"front end '{front_end.name}' has no local features to retrieve by: choose "
                "--retrieval global, or give --pairs"
            )
        self._by_words = has_words and retrieval != "global"
        self._names, self._read, self._front_end = names, read, front_end
        self._numbers = {name: number for number, name in enumerate(names)}
        self._keyframe = lru_cache(_KEPT)(self._described)

    def _described(self, name: str) -> Keyframe:
        if name not in self._numbers:
            raise BenchmarkError(f"the database holds no image {name}")
        alone = KeyframeMap(self._front_end)
        alone.add(*self._read(name))
        return replace(next(iter(alone)), id=self._numbers[name])

    def map_of(self, names: Sequence[str]) -> KeyframeMap:
        """A map of some images.

        Raises:
            UserError: an image is not in the database, or cannot be read.
        """
        return KeyframeMap(self._front_end).derive(self._keyframe(name) for name in names)

    def retrieve(self, frame: Frame, count: int) -> list[str]:
        """The images that look most like a frame, best first.

        The first call describes the whole database.
        """
        described = self._front_end.describe(frame)
        return [self._names[number] for number in self._looks.search(described, count)]

    @cached_property
    def _looks(self) -> Looks:
        codebook = self._learned() if self._by_words else None
        looks = Looks(self._front_end, codebook)
        for number, name in enumerate(self._names):
            looks.add(number, self._keyframe(name).description)
        return looks

    def _learned(self) -> Codebook:
        """The visual words of the database."""
        front_end = self._front_end
        assert isinstance(front_end, HasLocalFeatures)
        chosen = self._names[:: max(len(self._names) // _LEARNED_FROM, 1)]
        return words_of([front_end.local_features(self._keyframe(n).description) for n in chosen])
