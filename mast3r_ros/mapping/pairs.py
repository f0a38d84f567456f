# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which keyframes of a map see the same things, and the matches between their features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.base import Description
from mast3r_ros.frontends.features import FeatureDescription, FeatureFrontEnd
from mast3r_ros.geometry.relative_pose import estimate_relative_pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping.extra import MappingError

# Largest epipolar error of a verified match [pixels]. Twice as much lets chance find twice as many:
# features of an office that do not belong together then agree as often as those that do.
_EPIPOLAR_PX = 2.0


@dataclass(frozen=True)
class MatchedPair:
    """Two images and their matching features.

    Attributes:
        one, other: numbers of the images, one < other.
        rows: (N, 2) int64, rows of the one's and of the other's keypoints.
    """

    one: int
    other: int
    rows: NDArray[np.int64]


def features_of(keyframes: KeyframeMap) -> FeatureFrontEnd:
    """The front end of a map whose descriptions hold features.

    Raises:
        MappingError: it keeps none: matches of a network belong to a pair, not to an image.
    """
    front_end = keyframes.front_end
    if not isinstance(front_end, FeatureFrontEnd):
        raise MappingError(
            f"front end '{front_end.name}' keeps no features of an image: build the map with "
            "front end sift or xfeat"
        )
    return front_end


def feature_description(description: Description) -> FeatureDescription:
    """The description of a map whose front end `features_of` accepted."""
    assert isinstance(description, FeatureDescription)
    return description


def similar_pairs(
    keyframes: KeyframeMap, neighbors: int, successors: int = 0
) -> list[tuple[int, int]]:
    """Pairs of keyframes that may see the same things, by their numbers, each once, in order.

    Args:
        keyframes: in the order of time.
        neighbors: keyframes that look most like each one.
        successors: keyframes that follow each one.
    """
    numbers = {int(keyframe_id): number for number, keyframe_id in enumerate(keyframes.ids)}
    pairs = set()
    for number, keyframe in enumerate(keyframes):
        alike = [numbers[k.id] for k in keyframes.nearest(keyframe.description, neighbors + 1)]
        after = range(number + 1, min(number + 1 + successors, len(numbers)))
        pairs |= {(min(number, i), max(number, i)) for i in (*alike, *after) if i != number}
    return sorted(pairs)


def match_pairs(
    keyframes: Sequence[Keyframe],
    pairs: Iterable[tuple[int, int]],
    front_end: FeatureFrontEnd,
) -> Iterator[MatchedPair]:
    """Match pairs of images one by one."""
    for one, other in pairs:
        first, second = (feature_description(keyframes[i].description) for i in (one, other))
        rows, _ = front_end.match_indices(first, second)
        yield MatchedPair(one, other, rows)


def verified(
    keyframes: Sequence[Keyframe],
    matches: Iterable[MatchedPair],
    front_end: FeatureFrontEnd,
    seed: int,
) -> Iterator[MatchedPair]:
    """The pairs whose matches agree on an epipolar geometry, with those matches alone.

    What fewer or a smaller part of the matches agree on than the front end's limits may be chance:
    these pairs are left out.

    Args:
        keyframes: with cameras; their poses are not used.
        matches: between them, numbered in their order.
        seed: of the random samples.
    """
    for pair in matches:
        one, other = keyframes[pair.one], keyframes[pair.other]
        pixels = [
            feature_description(k.description).keypoints[rows]
            for k, rows in ((one, pair.rows[:, 0]), (other, pair.rows[:, 1]))
        ]
        assert one.camera is not None
        assert other.camera is not None
        found = estimate_relative_pose(
            pixels[0], pixels[1], one.camera, other.camera, _EPIPOLAR_PX, seed
        )
        if found is None:
            continue
        count = int(found.inliers.sum())
        if count >= max(front_end.min_inliers, front_end.min_inlier_ratio * len(pair.rows)):
            yield MatchedPair(pair.one, pair.other, pair.rows[found.inliers])
