# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The part of a keyframe's matches that agree with a pose: of all, and of those with a point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry.joint_pose import Matches
from mast3r_ros.geometry.robust_pose import Estimate
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.view import MatchedView

# With fewer points, the part of a keyframe's points that agree is too uncertain to speak against a
# pose: of the recordings without depth, one of three and three of eight agreed with right ones.
_ENOUGH_POINTS = 20


def low_ratio_of_points(
    answer: Estimate,
    matches: Matches,
    views: Sequence[MatchedView],
    needed: float,
    options: RelocalizerOptions,
) -> str:
    """What is wrong with the matches whose point is known, by themselves; empty if nothing is.

    Rays agree with a pose more easily, and the distance to the keyframes rests on points alone: of
    265 points of one keyframe, 59 put an image 0.26 m aside where 396 of its 785 rays agreed.
    Keyframes with few points are judged by all of their matches.
    """
    counts = _lengths(views)
    known = [part.sum() for part in np.split(matches.with_point, np.cumsum(counts)[:-1])]
    few = np.repeat(np.array(known) < _ENOUGH_POINTS, counts)
    ratio, needed = best_ratio(answer.inliers, views, needed, options, matches.with_point | few)
    if ratio >= needed:
        return ""
    return f"{ratio:.2f} of {needed} needed, of the matches whose point is known"


def _lengths(views: Sequence[MatchedView]) -> list[int]:
    """How many matches there are, by view and keyframe."""
    return [len(found) for view in views for found in view.found]


def best_ratio(
    inliers: NDArray[np.bool_],
    views: Sequence[MatchedView],
    needed: float,
    options: RelocalizerOptions,
    counted: NDArray[np.bool_] | None = None,
) -> tuple[float, float]:
    """The inlier ratio of the best keyframe of a pose, and the one that its matches need.

    Args:
        inliers: (N,) of the pose.
        views: that the matches are of.
        needed: by the front end.
        options: may say otherwise.
        counted: (N,) the matches to be looked at; None for all.
    """
    ends = np.cumsum(_lengths(views))[:-1]
    counted = np.ones(len(inliers), bool) if counted is None else counted
    ratios = [
        (float(own[told].mean()), options.needed_ratio(c.min_inlier_ratio, needed))
        for c, own, told in zip(
            (c for view in views for c in view.found),
            np.split(inliers, ends),
            np.split(counted, ends),
            strict=True,
        )
        if told.any()
    ]
    return max(ratios, key=lambda pair: pair[0] / pair[1])
