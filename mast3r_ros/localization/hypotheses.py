# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which of several first poses is right, and what the others say of its error.

Pixels alone bind a pose badly where a camera hardly moves: a turn and a step aside look alike, and
a pose that is bent along with a keyframe may agree with nearly as many matches as the right one.
All first poses are refined, and the one with the most support is the answer. A runner-up that
explains the image nearly as well, and that the covariance does not allow for, may be the right one:
it widens the covariance. So does the pose that a camera has which did not turn during its readout:
a plane seen through a long lens bends with such a turn, towards its second pose, and linear theory
does not see how far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.joint_pose import Matches, lengths, linearize
from mast3r_ros.geometry.robust_pose import Estimate, estimate
from mast3r_ros.geometry.robust_solver import SharedErrors
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.other_poses import outside, second_of_plane, with_room_for
from mast3r_ros.localization.single_matches import doubt_single_matches
from mast3r_ros.localization.solving import EVIDENCE_GRID, image_cells, query_features
from mast3r_ros.localization.view import MatchedView, same_cameras

# A pose is bound weakly if its matches move by less than this part of an inlier's largest error
# (root mean square) as it moves by the largest deviation allowed. It is then looked for again from
# where they have moved so far. Twice as far led to other optima (even images of a rendered drive).
_SLIDE = 0.25
# Before it is refined, the second pose of a plane misses its matches by up to so many times the
# largest error of an inlier.
_ROUGHLY = 4.0


def best_of(
    hypotheses: Sequence[Pose],
    matches: Matches,
    shared: SharedErrors,
    views: Sequence[MatchedView],
    options: RelocalizerOptions,
) -> Estimate | None:
    """The refined pose with the most support; None where none can be refined.

    Args:
        hypotheses: map <- camera, or map <- body.
        matches, shared: see `estimate`.
        views: that the matches are of.
        options: when two poses are really different.
    """
    refined = [r for h in hypotheses if (r := estimate(h, matches, shared)) is not None]
    if not refined:
        return None
    best = max(refined, key=lambda one: one.support)
    best = doubt_single_matches(best, matches, shared, views)
    best, slid = _slid(best, matches, shared, options)
    rivals = [
        r for r in refined if r.support >= options.max_ambiguity * best.support and outside(r, best)
    ]
    if matches.readout is not None and _plane_like(best, matches, options):
        still = estimate(best.pose, replace(matches, readout=None), shared)
        rivals += [] if still is None else [still]
    rivals += slid
    if not rivals:
        return best
    features, cells = query_features(views), image_cells(views, same_cameras(views), EVIDENCE_GRID)
    return with_room_for(rivals, best, features, cells)


def _slid(
    best: Estimate, matches: Matches, shared: SharedErrors, options: RelocalizerOptions
) -> tuple[Estimate, list[Estimate]]:
    """The best optimum along the direction that binds a pose least, and the best one beside it.

    Handles, boards and window panes repeat: a pose that may slide over them rests where it comes to
    lie first, with hardly fewer inliers than the right one has. It is therefore looked for from
    both sides. A pose that its matches bind well stays as it is.
    """
    limits = np.repeat([options.max_position_sigma, options.max_rotation_sigma], 3)
    seen = linearize(best.pose, matches.select(best.inliers))
    moved = seen.by_pose[seen.ahead, :, :6] * limits
    squares, axes = np.linalg.eigh(np.einsum("nij,nik->jk", moved, moved) / len(moved))
    by_one_limit = np.sqrt(max(squares[0], 1e-9))
    if by_one_limit > _SLIDE * matches.threshold:
        return best, []
    step = _SLIDE * matches.threshold / by_one_limit * limits * axes[:, 0]
    starts = (transforms.perturb(best.pose, sign * step) for sign in (-1.0, 1.0))
    ends = [e for s in starts if (e := estimate(s, matches, shared)) is not None]
    first, *rest = sorted([best, *ends], key=lambda one: -one.support)
    return first, [end for end in rest if outside(end, first)][:1]


def _plane_like(best: Estimate, matches: Matches, options: RelocalizerOptions) -> bool:
    """Whether the second pose of a plane shows about the same image.

    Elsewhere, a turn during the readout has an error that linear theory sees.
    """
    twin = second_of_plane(best, matches)
    if twin is None:
        return True  # seen face on: both poses are near by
    near = lengths(twin, matches)[0] < _ROUGHLY * matches.limits
    known = best.inliers & matches.with_point
    return bool((near & known).sum() >= options.max_ambiguity * known.sum())
