# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Points of keyframes without depth, made anew where their poses have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mast3r_ros.frontends.base import Depths, FrontEnd, Triangulates, triangulates
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.triangulation import (
    choose_neighbors,
    triangulate_pair,
    with_depths,
)

# As many neighbors as a new keyframe of a map is matched with.
_NEIGHBORS = 6


def triangulated_again(
    keyframes: Sequence[Keyframe], pairs: Sequence[tuple[int, int]], front_end: FrontEnd
) -> list[Keyframe]:
    """The keyframes, those without depth with points triangulated from their poses as they are.

    Args:
        keyframes: with cameras.
        pairs: numbers of keyframes that see the same things.
        front_end: theirs; where it does not triangulate, or no keyframe lacks depth, nothing
            changes.
    """
    if not triangulates(front_end) or all(k.sensed for k in keyframes):
        return list(keyframes)
    depths: list[list[Depths]] = [[] for _ in keyframes]
    wanted = set()
    for i, keyframe in enumerate(keyframes):
        near = [a + b - i for a, b in pairs if i in (a, b)]
        numbers = {keyframes[j].id: j for j in near}
        for chosen in choose_neighbors(keyframe, [keyframes[j] for j in near], _NEIGHBORS):
            if not (keyframe.sensed and chosen.sensed):
                wanted.add((min(i, numbers[chosen.id]), max(i, numbers[chosen.id])))
    for one, other in sorted(wanted):
        first, second = triangulate_pair(keyframes[one], keyframes[other], front_end)
        depths[one].append(first)
        depths[other].append(second)
    return [
        k if k.sensed else _with_points(k, found, front_end)
        for k, found in zip(keyframes, depths, strict=True)
    ]


def _with_points(keyframe: Keyframe, depths: Sequence[Depths], front_end: Triangulates) -> Keyframe:
    assert keyframe.camera is not None
    unknown = np.full(len(front_end.ray_pixels(keyframe.description)), np.nan)
    bare = front_end.with_depths(keyframe.description, keyframe.camera, unknown, unknown)
    known = front_end.known_depths(bare)
    return with_depths(replace(keyframe, description=bare), [*known, *depths], front_end)
