# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whether a pose is accepted, how exact it is, and why it is refused otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mast3r_ros.geometry.joint_pose import Matches
from mast3r_ros.geometry.overlap import shares_view
from mast3r_ros.geometry.robust_pose import Estimate
from mast3r_ros.geometry.robust_solver import SharedErrors
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.confidence import FEWEST_OF_KEYFRAME, Signs
from mast3r_ros.localization.inlier_ratios import best_ratio, low_ratio_of_points
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.other_poses import (
    compare,
    dissenting_view,
    far_apart,
    other_poses,
    with_room_for,
)
from mast3r_ros.localization.result import KeyframeMatch, Reason
from mast3r_ros.localization.solving import EVIDENCE_GRID, image_cells, query_features
from mast3r_ros.localization.told_apart import seen_distance, told_apart
from mast3r_ros.localization.view import MatchedView, same_cameras

_SPREAD_GRID = (8, 8)
# A pose elsewhere with this part of a weak answer's inliers is compared with it, too, though it
# would not be accepted itself.
_WEAK = 0.5
# A pose of another place needs this part of the inlier ratio that an answer needs, to speak against
# one. Of thousands of matches with many keyframes, 50 to 170 agree on some pose by chance: 0.13,
# 0.20, 0.32, 0.54 and 0.86 of it in the five cases of the recordings (0.86 of 43 matches).
# Rendered places that look alike had 1.1 or more by xfeat, and 0.8 (once), 1.6 or more by sift.
_CREDIBLE = 0.5


@dataclass(frozen=True)
class Verdict:
    """The outcome of the checks of one pose.

    Attributes:
        reason: LOCALIZED, or the first check that failed.
        figures: what was measured, for people.
        signs: what speaks for the pose, where all checks that come before were passed.
        views: the best inlier ratio of each view.
        rivals: poses of other places that were compared, (4, 4).
        better: one of them for which the image speaks, and against the answer.
        answer: the accepted pose, with room in its covariance for others near by.
    """

    reason: Reason
    figures: str
    signs: Signs | None = None
    views: tuple[float, ...] = ()
    rivals: tuple[Pose, ...] = ()
    better: Estimate | None = None
    answer: Estimate | None = None


def verify(
    answer: Estimate,
    matches: Matches,
    shared: SharedErrors,
    explained: Sequence[KeyframeMatch],
    views: Sequence[MatchedView],
    min_inliers: int,
    min_inlier_ratio: float,
    options: RelocalizerOptions,
) -> Verdict:
    """Accept or refuse a pose.

    Args:
        answer: the pose and its inliers.
        matches, shared: all matches in the map's frame, and what they have in common.
        explained: the same by view and keyframe, with the inliers of the pose.
        views: of the query.
        min_inliers, min_inlier_ratio: what the front end needs, or the options say.
    """
    if answer.support < min_inliers:
        return Verdict(Reason.FEW_INLIERS, f"{int(answer.support)} of {min_inliers} needed")
    ratio, needed = best_ratio(answer.inliers, views, min_inlier_ratio, options)
    if ratio < needed:
        return Verdict(Reason.LOW_INLIER_RATIO, f"{ratio:.2f} of {needed} needed")
    low = low_ratio_of_points(answer, matches, views, min_inlier_ratio, options)
    if low:
        return Verdict(Reason.LOW_INLIER_RATIO, low)
    # Images of one camera are laid over each other: what looks alike in all of them is one thing.
    numbers = same_cameras(views)
    spread = len(np.unique(image_cells(views, numbers, _SPREAD_GRID)[answer.inliers]))
    if spread < options.min_cells:
        return Verdict(Reason.POOR_SPREAD, f"{spread} cells of {options.min_cells} needed")
    if _too_uncertain(answer, options):
        return Verdict(Reason.UNCERTAIN, _figures(answer))
    against = dissenting_view(answer, matches, views, min_inliers, options)
    if against is not None:
        return Verdict(Reason.DISAGREEING, f"image {against + 1} of {len(views)} is elsewhere")
    features, rivals = query_features(views), list[Pose]()
    cells = image_cells(views, numbers, EVIDENCE_GRID)
    least = np.inf
    least_beside = max(min_inliers, options.max_ambiguity * answer.support)
    least_elsewhere = least_support_elsewhere(explained, numbers, min_inliers, options)
    near = list[Estimate]()
    for other in other_poses(answer, matches, shared, least_elsewhere, options):
        if not far_apart(answer.pose, other.pose, options):
            near.append(other)
            continue
        beside = _beside(answer, other, matches)
        if other.support < least_beside and beside:
            continue
        evidence = compare(answer, other, features, cells).evidence
        same_matches = _by_the_same_matches(answer, other)
        other_ratio, other_needed = best_ratio(other.inliers, views, min_inlier_ratio, options)
        elsewhere = not beside and not same_matches and other_ratio >= _CREDIBLE * other_needed
        rivals += [other.pose] if elsewhere else []
        difference = told_apart(answer, other, matches, views) if elsewhere else None
        if difference and difference.sure:
            evidence = max(evidence, options.min_evidence)
        least = min(least, evidence)
        if evidence < options.min_evidence or (difference and not difference.distinguished):
            figures = (
                f"{other.support:.0f} inliers against {answer.support:.0f}, evidence "
                f"{evidence:.1f} of {options.min_evidence:.1f} needed"
            )
            # Two poses of one place by different matches: some of these are wrong, or keyframes
            # disagree. More matches may decide it; between places that look alike, they do not.
            if beside and not same_matches:
                figures = f"another one of the same place: {figures}"
                return Verdict(Reason.UNCERTAIN, figures, rivals=tuple(rivals))
            better = other if difference and difference.reversed else None
            return Verdict(Reason.AMBIGUOUS, figures, rivals=tuple(rivals), better=better)
    answer = with_room_for(near, answer, features, cells)
    if _too_uncertain(answer, options):
        figures = f"{_figures(answer)}, as other poses near by explain the image"
        return Verdict(Reason.UNCERTAIN, figures, rivals=tuple(rivals))
    signs = Signs(ratio / needed, agreeing_keyframes(explained), least)
    ratios = tuple(
        max((m.inlier_ratio for m in explained if m.view == i), default=0.0)
        for i in range(len(views))
    )
    return Verdict(Reason.LOCALIZED, _figures(answer), signs, ratios, tuple(rivals), answer=answer)


