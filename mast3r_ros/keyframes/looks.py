# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which images look like a query: by visual words, where the front end has some, and as a whole.

Words find a place among many others that look like it. The global descriptor, of the whole image,
helps where few words are shared, such as between images that are turned or blurred, and alone
where there are too many images for words.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.base import Description, FrontEnd, HasLocalFeatures
from mast3r_ros.keyframes.match_kernel import Code, Codebook, WordIndex
from mast3r_ros.keyframes.retrieval import EXACT, GlobalIndex

# Weight of the global descriptors' dot product beside the score of the words: of 0, 0.1, 0.3, 1 and
# 3, it found the most on the office walk and in rendered rooms (`bench retrieval`).
_WEIGHT = 0.1
# The best images by words, and as a whole, that are considered.
_CONSIDERED = 1000
# Queries whose words are remembered: the images of a window or a rig.
_RECENT = 8

ReadDescription = Callable[[], Description]


class Looks:
    """Images by number, with what they look like.

    Attributes:
        index: their global descriptors.
    """

    def __init__(self, front_end: FrontEnd, codebook: Codebook | None) -> None:
        """Empty.

        Args:
            front_end: describes the images.
            codebook: of its local features; None compares global descriptors alone.
        """
        self.index = GlobalIndex()
        self._front_end = front_end
        has_words = codebook is not None and isinstance(front_end, HasLocalFeatures)
        self._codebook = codebook if has_words else None
        self._words = None if self._codebook is None else WordIndex(self._codebook)
        # Added since the last search. A map that is only passed on is never searched.
        self._uncoded: dict[int, Description] = {}
        # An image is searched for several times; making its code takes longer than a search.
        self._recent: deque[tuple[Description, Code]] = deque(maxlen=_RECENT)

    @property
    def codebook(self) -> Codebook | None:
        """What the words are of; None where there are none."""
        return self._codebook if self._words is not None else None

    def add(self, number: int, description: Description) -> None:
        """Add an image, once; ValueError as of `GlobalIndex.add`."""
        self.index.add(number, description.global_descriptor)
        if self._words is not None:
            self._uncoded[number] = description
            self._forget_words_of_many()

    def add_stored(
        self, number: int, look: NDArray[np.float32], code: Code | None, read: ReadDescription
    ) -> None:
        """Add an image whose description is not in memory, and does not stay there.

        Args:
            number: of the image.
            look: its global descriptor.
            code: its words; None where they are not known.
            read: reads its description, if its words are to be found.
        """
        self.index.add(number, look)
        if self._words is not None:
            self._words.add(number, self._code(read()) if code is None else code)
            self._forget_words_of_many()

    def add_codes(self, codes: Mapping[int, Code]) -> None:
        """Add the words of images whose global descriptors are there."""
        if self._words is not None:
            for number, code in codes.items():
                self._words.add(number, code)
            self._forget_words_of_many()

    def forget_words_unless(self, numbers: Collection[int]) -> None:
        """Use no words where not all of these images have some."""
        words = self._coded()
        if words is not None and len(words) < len(numbers):
            self._words = None

    def codes(self, numbers: Iterable[int]) -> dict[int, Code]:
        """The words of images."""
        words = self._coded()
        return {} if words is None else {i: words[i] for i in numbers}

    def remove(self, number: int) -> None:
        """Forget an image."""
        self.index.remove(number)
        if self._uncoded.pop(number, None) is None and self._words is not None:
            self._words.remove(number)

    def by_words(self, description: Description, count: int) -> list[tuple[int, float]]:
        """The images that share the most words with a query, best first, each with its score.

        Empty where there are no words.
        """
        words, code = self._coded(), self._query_code(description)
        return [] if words is None or code is None else words.search(code, count)

    def search(
        self,
        description: Description,
        count: int,
        among: NDArray[np.int64] | None = None,
    ) -> list[int]:
        """Numbers of the images that look most like a query, best first.

        Args:
            description: of the query.
            count: of the images at the most.
            among: only these, if given.
        """
        as_a_whole, words = description.global_descriptor, self._coded()
        code = self._query_code(description)
        if words is None or code is None:
            return self.index.search(as_a_whole, count, among)
        considered = max(_CONSIDERED, count)
        total = dict(words.search(code, considered, among))
        for number, alike in self.index.scored(as_a_whole, considered, among):
            total[number] = total.get(number, 0.0) + _WEIGHT * alike
        return sorted(total, key=lambda number: -total[number])[:count]

    def _coded(self) -> WordIndex | None:
        """The words of all images; None where they are not used."""
        if self._words is not None:
            for number, description in self._uncoded.items():
                self._words.add(number, self._code(description))
        self._uncoded = {}
        return self._words

    def _forget_words_of_many(self) -> None:
        """Use no words where there are too many images for them."""
        if len(self.index) > EXACT:
            self._words, self._uncoded = None, {}

    def _query_code(self, description: Description) -> Code | None:
        """The words of a query; None where there are none."""
        if self._words is None:
            return None
        for known, code in tuple(self._recent):
            if known is description:
                return code
        code = self._code(description, query=True)
        self._recent.append((description, code))
        return code

    def _code(self, description: Description, query: bool = False) -> Code:
        assert self._codebook is not None
        assert isinstance(self._front_end, HasLocalFeatures)
        return self._codebook.code(self._front_end.local_features(description), query)
