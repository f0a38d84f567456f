# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The second pose of a plane: what it sees, and where there is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.planar import planar_twin


def _plane(seed, tilt, distance, half=0.5, thickness=0.0):
    """(map <- camera, points): a square around the map's origin, seen from a distance."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-half, half, (60, 3))
    points[:, 2] *= thickness / half
    turn = transforms.rotation_from_vector(tilt * np.array([1.0, 0.3, 0.0]) / np.hypot(1, 0.3))
    camera_map = transforms.make(turn, [0.1, -0.2, distance])
    return transforms.inverse(camera_map), points


def _image(pose, points):
    seen = transforms.apply(transforms.inverse(pose), points)
    assert (seen[:, 2] > 0).all()
    return seen[:, :2] / seen[:, 2:]


@given(st.integers(0, 1000), st.floats(0.2, 1.2), st.floats(20.0, 200.0))
def test_it_sees_a_far_plane_as_the_first_pose_does(seed, tilt, distance):
    pose, points = _plane(seed, tilt, distance)
    twin = planar_twin(pose, points)
    assert transforms.is_rigid(twin)
    # Perspective is what differs: of the second order in the size over the distance.
    difference = np.abs(_image(pose, points) - _image(twin, points)).max()
    assert difference < 3.0 * (0.5 / distance) ** 2 + 1e-9
    assert transforms.rotation_angle(pose, twin) > 0.9 * tilt


@given(st.integers(0, 1000), st.floats(0.2, 1.2))
def test_the_twin_of_the_twin_is_the_pose(seed, tilt):
    pose, points = _plane(seed, tilt, 5.0)
    back = planar_twin(planar_twin(pose, points), points)
    assert np.allclose(back, pose, atol=1e-6)


def test_it_sees_something_else_where_points_stand_off_the_plane():
    pose, points = _plane(1, 0.7, 50.0, thickness=0.4)
    difference = np.abs(_image(pose, points) - _image(planar_twin(pose, points), points))
    assert difference.max() > 10.0 * 3.0 * (0.5 / 50.0) ** 2


@pytest.mark.parametrize("points", [np.zeros((2, 3)), np.arange(5.0)[:, None] * [[1.0, 2.0, 3.0]]])
def test_without_a_plane_there_is_none(points):
    assert planar_twin(np.eye(4), points + np.array([0.0, 0.0, 5.0])) is None


def test_seen_face_on_both_are_one():
    pose, points = _plane(2, 0.0, 5.0)
    camera = transforms.inverse(pose)
    camera[:2, 3] = -points.mean(0)[:2]
    assert planar_twin(transforms.inverse(camera), points) is None