def _sigmas(answer: Estimate) -> tuple[float, float]:
    """Standard deviations of the position [m] and of the orientation [rad]."""
    variances = np.diag(answer.covariance)
    return float(np.sqrt(variances[:3].sum())), float(np.sqrt(variances[3:].sum()))


def _figures(answer: Estimate) -> str:
    """What supports a pose, and its standard deviations."""
    position, orientation = _sigmas(answer)
    return f"{int(answer.inliers.sum())} inliers, {position:.3f} m, {orientation:.4f} rad"


def _too_uncertain(answer: Estimate, options: RelocalizerOptions) -> bool:
    """Whether a pose is not exact enough."""
    position, orientation = _sigmas(answer)
    return not (
        position <= options.max_position_sigma and orientation <= options.max_rotation_sigma
    )


def least_support_elsewhere(
    explained: Sequence[KeyframeMatch],
    cameras: Sequence[int],
    min_inliers: int,
    options: RelocalizerOptions,
) -> float:
    """The support from which on a pose of another place is compared with an answer.

    Args:
        explained: the answer's inliers by view and keyframe.
        cameras: the number of each view's camera.
        min_inliers: what an answer needs.
        options: see `max_ambiguity`.
    """
    support = sum(m.support for m in explained)
    return max(
        min(min_inliers, _WEAK * support),
        options.max_ambiguity * support * _share_of_best(explained, cameras),
    )


def agreeing_keyframes(explained: Sequence[KeyframeMatch]) -> int:
    """How many keyframes agree with a pose, over all views."""
    inliers = Counter[int]()
    for m in explained:
        inliers[m.keyframe_id] += int(m.inliers.sum())
    return sum(count >= FEWEST_OF_KEYFRAME for count in inliers.values())


def _share_of_best(explained: Sequence[KeyframeMatch], cameras: Sequence[int]) -> float:
    """The part of an answer's inliers that each camera's best keyframe has.

    Another place may be seen by fewer keyframes; each camera sees another part of a place.
    """
    inliers = Counter[tuple[int, int]]()
    for m in explained:
        inliers[cameras[m.view], m.keyframe_id] += int(m.inliers.sum())
    best = Counter[int]()
    for (camera, _), count in inliers.items():
        best[camera] = max(best[camera], count)
    return best.total() / max(inliers.total(), 1)


def _beside(answer: Estimate, other: Estimate, matches: Matches) -> bool:
    """Whether two poses see one place: their support may be compared as it is."""
    away = seen_distance(answer, matches)
    return away is None or shares_view(answer.pose, other.pose, away)


def _by_the_same_matches(answer: Estimate, other: Estimate) -> bool:
    """Whether two poses rest on the same matches, as both solutions of a plane do."""
    return bool(2 * (answer.inliers & other.inliers).sum() > other.inliers.sum())
