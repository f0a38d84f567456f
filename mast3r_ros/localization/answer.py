# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The answer to a query: one pose over all matches of all views, checked, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.base import FrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.relative_pose import RelativePose
from mast3r_ros.geometry.rig import move_covariance
from mast3r_ros.geometry.robust_pose import Estimate
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.localization import solving
from mast3r_ros.localization.body import fixed_to_camera
from mast3r_ros.localization.hypotheses import best_of
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.protection import protection_levels
from mast3r_ros.localization.result import KeyframeMatch, Localization, Reason
from mast3r_ros.localization.verification import Verdict, verify
from mast3r_ros.localization.view import MatchedView, pairs

# With fewer points than this, the translation's length cannot be trusted.
_MIN_POINTS = 10
# With less than this between the views, a direction is noise [rad].
_MIN_PARALLAX = np.deg2rad(0.3)
# A smaller part of the matches at one pixel of several keyframes may be chance.
_REPORTED_SHARE = 0.02


def answer_of(
    views: Sequence[MatchedView],
    front_end: FrontEnd,
    min_inliers: int,
    options: RelocalizerOptions,
    start: Pose | None = None,
) -> Localization:
    """Where the body is, if the matches of all views say so and no check speaks against it.

    Args:
        views: of a query, with their matches.
        front_end: that matched them.
        min_inliers: fewest inliers of an accepted pose.
        options: the relocalizer's.
        start: map <- body, the only first pose; without it, first poses are looked for.
    """
    unexplained = _by_keyframe(views, [np.zeros(len(c), bool) for v in views for c in v.found])
    most = max(len(m.correspondences) for m in unexplained)
    if most < min_inliers:
        return _refusal(Reason.FEW_MATCHES, f"{most} at the most", unexplained)
    scales = [front_end.pixel_error_scale(v.size) for v in views]
    views, share = _without_body(views, scales)
    thresholds = [options.reprojection_threshold * scale for scale in scales]
    matches = solving.gather(views, thresholds, options)
    shared = solving.shared_errors(views, options)
    if start is None:
        hypotheses, relatives = solving.solve(
            views, matches, thresholds, options.pose_method, min_inliers
        )
    else:
        hypotheses, relatives = [start], [None] * len(unexplained)
    solved = best_of(hypotheses, matches, shared, views, options)
    if solved is None or not _metric(solved, len(views), options):
        return _direction_only(unexplained, relatives, solved)
    counts = np.cumsum([len(c) for v in views for c in v.found])

    def judge(solved: Estimate) -> _Judged:
        explained = _by_keyframe(views, np.split(solved.inliers, counts[:-1]))
        limits = min_inliers, front_end.min_inlier_ratio, options
        verdict = verify(solved, matches, shared, explained, views, *limits)
        return _Judged(verdict.answer or solved, explained, verdict)

    judged = judge(solved)
    if judged.verdict.better is not None:
        # It has fewer matches, but what differs between the places speaks for it.
        other = best_of([judged.verdict.better.pose], matches, shared, views, options)
        better = None if other is None else judge(other)
        if better is not None and better.verdict.reason is Reason.LOCALIZED:
            judged = better
    return judged.answer(views, share, options)


@dataclass(frozen=True)
class _Judged:
    """A pose, what it explains of each view and keyframe, and whether it is accepted."""

    solved: Estimate
    explained: list[KeyframeMatch]
    verdict: Verdict

    def answer(
        self, views: Sequence[MatchedView], share: float, options: RelocalizerOptions
    ) -> Localization:
        """The answer; `share` of all matches do not move with the camera."""
        solved, verdict = self.solved, self.verdict
        figures = verdict.figures + _about_body(share)
        places = (solved.pose, *verdict.rivals) if verdict.rivals else ()
        if verdict.reason is not Reason.LOCALIZED:
            refusal = _refusal(verdict.reason, figures, self.explained)
            return replace(refusal, fixed_share=share, places=places)
        levels = protection_levels(solved.covariance, options.protection_probability)
        return Localization(
            verdict.reason,
            f"{verdict.reason.value} ({figures})",
            solved.pose,
            solved.covariance,
            0.0 if verdict.signs is None else verdict.signs.probability,
            _ranked(
                _relative_to(keyframe, views[i], m, solved)
                for (i, keyframe, _), m in zip(pairs(views), self.explained, strict=True)
            ),
            int(solved.inliers.sum()),
            protection_position=levels[0],
            protection_rotation=levels[1],
            fixed_share=share,
            views=verdict.views,
            places=places,
        )


