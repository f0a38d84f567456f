# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Descriptions of a map's images: in this process, or on a Ray cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from mast3r_ros.common.cluster import actors
from mast3r_ros.frame import Frame
from mast3r_ros.frontends import create
from mast3r_ros.frontends.base import Description, FrontEnd

Image = TypeVar("Image")
Describe = Callable[[Iterable[tuple[Image, Frame]]], Iterator[tuple[Image, Frame, Description]]]
"""Frames with whatever belongs to them -> the same with their descriptions, in their order."""


def describe_here(front_end: FrontEnd) -> Describe[Image]:
    """Describe images one by one, as they are asked for."""

    def describe(
        images: Iterable[tuple[Image, Frame]],
    ) -> Iterator[tuple[Image, Frame, Description]]:
        for image, frame in images:
            yield image, frame, front_end.describe(frame)

    return describe


class Describer:
    """What runs in a process of its own."""

    def __init__(self, front_end: str) -> None:
        """Open a front end by its name."""
        self._front_end = create(front_end)

    def describe(self, frame: Frame) -> Description:
        """The description of an image."""
        return self._front_end.describe(frame)


def describe_on_cluster(front_end: str, address: str, workers: int) -> Describe[Image]:
    """Describe images on a cluster; they are read here, and a few are on their way at a time.

    Args:
        front_end: its name, as in `frontends.create`.
        address, workers: as in `common.cluster.actors`, whose errors are raised at the first image.
    """

    def describe(
        images: Iterable[tuple[Image, Frame]],
    ) -> Iterator[tuple[Image, Frame, Description]]:
        waiting: deque[tuple[Image, Frame]] = deque()

        def frames() -> Iterator[Frame]:
            for image, frame in images:
                waiting.append((image, frame))
                yield frame

        with actors(Describer, front_end, address, workers) as there:
            for description in there.in_order(lambda a, f: a.describe.remote(f), frames()):
                yield (*waiting.popleft(), description)

    return describe
