# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Maps some images of a recording, and localizes the others among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mast3r_ros.datasets.recording import PosedImage, read_frames
from mast3r_ros.evaluation.metrics import Outcome
from mast3r_ros.frame import Frame
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization


def split(
    recording: Sequence[PosedImage], every: int, offset: int = 0
) -> tuple[list[PosedImage], list[PosedImage]]:
    """Keyframes: every `every`-th image from number `offset` on; and all other images."""
    chosen = range(offset, len(recording), every)
    rest = [image for i, image in enumerate(recording) if i not in chosen]
    return [recording[i] for i in chosen], rest


def add_keyframes(
    keyframes: KeyframeMap, images: Iterable[PosedImage], with_depth: bool
) -> Iterator[int]:
    """Add images to a map in their order; yields each new keyframe's id."""
    for image, frame in read_frames(images, with_depth):
        yield keyframes.add(frame, image.true_pose)


def localize(
    relocalizer: Relocalizer, queries: Iterable[PosedImage]
) -> Iterator[tuple[Outcome, Frame, Localization]]:
    """Localize images by themselves, without their depth and without what came before."""
    for query, frame in read_frames(queries, with_depth=False):
        answer = relocalizer.localize(frame)
        yield Outcome.of(query.name, query.true_pose, answer), frame, answer
