# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whether the newest images of a window support its pose: that it is the pose of this moment.

The images before support a pose where they were taken. Only the newest images show whether the
robot has moved from there as odometry measured: it may have been bumped or carried away since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mast3r_ros.geometry.robust_pose import estimate
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization, Reason
from mast3r_ros.localization.solving import gather, shared_errors
from mast3r_ros.localization.view import MatchedView

# Inliers of a window's pose that the newest images must have: some whose point is known, or more of
# any kind. Of 100 matches at random, 1 in 1500 falls within 4 pixels of its point in 320x240, and 1
# in 60 within 2 of its epipolar line: so many agree by chance in 1 of 20000 and 1 of 3500 cases.
_FEWEST_POINTS, _FEWEST = 3, 8
# A bump that images before and after it may not contradict, one standard deviation [m, rad]: by
# default, poses that differ by less count as the same (`RelocalizerOptions.same_position`).
_BUMP = (0.25, 0.0873)


def judged_by_newest(
    answer: Localization, newest: Sequence[MatchedView], relocalizer: Relocalizer
) -> Localization:
    """A window's answer, refused where the images of this instant hold none of it.

    It would be odometry alone: in the dark, or where the robot was carried away. `fresh` and
    `bump_shown` of an accepted one are set.

    Args:
        answer: by the images of this instant and those before.
        newest: those of this instant, with their matches: its first views.
        relocalizer: that gave it.
    """
    now = [m for m in answer.matches if m.view < len(newest)]
    seen = sum(int(m.inliers.sum()) for m in now)
    points = sum(m.points for m in now)
    support = sum(m.support for m in now)
    if answer.pose is None:
        return replace(answer, fresh=min(support / relocalizer.min_inliers, 1.0))
    if points < _FEWEST_POINTS and seen < _FEWEST:
        reason, places = Reason.FEW_INLIERS, (answer.pose, *answer.places[1:])
        message = f"{reason.value} ({seen} of {_FEWEST} needed in the newest image)"
        return Localization(
            reason, message, None, None, 0.0, answer.matches, answer.inliers, places=places
        )
    shown = 1.0
    # Rays do not show a bump along them; the meters of their pose are from odometry.
    if points >= _FEWEST_POINTS and support < relocalizer.sure_inliers:
        views = relocalizer.scale.applied(newest)
        scale = relocalizer.map.front_end.pixel_error_scale
        shown = _bump_shown(views, answer.pose, [scale(v.size) for v in views], relocalizer.options)
    return replace(answer, fresh=min(support / relocalizer.min_inliers, 1.0), bump_shown=shown)


def _bump_shown(
    views: Sequence[MatchedView],
    pose: Pose,
    scales: Sequence[float],
    options: RelocalizerOptions,
) -> float:
    """See `Localization.bump_shown`.

    It is the part of its variance that the images take away.
    """
    thresholds = [options.reprojection_threshold * scale for scale in scales]
    alone = estimate(pose, gather(views, thresholds, options), shared_errors(views, options))
    if alone is None:
        return 0.0
    bump = np.repeat(_BUMP, 3)
    left = np.linalg.eigvalsh(alone.covariance / np.outer(bump, bump))[-1]
    return float(1.0 / (1.0 + left))
