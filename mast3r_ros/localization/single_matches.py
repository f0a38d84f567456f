# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Poses that rest on single matches, any of which may be wrong.

A point right in front of the camera, or a ray near the epipole, may bind a direction of the pose
better than all other matches together. The pose then follows it, right or wrong: its residual
vanishes, no robust weight tells it from an exact match, and the covariance takes it for one. So
the pose is found again without it, and where it is seen from there is compared with where a wrong
match would be: anywhere in the image. If it is wrong with a probability p, the pose is the other
one with that probability, and the covariance is that of the mixture of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.joint_pose import Matches, linearize, magnifications
from mast3r_ros.geometry.robust_pose import Estimate, estimate
from mast3r_ros.geometry.robust_solver import SharedErrors
from mast3r_ros.localization.view import MatchedView

Array = NDArray[np.float64]

# Doubted are matches without which the variances grow by this part in sum. On every other one of 24
# rendered drives, half of it changes the mean NEES of windows from 6.2 to 6.1.
_INFLUENCE = 1.0
# Poses rest on few matches; each takes as long as refining the pose once.
_ROUNDS = 4
# More likely wrong than right: the match is given up.
_WRONG = 0.5


def doubt_single_matches(
    best: Estimate, matches: Matches, shared: SharedErrors, views: Sequence[MatchedView]
) -> Estimate:
    """The estimate without matches that are rather wrong, its covariance with room for the others.

    Args:
        best: an estimate over the matches.
        matches, shared: see `estimate`. Several views match a feature of a keyframe rightly or
            wrongly together.
        views: that the matches are of.
    """
    features = np.arange(len(matches.rays)) if shared.features is None else shared.features
    added, doubted = np.zeros((6, 6)), np.zeros(0, np.int64)
    given_up = np.zeros(len(features), bool)
    for _ in range(_ROUNDS):
        influences = np.bincount(features, best.influences)
        influences[doubted] = 0.0
        feature = int(influences.argmax())
        if influences[feature] < _INFLUENCE:
            break
        doubted = np.append(doubted, feature)
        members = features == feature
        other = estimate(best.pose, matches, shared, muted=given_up | members)
        if other is None:
            continue
        match = int(np.argmax(np.where(members, best.influences, 0.0)))
        wrong = _probability_wrong(match, other, matches, views)
        apart = transforms.difference(other.pose, best.pose)
        if wrong > _WRONG:
            given_up |= members
            added += (1.0 - wrong) * np.outer(apart, apart)
            best = other
        else:
            added += wrong * (_growth(best.covariance, other.covariance) + np.outer(apart, apart))
    return replace(best, covariance=best.covariance + added)


def _probability_wrong(
    match: int, other: Estimate, matches: Matches, views: Sequence[MatchedView]
) -> float:
    """How likely a match is wrong, by where the pose without it sees it.

    Args:
        match: its number.
        other: the pose without it.
        matches: all.
        views: that they are of.
    """
    residual = other.residuals[match]
    if not np.isfinite(other.costs[match]) or not np.isfinite(residual).all():
        return 1.0
    rows = 1 if matches.with_ray[match] else 2
    variance = float(matches.limits[match] ** 2 / other.outlier_costs[match])
    spread = variance * np.eye(rows) + other.predicted[match, :rows, :rows]
    cost = float(residual[:rows] @ np.linalg.solve(spread, residual[:rows]))
    prior = _prior(match, other, matches)
    right = prior * np.exp(-0.5 * cost) / np.sqrt(np.linalg.det(2.0 * np.pi * spread))
    # A wrong match is anywhere in the image; of a ray, one direction counts.
    number = 0 if matches.views is None else int(matches.views[match])
    size, focal = views[number].size, views[number].camera.fx
    here = matches.focal[0] if matches.rig is None else matches.rig.focals[number, 0]
    side = np.sqrt(size[0] * size[1]) * here / focal
    chance = (1.0 - prior) / side**rows
    return float(chance / (chance + right))


def _prior(match: int, other: Estimate, matches: Matches) -> float:
    """How likely a match is right before it is looked at: the lesser of two shares of inliers.

    One is that of the same image and keyframe. The other is that of the matches whose scale has
    changed as much or more: descriptors hardly survive that, so most of them are wrong.
    """
    same = matches.owners == matches.owners[match]
    if matches.views is not None:
        same &= matches.views == matches.views[match]
    by_keyframe = linearize(other.pose, matches).by_keyframe
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.abs(np.log(magnifications(by_keyframe, matches)))
        alike = (change >= change[match]) & (matches.with_ray == matches.with_ray[match])
    return min(_share(other.inliers, those, match) for those in (same, alike))


def _share(inliers: NDArray[np.bool_], those: NDArray[np.bool_], match: int) -> float:
    """Of some matches but for one, by the rule of succession."""
    those = those.copy()
    those[match] = False
    return float((inliers[those].sum() + 1.0) / (those.sum() + 2.0))


def _growth(covariance: Array, wider: Array) -> Array:
    """The part of a covariance beyond another one."""
    values, vectors = np.linalg.eigh(wider - covariance)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)
