# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keyframes that were matched to contradict a pose, and have nothing to say.

Most keyframes elsewhere that look like those that hold a pose match neither it nor another one.
Then the pose stands as it was solved, and solving all once more, which takes as long as before,
would change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mast3r_ros.geometry.joint_pose import agreeing
from mast3r_ros.localization import solving
from mast3r_ros.localization.body import fixed_to_camera
from mast3r_ros.localization.confidence import FEWEST_OF_KEYFRAME
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.other_poses import far_apart, left_over
from mast3r_ros.localization.result import KeyframeMatch, Localization
from mast3r_ros.localization.verification import least_support_elsewhere
from mast3r_ros.localization.view import MatchedView, pairs, same_cameras

# Of a keyframe that knows fewer of its points, no pose of its own would be found by points.
_KNOWN = 0.5


def bystanders(
    answer: Localization,
    views: Sequence[MatchedView],
    scales: Sequence[float],
    min_inliers: int,
    options: RelocalizerOptions,
) -> list[KeyframeMatch] | None:
    """The matches of the keyframes that the answer does not know yet, if they say nothing.

    Args:
        answer: a pose.
        views: of the query, matched with more keyframes than the answer rests on.
        scales: how far matches scatter in each view, see `FrontEnd.pixel_error_scale`.
        min_inliers: what an answer needs.
        options: the relocalizer's.

    Returns:
        None where one of the keyframes agrees with the pose, where a part of all matches has one
        elsewhere, or where neither is known for sure.
    """
    assert answer.pose is not None
    known = {(m.view, m.keyframe_id) for m in answer.matches}
    new = [
        KeyframeMatch(keyframe.id, found, np.zeros(len(found), bool), view=view)
        for view, keyframe, found in pairs(views)
        if (view, keyframe.id) not in known
    ]
    if answer.fixed_share > 0 or not all(_knows_points(m) for m in new):
        return None
    for view, scale in zip(views, scales, strict=True):
        if any(f.any() for f in fixed_to_camera(view.camera, view.keyframes, view.found, scale)):
            return None
    thresholds = [options.reprojection_threshold * scale for scale in scales]
    matches = solving.gather(views, thresholds, options)
    agreed = agreeing(answer.pose, matches)
    ends = np.cumsum([len(found) for _, _, found in pairs(views)])[:-1]
    for (number, keyframe, _), own in zip(pairs(views), np.split(agreed, ends), strict=True):
        if (number, keyframe.id) not in known and own.sum() >= FEWEST_OF_KEYFRAME:
            return None
    least = least_support_elsewhere(answer.matches, same_cameras(views), min_inliers, options)
    others = left_over(agreed, matches, least)
    return None if any(far_apart(answer.pose, other, options) for other in others) else new


def _knows_points(match: KeyframeMatch) -> bool:
    points = match.correspondences.reference_points
    return bool(np.isfinite(points).all(axis=1).sum() >= _KNOWN * len(points))
