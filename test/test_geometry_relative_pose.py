# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rotation and direction from pixels alone."""

import numpy as np
import pytest

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.relative_pose import estimate_relative_pose

_REFERENCE = Camera(640, 480, 525.0, 520.0, 319.5, 239.5)
_QUERY = Camera(800, 600, 400.0, 400.0, 399.5, 299.5, (0.02, -0.01, 0.0, 0.0), "equidistant")


def _problem(translation=(0.4, -0.1, 0.2), turn=(0.05, -0.2, 0.1), count=150, noise=0.0):
    """The pose reference <- query, points of the reference, and where both see them."""
    random = np.random.default_rng(0)
    pose = transforms.make(transforms.rotation_from_vector(turn), translation)
    pixels = random.uniform([20, 20], [620, 460], (count, 2))
    points = _REFERENCE.unproject(pixels, random.uniform(1.5, 6, count))
    seen = _QUERY.project(transforms.apply(transforms.inverse(pose), points))
    noisy = [p + random.normal(0, noise, p.shape) for p in (pixels, seen)]
    return pose, points, *noisy


def _assert_up_to_scale(found, pose, radians=1e-6):
    assert transforms.rotation_angle(found.pose, pose) < radians
    direction = pose[:3, 3] / np.linalg.norm(pose[:3, 3])
    assert np.linalg.norm(found.pose[:3, 3]) == pytest.approx(1.0)
    assert found.pose[:3, 3] @ direction > np.cos(max(radians * 5, 1e-5))


def test_rotation_and_direction_without_meters():
    pose, _, reference, query = _problem()

    found = estimate_relative_pose(reference, query, _REFERENCE, _QUERY)

    _assert_up_to_scale(found, pose)
    assert found.inliers.all()


def test_wrong_and_unknown_matches_do_little_harm():
    pose, _, reference, query = _problem(noise=0.3)
    query[:45] = np.random.default_rng(1).uniform([0, 0], [800, 600], (45, 2))
    query[50] = np.nan

    found = estimate_relative_pose(reference, query, _REFERENCE, _QUERY, threshold=1.5)

    _assert_up_to_scale(found, pose, 0.02)
    assert not found.inliers[50]
    assert found.inliers[:45].mean() < 0.2
    assert found.inliers[51:].mean() > 0.9


def test_the_same_seed_gives_the_same_answer():
    _, _, reference, query = _problem(noise=0.5)

    poses = [
        estimate_relative_pose(reference, query, _REFERENCE, _QUERY, seed=3).pose for _ in range(2)
    ]

    np.testing.assert_array_equal(*poses)


@pytest.mark.parametrize("count", [0, 4])
def test_fewer_than_five_matches_say_nothing(count):
    _, _, reference, query = _problem(count=count)

    assert estimate_relative_pose(reference, query, _REFERENCE, _QUERY) is None


def test_matches_at_random_say_nothing_sure():
    random = np.random.default_rng(2)
    reference, query = random.uniform(0, 480, (2, 100, 2))

    found = estimate_relative_pose(reference, query, _REFERENCE, _QUERY, threshold=0.5)

    assert found is None or found.inliers.sum() < 25


def test_a_pure_rotation_keeps_its_rotation():
    pose, _, reference, query = _problem(translation=(0, 0, 0))

    found = estimate_relative_pose(reference, query, _REFERENCE, _QUERY)

    # Its direction is noise: nothing but the rotation can be right.
    assert found is None or transforms.rotation_angle(found.pose, pose) < 1e-3
