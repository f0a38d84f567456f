# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keyframes that see from other sides what a pose rests on: it may look the same from there.

A rug, a table or a row of machines may have two sides that are alike, and an image of it two poses.
If all matched keyframes stand on the one side, nothing contradicts their pose: what lies behind the
thing in the image merely has no match. Keyframes on the right side share that, too, and therefore
as many visual words with the image as those that were matched.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.base import Description
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.overlap import sees_from_beside
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.result import KeyframeMatch

# Keyframes that are looked at, those that share the most words.
_CONSIDERED = 32
# A part of the most words that a matched keyframe shares. The best keyframe on the right side of a
# rug had 0.71 and more (even images of a rendered drive); other corners of a room with one
# wallpaper, which make right poses ambiguous, 0.64 and less.
_AS_MANY = 0.67
# From the other side, an image shows a thing from as far away, and keyframes that share its view
# stand within about so many times that distance from it.
_REACH = 2.0
# Points of a pose that are looked at.
_POINTS = 200


def other_sides(
    keyframes: KeyframeMap,
    query: Description,
    pose: Pose,
    holding: Sequence[KeyframeMatch],
    matched: set[int],
    sure: bool,
) -> list[Keyframe]:
    """Keyframes near by that do not see what a pose rests on, or see it from another side.

    Args:
        keyframes: the map.
        query: of the image.
        pose: map <- camera of the image.
        holding: the matches that hold the pose.
        matched: ids of all keyframes that were matched.
        sure: the pose has many inliers; otherwise, keyframes may share fewer words.

    Returns:
        Of those that were not matched, the ones that share about as many words with the image;
        none where the map has no words.
    """
    points = _points(keyframes, holding)
    if not len(points):
        return []
    middle = np.median(points, axis=0)
    reach = _REACH * float(np.linalg.norm(pose[:3, 3] - middle))
    found = keyframes.by_words(query, _CONSIDERED)
    most = max((score for score, k in found if k.id in matched), default=0.0)
    return [
        keyframe
        for score, keyframe in found
        if keyframe.id not in matched
        and (score >= _AS_MANY * most or not sure)
        and np.linalg.norm(keyframe.pose[:3, 3] - middle) < reach
        and not sees_from_beside(keyframe.pose, pose, points)
    ]


def _points(keyframes: KeyframeMap, holding: Sequence[KeyframeMatch]) -> NDArray[np.float64]:
    """(N, 3) some of the points in the map that a pose rests on [m]."""
    inliers = [
        transforms.apply(
            keyframes[m.keyframe_id].pose, m.correspondences.reference_points[m.inliers]
        )
        for m in holding
    ]
    points = np.concatenate(inliers)
    points = points[np.isfinite(points).all(1)]
    return np.asarray(points[:: max(len(points) // _POINTS, 1)], np.float64)