def _without_body(
    views: Sequence[MatchedView], scales: Sequence[float]
) -> tuple[Sequence[MatchedView], float]:
    """The views without the matches that do not move with the camera, and the share of these."""
    fixed = [
        fixed_to_camera(v.camera, v.keyframes, v.found, scale)
        for v, scale in zip(views, scales, strict=True)
    ]
    share = float(np.concatenate([f for of_view in fixed for f in of_view]).mean())
    if share == 0:
        return views, share
    moving = [
        v.with_matches([c.select(~f) for c, f in zip(v.found, of_view, strict=True)])
        for v, of_view in zip(views, fixed, strict=True)
    ]
    return moving, share


def _by_keyframe(
    views: Sequence[MatchedView], inliers: Sequence[NDArray[np.bool_]]
) -> list[KeyframeMatch]:
    """One part for each view and keyframe, from the inliers of each."""
    return [
        KeyframeMatch(keyframe.id, found, inlier, view=view)
        for (view, keyframe, found), inlier in zip(pairs(views), inliers, strict=True)
    ]


def _metric(solved: Estimate, views: int, options: RelocalizerOptions) -> bool:
    """Whether the distance to the keyframes is known: by points, or by the way between views."""
    if solved.points >= _MIN_POINTS:
        return True
    if views < 2:
        return False
    # Rays of a single place leave the distance open; those of several share odometry's meters.
    return bool(np.sqrt(np.trace(solved.covariance[:3, :3])) <= options.max_position_sigma)


def _about_body(share: float) -> str:
    """A hint where matches do not move with the camera."""
    if share < _REPORTED_SHARE:
        return ""
    return f"; {share:.0%} of the matches do not move with the camera: set `mask`"


def _direction_only(
    unexplained: Sequence[KeyframeMatch],
    relatives: Sequence[RelativePose | None],
    solved: Estimate | None,
) -> Localization:
    """Without metric points: rotation and direction to each keyframe that allows them."""
    answers = [
        match
        if relative is None or relative.parallax < _MIN_PARALLAX
        else replace(match, inliers=relative.inliers, pose=relative.pose)
        for match, relative in zip(unexplained, relatives, strict=True)
    ]
    best = max(int(m.inliers.sum()) for m in answers)
    if best:
        return _refusal(Reason.DIRECTION_ONLY, f"{best} inliers", answers)
    points = 0 if solved is None else solved.points
    figures = f"{points} of those whose point is known, {_MIN_POINTS} needed"
    return _refusal(Reason.FEW_INLIERS, figures, answers)


def _refusal(reason: Reason, figures: str, matches: Sequence[KeyframeMatch]) -> Localization:
    ranked = _ranked(matches)
    inliers = sum(int(m.inliers.sum()) for m in ranked)
    return Localization(reason, f"{reason.value} ({figures})", matches=ranked, inliers=inliers)


def _relative_to(
    keyframe: Keyframe, view: MatchedView, match: KeyframeMatch, solved: Estimate
) -> KeyframeMatch:
    """A keyframe's part of the answer: the pose of the view's camera in the keyframe's."""
    if not match.inliers.any():
        return match
    keyframe_map = transforms.inverse(keyframe.pose)
    covariance = move_covariance(solved.covariance, solved.pose, view.body_camera)
    return replace(
        match,
        pose=keyframe_map @ solved.pose @ view.body_camera,
        covariance=transforms.rotate_covariance(covariance, keyframe_map),
        metric=True,
    )


def _ranked(matches: Iterable[KeyframeMatch]) -> tuple[KeyframeMatch, ...]:
    return tuple(sorted(matches, key=lambda m: -int(m.inliers.sum())))
