# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keyframes elsewhere that look like those a pose rests on: what else could have been seen.

Retrieval fills all places with keyframes of one room where two look alike, and nothing contradicts
then. The map itself knows better: the keyframes that hold the pose have look-alikes elsewhere. Both
are asked, the image and the keyframes that hold its pose, since an image is often less like the
keyframe of the same view in the other room than that keyframe is like its own twin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mast3r_ros.frontends.base import Description
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.overlap import shares_view
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.result import KeyframeMatch

# A keyframe looks as much like an image as another one up to this factor and this difference of
# 1 - cos of their descriptors, which is some 0.05 for the right keyframe and 0.1 for any other.
_AS_ALIKE = 1.5
_ALIKE = 0.02
# Keyframes that hold at least this part of the most inliers are asked for their look-alikes.
_HOLDS = 0.5
# Keyframes that are asked for at a time, and in all: beside a pose there may be many.
_FIRST, _MOST = 32, 512


def unlikeness(one: Description, other: Description) -> float:
    """1 - cos of the angle between two global descriptors."""
    return 1.0 - float(one.global_descriptor @ other.global_descriptor)


def look_alikes(
    keyframes: KeyframeMap,
    query: Description,
    pose: Pose,
    matches: Sequence[KeyframeMatch],
    count: int,
    sure: bool,
) -> list[Keyframe]:
    """Keyframes elsewhere that were not matched and look as much alike as those that were.

    Args:
        keyframes: the map.
        query: of the image.
        pose: map <- camera of the image.
        matches: its matches with keyframes, most inliers first.
        count: at most so many keyframes.
        sure: the pose has many inliers; otherwise, keyframes elsewhere need not look as much alike.

    Returns:
        The most alike first.
    """
    most = matches[0].inliers.sum()
    holding = [m for m in matches if m.inliers.sum() >= max(_HOLDS * most, 1)]
    held = [keyframes[m.keyframe_id].description for m in holding]
    distance = _distance(holding)
    bound = _AS_ALIKE * min(unlikeness(query, d) for d in held) + _ALIKE if sure else np.inf
    matched = {m.keyframe_id for m in matches}
    found: dict[int, tuple[float, Keyframe]] = {}
    for look in (query, *held):
        for unlike, keyframe in _nearest(keyframes, look, bound):
            best = found.get(keyframe.id, (np.inf, keyframe))[0]
            if keyframe.id not in matched and not shares_view(pose, keyframe.pose, distance):
                found[keyframe.id] = (min(best, unlike), keyframe)
    ranked = sorted(found.values(), key=lambda pair: pair[0])
    return [keyframe for _, keyframe in ranked[:count]]


def _nearest(
    keyframes: KeyframeMap, look: Description, bound: float
) -> Iterator[tuple[float, Keyframe]]:
    """Keyframes that look alike up to a bound, with how much they do."""
    done, count = 0, _FIRST
    while done < min(len(keyframes), _MOST):
        for alike, keyframe in keyframes.alike(look, count)[done:]:
            if 1.0 - alike > bound:
                return
            yield 1.0 - alike, keyframe
        done, count = count, 4 * count


def _distance(matches: Sequence[KeyframeMatch]) -> float:
    """Median distance of the points that a pose rests on from its camera [m]."""
    away = [
        np.linalg.norm(
            transforms.apply(
                transforms.inverse(m.pose), m.correspondences.reference_points[m.inliers]
            ),
            axis=1,
        )
        for m in matches
        if m.pose is not None
    ]
    known = np.concatenate(away)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else 0.0
