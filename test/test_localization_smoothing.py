# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What is published of map -> odom follows the estimate."""

import numpy as np
import pytest

from mast3r_ros.geometry import transforms
from mast3r_ros.localization.map_odom import Belief, MapOdomFilter
from mast3r_ros.localization.smoothing import Smoothing

_FAR = transforms.make(transforms.rotation_from_vector([0, 0, 1.0]), [50.0, 20.0, 0.0])


def _belief(x, yaw=0.0):
    """A robot far from odometry's origin."""
    pose = transforms.make(transforms.rotation_from_vector([0, 0, yaw]), [x, 0.0, 0.0])
    return Belief(pose, np.eye(6), _FAR)


def test_a_correction_is_made_in_the_time_constant_and_on_a_straight_line():
    smoothing = Smoothing()
    smoothing.follow(_belief(0.0), 1, 0.05, 2.0)

    shown = [smoothing.follow(_belief(1.0, 0.2), 1, 0.1, 2.0) @ _FAR for _ in range(20)]

    places = np.array([pose[:3, 3] for pose in shown])
    assert places[-1, 0] == pytest.approx(1 - np.exp(-1), abs=1e-9)
    assert np.abs(places[:, 1:]).max() < 1e-9
    assert transforms.rotation_angle(np.eye(4), shown[-1]) == pytest.approx(0.2 * (1 - np.exp(-1)))


@pytest.mark.parametrize(("moves", "time_constant"), [(2, 2.0), (1, 0.0)])
def test_elsewhere_and_without_a_time_constant_it_is_made_at_once(moves, time_constant):
    smoothing = Smoothing()
    smoothing.follow(_belief(0.0), 1, 0.05, time_constant)

    shown = smoothing.follow(_belief(5.0), moves, 0.05, time_constant)

    np.testing.assert_allclose(shown, _belief(5.0).map_odom)


def test_the_filter_counts_how_often_the_robot_was_found_elsewhere():
    found = MapOdomFilter()
    covariance = np.diag([1e-4] * 6)
    counts = []
    for number, x in enumerate([0.0] * 4 + [5.0] * 4):
        pose = transforms.make(np.eye(3), [x, 0, 0])
        found.correct(pose, covariance, np.eye(4), number * 10**9)
        counts.append(found.moves)

    assert counts == [0, 0, 1, 1, 1, 1, 2, 2]
