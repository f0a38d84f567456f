# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whether a really different pose explains the image about as well.

Another pose is looked for where one could hide: among the matches that the answer leaves over (a
second place that looks alike, the other side of a symmetric thing), and at the second solution of a
plane (a poster, a door, a floor), which explains the same matches. Both poses are then compared by
what only one of them explains, cell by cell of the image: what both explain decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.generalized_pose import body_of, from_points
from mast3r_ros.geometry.joint_pose import Matches, agreeing
from mast3r_ros.geometry.planar import planar_twin
from mast3r_ros.geometry.robust_pose import Estimate, estimate
from mast3r_ros.geometry.robust_solver import SharedErrors
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.view import MatchedView, same_instants

Array = NDArray[np.float64]

# Rounds of looking for other poses in what is left over; the first may find the answer again.
_ROUNDS = 2
# With fewer matches of a view than these, chance poses are as good: all views are searched at once.
_FEWEST_ALONE = 12
# A first pose is refined if it has this part of the support that it needs.
_WORTH = 0.5
# RANSAC misses a pose of the needed support with this probability.
_MISS = 0.01
# Deviations beyond which the uncertainty of two poses does not explain their distance: the 99.9th
# percentile of chi-square with 6 degrees of freedom.
_CHI_SQUARE = 22.5
# The 95th percentile: beyond it, a pose is not within the covariance of another one.
_OUTSIDE = 12.6


@dataclass(frozen=True)
class Comparison:
    """What speaks for one pose against another.

    Attributes:
        evidence: standard deviations by which the first explains the image better (Vuong's test,
            Econometrica 1989, over cells; with outcomes of 0 and 1 it is McNemar's).
        cost: twice the logarithm of the likelihood ratio.
    """

    evidence: float
    cost: float


def other_poses(
    answer: Estimate,
    matches: Matches,
    shared: SharedErrors,
    min_support: float,
    options: RelocalizerOptions,
) -> Iterator[Estimate]:
    """Poses that are really different from the answer and have at least some support.

    Those that are not far apart from it are outside of what its covariance allows for.
    """
    twin = second_of_plane(answer, matches)
    for start in chain([twin], left_over(answer.inliers, matches, min_support)):
        if start is None or not _worth_refining(start, answer, matches, options):
            continue
        other = estimate(start, matches, shared, min_support)
        if other is None or other.support < min_support:
            continue
        far = far_apart(answer.pose, other.pose, options)
        if differs(answer, other, options) if far else outside(other, answer):
            yield other


def _worth_refining(
    start: Pose, answer: Estimate, matches: Matches, options: RelocalizerOptions
) -> bool:
    """Whether a first pose is far from the answer, or has many matches that the answer has not.

    Near by, a few that agree by chance would only lead back to the answer.
    """
    if far_apart(answer.pose, start, options):
        return True
    own = agreeing(start, matches) & ~answer.inliers
    return bool(own.sum() >= options.max_ambiguity * answer.support)


def differs(one: Estimate, other: Estimate, options: RelocalizerOptions) -> bool:
    """Whether two poses are farther apart than their uncertainty explains, and than the floor."""
    if not far_apart(one.pose, other.pose, options):
        return False
    delta = transforms.difference(other.pose, one.pose)
    together = one.covariance + other.covariance
    return bool(delta @ np.linalg.solve(together, delta) > _CHI_SQUARE)


def outside(one: Estimate, other: Estimate) -> bool:
    """Whether a pose lies outside of what the covariance of another one allows for."""
    apart = transforms.difference(one.pose, other.pose)
    return bool(apart @ np.linalg.solve(other.covariance, apart) > _OUTSIDE)


def compare(
    one: Estimate, other: Estimate, features: NDArray[np.int64], cells: NDArray[np.int64]
) -> Comparison:
    """What speaks for the first pose.

    A feature of the query may be matched with several keyframes: the match that fits best counts.

    Args:
        features: (N,) number of the query's feature that each match belongs to.
        cells: (N,) cell of the query's image.
    """
    # One variance for both: that of the first.
    scale = one.outlier_costs / other.outlier_costs
    best = []
    for costs in (one.costs, other.costs * scale):
        of_feature = np.full(features.max() + 1, np.inf)
        np.minimum.at(of_feature, features, np.minimum(costs, one.outlier_costs))
        best.append(of_feature)
    cell_of = np.zeros(features.max() + 1, np.int64)
    cell_of[features] = cells
    counts = np.bincount(cell_of)
    difference = np.bincount(cell_of, best[1] - best[0]) / np.maximum(counts, 1)
    size = float(np.sqrt((difference**2).sum()))
    total = float(difference.sum())
    return Comparison(total / size if size > 0 else 0.0, total)


def with_room_for(
    others: Sequence[Estimate],
    answer: Estimate,
    features: NDArray[np.int64],
    cells: NDArray[np.int64],
) -> Estimate:
    """An answer whose covariance has room for others, each by how likely it is the right one.

    Args:
        others: poses that explain the image nearly as well.
        answer: the pose that explains it best.
        features, cells: see `compare`.
    """
    evidence = [compare(answer, other, features, cells).evidence for other in others]
    return widened(answer, others, [float(p) for p in ndtr(-np.array(evidence))])


