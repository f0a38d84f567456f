# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A front end that finds what a test tells it: maps and poses without any image processing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import Description, FrontEndError
from mast3r_ros.matching.correspondences import Correspondences


@dataclass(frozen=True)
class ToldDescription(Description):
    """The number that the test gave the image."""

    number: NDArray[np.int64]


class ToldFrontEnd:
    """Images are known by the number in their first pixel, and look alike as the numbers do."""

    name: ClassVar[str] = "told"
    description_type: ClassVar[type[Description]] = ToldDescription
    min_inliers: ClassVar[int] = 20
    min_inlier_ratio: ClassVar[float] = 0.2
    fingerprint = "told-1"

    def __init__(self, matches: dict[int, Correspondences] | None = None) -> None:
        """`matches`: what each keyframe's number has in common with any query."""
        self.matches = matches or {}

    def pixel_error_scale(self, size: tuple[int, int]) -> float:
        """That of features."""
        return 1.0

    def describe(self, frame: Frame) -> ToldDescription:
        """Numbers on a quarter of a circle: the nearer the number, the larger the product."""
        number = int(frame.image[0, 0, 0])
        angle = np.deg2rad(number / 3.0)
        return ToldDescription(
            np.array([np.cos(angle), np.sin(angle)], np.float32), np.array([number])
        )

    def match(
        self,
        references: Sequence[ToldDescription],
        query: ToldDescription,
        *,
        query_points: bool = False,
    ) -> list[Correspondences]:
        """As told."""
        if query_points and any(m.query_points is None for m in self.matches.values()):
            raise FrontEndError("front end 'told' was told no points of the query")
        return [self.matches[int(reference.number[0])] for reference in references]


def numbered(number: int, size: tuple[int, int] = (64, 48), **about) -> Frame:
    """A frame that `ToldFrontEnd` knows by a number."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[0, 0, 0] = number
    return Frame(image, **about)


class TwiceToldFrontEnd(ToldFrontEnd):
    """It has a second matcher, which finds what it is told and takes its time by its own clock."""

    second_matcher = "twice told"
    second_sees_image = False

    def __init__(
        self,
        matches: dict[int, Correspondences],
        again: dict[int, Correspondences],
        seconds: float = 0.0,
    ) -> None:
        """`again`: what the second matcher finds of each keyframe, in `seconds`."""
        super().__init__(matches)
        self.again = again
        self.seconds = seconds
        self.asked: list[int] = []
        self.clock = 0.0

    def monotonic(self) -> float:
        """In place of that of the module `time`."""
        return self.clock

    def match_again(
        self, references: Sequence[ToldDescription], query: ToldDescription, frame: Frame | None
    ) -> Iterator[Correspondences]:
        """As told, when it is asked for."""
        for reference in references:
            self.asked.append(int(reference.number[0]))
            self.clock += self.seconds
            yield self.again[self.asked[-1]]
