# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the covariance is judged by: quarters of poses, and the parallax of one."""

from types import SimpleNamespace

import numpy as np
import pytest

from bench import covariance
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.training.worlds.ambiguous import Scene
from mast3r_ros.training.worlds.views import View


def test_quarters_are_in_the_order_of_a_value():
    judged = [covariance.Judged(1.0, inliers, 0.1, True) for inliers in (7, 3, 5, 1, 8, 2, 6, 4)]
    parts = list(covariance.quarters(judged, lambda one: one.inliers))
    assert [ends for ends, _ in parts] == [(1, 2), (3, 4), (5, 6), (7, 8)]
    assert [len(part) for _, part in parts] == [2, 2, 2, 2]


def test_parallax_is_the_angle_at_the_points_that_agree():
    # A meter aside of a point two meters ahead; the second point does not agree.
    points = np.array([[0.0, 0.0, 2.0], [0.0, 0.0, 9.0]], np.float32)
    match = SimpleNamespace(
        pose=transforms.make(np.eye(3), np.array([1.0, 0.0, 0.0])),
        inliers=np.array([True, False]),
        correspondences=SimpleNamespace(reference_points=points),
    )
    without = SimpleNamespace(pose=None)
    answer = SimpleNamespace(matches=(without, match))
    assert np.rad2deg(covariance.parallax(answer)) == pytest.approx(26.57, abs=0.01)


def test_keyframes_are_as_wrong_as_the_options_say():
    options = SimpleNamespace(keyframe_position_sigma=0.01, keyframe_rotation_sigma=0.02)
    keyframe = Keyframe(0, np.eye(4), None, None, 0, "camera", (8, 8), b"", True)
    for common in (False, True):
        random = np.random.default_rng(0)
        poses = [covariance.moved([keyframe] * 400, options, common, random) for _ in range(3)]
        errors = np.array([[transforms.difference(k.pose, np.eye(4)) for k in p] for p in poses])
        expected = np.repeat([0.01, 0.02], 3)
        np.testing.assert_allclose(errors.std(axis=1).mean(0), expected, rtol=0.1)
        together = np.abs(errors.mean(axis=1)) / expected
        assert (together.max() > 0.5) == common


def test_depth_is_as_noisy_as_a_sensor():
    view = View(np.zeros((60, 80, 3), np.uint8), np.full((60, 80), 2.0, np.float32), None, None)
    (noisy,) = covariance.noisy(Scene((view,), ()), 0.002, np.random.default_rng(0)).keyframes
    assert noisy.depth.mean() == pytest.approx(2.0, abs=1e-3)
    assert noisy.depth.std() == pytest.approx(0.002 * 2.0**2, rel=0.05)