def widened(best: Estimate, rivals: Sequence[Estimate], probabilities: Sequence[float]) -> Estimate:
    """An estimate whose covariance has room for other poses, each right with a probability."""
    covariance = best.covariance.copy()
    for rival, probability in zip(rivals, probabilities, strict=True):
        apart = transforms.difference(rival.pose, best.pose)
        covariance += probability * np.outer(apart, apart)
    return replace(best, covariance=covariance)


def second_of_plane(answer: Estimate, matches: Matches) -> Pose | None:
    """Where the second solution of a planar pose begins, from the inliers near their middle."""
    known = answer.inliers & matches.with_point
    camera, view = answer.pose, 0
    if matches.rig is not None:
        # In the view that sees most of it; each of the others has a second solution of its own.
        assert matches.views is not None
        view = int(np.bincount(matches.views[known], minlength=1).argmax())
        known &= matches.views == view
        camera = answer.pose @ matches.rig.body_cameras[view]
    points = matches.points[known]
    if len(points) < 4:
        return None
    away = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    twin = planar_twin(camera, points[away <= 3.0 * max(float(np.median(away)), 1e-9)])
    return twin if twin is None or matches.rig is None else body_of(matches.rig, view, twin)


def far_apart(one: Pose, other: Pose, options: RelocalizerOptions) -> bool:
    return (
        transforms.distance(one, other) > options.same_position
        or transforms.rotation_angle(one, other) > options.same_rotation
    )


def left_over(explained: NDArray[np.bool_], matches: Matches, min_support: float) -> Iterator[Pose]:
    """Poses among the matches that an answer does not explain, by those that know their point.

    Of a pose that V views support, one of them holds its part of the support, however that is
    divided: a single camera's samples find it there, in a tenth of the time of those of all views.
    """
    left = ~explained & matches.with_point
    views = 0 if matches.rig is None else len(matches.rig)
    if views < 2 or min_support / views < _FEWEST_ALONE:
        for _ in range(_ROUNDS):
            found = _among(matches, left, min_support)
            if found is None:
                break
            agreed = agreeing(found, matches)
            if (agreed & left).sum() < _WORTH * min_support:
                break  # a pose of more support would have been found in its place
            yield found
            left &= ~agreed
        return
    assert matches.rig is not None
    assert matches.views is not None
    parts = _parts(np.bincount(matches.views[left], minlength=views), min_support)
    for view, part in enumerate(parts):
        at, own = matches.of_view(view)
        for _ in range(_ROUNDS):
            # Together, all views must still hold what is looked for.
            enough = left.sum() >= min_support
            camera = _among(own, left[at], part) if enough else None
            if camera is None:
                break
            found = body_of(matches.rig, view, camera)
            agreed = agreeing(found, matches)
            if (agreed & left).sum() >= _WORTH * min_support:
                yield found
            # What only chance has put together here is not looked for again either.
            left &= ~agreed


def _parts(counts: NDArray[np.int64], support: float) -> list[float]:
    """A support divided among views of so many matches: the least of each, the rest by the matches.

    The newest image of a window has ten times the matches of those before it: with an equal part, a
    pose would be looked for there that explains next to nothing of it.
    """
    rest = support - len(counts) * _FEWEST_ALONE
    return [_FEWEST_ALONE + rest * float(part) for part in counts / max(int(counts.sum()), 1)]


def _among(matches: Matches, left: NDArray[np.bool_], min_support: float) -> Pose | None:
    """A pose among the matches left over, looked for as long as one of the support may be there."""
    count = int(left.sum())
    if count < max(min_support, 4):
        return None
    share = min(min_support / count, 0.99)
    iterations = int(np.clip(np.log(_MISS) / np.log1p(-(share**3)), 100, 10_000))
    return from_points(matches.without(~left), iterations)


def dissenting_view(
    answer: Estimate,
    matches: Matches,
    views: Sequence[MatchedView],
    min_inliers: int,
    options: RelocalizerOptions,
) -> int | None:
    """The number of a view whose own matches say that it is elsewhere; None where there is none.

    The matches of the other views may outnumber it: a robot that was carried away has one image of
    the new place, and several of the old one. But cameras of one instant are on one robot: where
    one of them looks like another place, all of them decide.
    """
    if len(views) < 2:
        return None
    assert matches.rig is not None
    instants = same_instants(views)
    for number, view in enumerate(views):
        at, own = matches.of_view(number)
        needed = int(answer.inliers[at].sum()) + min_inliers
        elsewhere = _among(own, ~answer.inliers[at] & own.with_point, needed)
        if elsewhere is None or not far_apart(answer.pose @ view.body_camera, elsewhere, options):
            continue
        body = body_of(matches.rig, number, elsewhere)
        for_it, against = 0, min_inliers
        for other in np.flatnonzero(instants == instants[number]).tolist():
            at, own = matches.of_view(other)
            inliers = answer.inliers[at]
            there = agreeing(body @ views[other].body_camera, own)
            for_it += int((there & ~inliers).sum())
            against += int(inliers.sum())
        if for_it >= against:
            return number
    return None
