# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Poses that a single match binds best: what if it is wrong."""

import numpy as np
import pytest
from synthetic import make_camera

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.joint_pose import Matches
from mast3r_ros.geometry.robust_pose import estimate
from mast3r_ros.geometry.robust_solver import SharedErrors
from mast3r_ros.localization.single_matches import doubt_single_matches
from mast3r_ros.localization.view import MatchedView

_CAMERA = make_camera()
_FOCAL = _CAMERA.fx
_VIEWS = [MatchedView(_CAMERA, (), ())]
_COUNT, _NOISE = 40, 0.5


def _problem(seed, near, off, wrong=0):
    """A far scene, and as match 0 a point `near` the camera at the origin, seen `off` [pixels]."""
    random = np.random.default_rng(seed)
    pixels = random.uniform(0, (_CAMERA.width, _CAMERA.height), (_COUNT + wrong, 2))
    points = _CAMERA.unproject(pixels, random.uniform(10.0, 30.0, len(pixels)))
    points[0] *= near / points[0, 2]
    pixels += random.normal(0, _NOISE, pixels.shape)
    pixels[0] += off
    # The last ones are matches at random.
    pixels[_COUNT:] = random.uniform(0, (_CAMERA.width, _CAMERA.height), (wrong, 2))
    origin = np.array([0.3, 0.1, 0.2])
    matches = Matches(
        _CAMERA.normalize(pixels),
        points,
        np.tile(origin, (len(points), 1)),
        points - origin,
        np.full(len(points), 1e-6),
        np.zeros(len(points), np.int64),
        (_FOCAL, _FOCAL),
        4.0,
    )
    shared = SharedErrors(np.zeros((1, 7)), np.ones(1), np.arange(len(points)), 0.0)
    # Where the near point is seen as it is matched.
    aside = np.array([*(-np.asarray(off) * near / _FOCAL), 0.0])
    before = estimate(transforms.make(np.eye(3), aside), matches, shared)
    return before, doubt_single_matches(before, matches, shared, _VIEWS)


def _nees(found):
    error = transforms.difference(np.eye(4), found.pose)
    return float(error @ np.linalg.solve(found.covariance, error))


@pytest.mark.parametrize("seed", range(3))
def test_a_right_match_keeps_what_it_says(seed):
    before, after = _problem(seed, near=0.4, off=(0.0, 0.0))

    assert before.influences[0] > 3.0
    assert after.inliers[0]
    assert np.trace(after.covariance[:3, :3]) < 1.1 * np.trace(before.covariance[:3, :3])


def test_a_match_that_all_others_contradict_is_given_up():
    # They know to a few pixels where it would be.
    before, after = _problem(1, near=0.5, off=(25.0, 0.0))

    assert before.inliers[0]
    assert not after.inliers[0]
    assert _nees(before) > 100.0
    assert _nees(after) < 12.6


@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_match_that_the_pose_follows_leaves_room_for_the_truth(seed):
    before, after = _problem(seed, near=0.05, off=(40.0, 25.0), wrong=80)

    assert before.inliers[0]
    assert _nees(before) > 20.0
    assert _nees(after) < 12.6
