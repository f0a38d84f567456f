# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Points of keyframes without depth, made anew where their poses have changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from mast3r_ros.frontends.base import Depths, Triangulates, triangulates
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.triangulation import (
    choose_neighbors,
    triangulate_pair,
    with_depths,
)

# As many neighbors as a new keyframe of a map is matched with.
_NEIGHBORS = 6


def triangulated_again(keyframes: KeyframeMap, pairs: Sequence[tuple[int, int]]) -> KeyframeMap:
    """A map whose keyframes without depth have points triangulated from their poses as they are.

    Args:
        keyframes: with cameras. Where their front end does not triangulate, or none lacks depth,
            nothing changes.
        pairs: numbers of keyframes that see the same things.
    """
    front_end = keyframes.front_end
    if not triangulates(front_end) or keyframes.sensed.all():
        return keyframes
    return keyframes.derive(_triangulated(keyframes.in_order(), pairs, front_end))


def _triangulated(
    keyframes: Sequence[Keyframe], pairs: Sequence[tuple[int, int]], front_end: Triangulates
) -> Iterator[Keyframe]:
    after = _pairs_to_triangulate(keyframes, pairs)
    # Of each keyframe until its turn: those of all at once take as much memory as their images.
    depths: defaultdict[int, list[Depths]] = defaultdict(list)
    for one, keyframe in enumerate(keyframes):
        for other in after[one]:
            first, second = triangulate_pair(keyframe, keyframes[other], front_end)
            depths[one].append(first)
            depths[other].append(second)
        found = depths.pop(one, [])
        yield keyframe if keyframe.sensed else _with_points(keyframe, found, front_end)


def _pairs_to_triangulate(
    keyframes: Sequence[Keyframe], pairs: Sequence[tuple[int, int]]
) -> list[list[int]]:
    """For each keyframe, the later ones that it is matched with, in their order."""
    near: list[list[int]] = [[] for _ in keyframes]
    for one, other in pairs:
        near[one].append(other)
        near[other].append(one)
    after: list[set[int]] = [set() for _ in keyframes]
    for i, keyframe in enumerate(keyframes):
        numbers = {keyframes[j].id: j for j in near[i]}
        for chosen in choose_neighbors(keyframe, [keyframes[j] for j in near[i]], _NEIGHBORS):
            if not (keyframe.sensed and chosen.sensed):
                after[min(i, numbers[chosen.id])].add(max(i, numbers[chosen.id]))
    return [sorted(others) for others in after]


def _with_points(keyframe: Keyframe, depths: Sequence[Depths], front_end: Triangulates) -> Keyframe:
    assert keyframe.camera is not None
    unknown = np.full(len(front_end.ray_pixels(keyframe.description)), np.nan)
    bare = front_end.with_depths(keyframe.description, keyframe.camera, unknown, unknown)
    known = front_end.known_depths(bare)
    return with_depths(replace(keyframe, description=bare), [*known, *depths], front_end)
