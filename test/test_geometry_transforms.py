# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms: quaternions in ROS order, small motions, covariances."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from mast3r_ros.geometry import transforms

_TRANSLATIONS = arrays(np.float64, 3, elements=st.floats(-100, 100))
_QUATERNIONS = arrays(np.float64, 4, elements=st.floats(-10, 10)).filter(
    lambda q: np.linalg.norm(q) > 1e-3
)
_POSES = st.builds(transforms.from_quaternion, _TRANSLATIONS, _QUATERNIONS)
_VECTORS = arrays(np.float64, 3, elements=st.floats(-1.5, 1.5))


@given(_TRANSLATIONS, _QUATERNIONS)
def test_a_quaternion_comes_back_up_to_its_sign_and_length(translation, xyzw):
    pose = transforms.from_quaternion(translation, xyzw)
    np.testing.assert_allclose(pose[:3, :3], Rotation.from_quat(xyzw).as_matrix(), atol=1e-12)

    back_translation, back = transforms.to_quaternion(pose)

    np.testing.assert_array_equal(back_translation, translation)
    unit = xyzw / np.linalg.norm(xyzw)
    np.testing.assert_allclose(back * np.sign(back @ unit), unit, atol=1e-6)
    np.testing.assert_allclose(transforms.from_quaternion(translation, -xyzw), pose, atol=1e-12)


def test_the_order_is_that_of_ros():
    pose = transforms.from_quaternion([1, 2, 3], [0, 0, np.sqrt(0.5), np.sqrt(0.5)])

    # A quarter turn about z takes x to y.
    np.testing.assert_allclose(transforms.apply(pose, [1.0, 0.0, 0.0]), [1, 3, 3], atol=1e-12)
    np.testing.assert_allclose(transforms.to_quaternion(np.eye(4))[1], [0, 0, 0, 1])


@pytest.mark.parametrize(
    ("translation", "xyzw"),
    [
        ([0, 0, 0], [0, 0, 0, 0]),
        ([0, 0, 0], [0, 0, 0, 1e-9]),
        ([0, np.nan, 0], [0, 0, 0, 1]),
        ([0, 0, 0], [0, np.inf, 0, 1]),
    ],
)
def test_what_is_no_pose_is_named(translation, xyzw):
    with pytest.raises(ValueError, match="not a pose"):
        transforms.from_quaternion(translation, xyzw)


@given(_POSES, st.floats(-1e-6, 1e-6))
def test_poses_are_rigid_and_little_noise_does_not_change_that(pose, noise):
    assert transforms.is_rigid(pose)
    pose[:3, :3] += noise
    assert transforms.is_rigid(pose)


@pytest.mark.parametrize(
    "pose",
    [
        np.eye(3),
        np.full((4, 4), np.nan),
        np.zeros((4, 4)),
        np.diag([1.0, 1.0, -1.0, 1.0]),
        np.diag([1.1, 1.1, 1.1, 1.0]),
        np.diag([1.0, 1.0, 1.0, 2.0]),
        np.eye(4).T + np.eye(4, k=-3),
    ],
)
def test_other_arrays_are_not_rigid(pose):
    assert not transforms.is_rigid(pose)


@given(_POSES, _POSES, arrays(np.float64, (4, 5, 3), elements=st.floats(-10, 10)))
def test_inverse_and_chain(a_b, b_c, points):
    np.testing.assert_allclose(a_b @ transforms.inverse(a_b), np.eye(4), atol=1e-10)
    np.testing.assert_allclose(
        transforms.apply(a_b @ b_c, points),
        transforms.apply(a_b, transforms.apply(b_c, points)),
        atol=1e-9,
    )


@given(_VECTORS)
def test_rotation_vectors_are_those_of_scipy_and_come_back(vector):
    rotation = transforms.rotation_from_vector(vector)

    np.testing.assert_allclose(rotation, Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(transforms.rotation_vector(rotation), vector, atol=1e-7)


@given(_VECTORS, st.floats(1e-12, 1e-3))
def test_tiny_rotations_keep_their_precision(vector, size):
    assume(np.linalg.norm(vector) > 0.1)
    tiny = vector * size

    back = transforms.rotation_vector(transforms.rotation_from_vector(tiny))

    np.testing.assert_allclose(back, tiny, atol=1e-3 * size)


@given(_POSES, _TRANSLATIONS, _VECTORS)
def test_difference_undoes_perturb(pose, step, turn):
    delta = np.concatenate([step, turn])

    moved = transforms.perturb(pose, delta)

    np.testing.assert_allclose(transforms.difference(moved, pose), delta, atol=1e-6)
    np.testing.assert_allclose(
        transforms.perturb(pose, transforms.difference(moved, pose)), moved, atol=1e-6
    )
    assert transforms.distance(moved, pose) == pytest.approx(np.linalg.norm(step), abs=1e-9)
    assert transforms.rotation_angle(moved, pose) == pytest.approx(np.linalg.norm(turn), abs=1e-6)


def test_perturb_moves_along_the_axes_of_the_parent_frame():
    pose = transforms.make(transforms.rotation_from_vector([0, 0, np.pi / 2]), [5, 0, 0])

    moved = transforms.perturb(pose, [1, 0, 0, 0, 0, np.pi / 2])

    np.testing.assert_allclose(moved[:3, 3], [6, 0, 0])
    np.testing.assert_allclose(
        moved[:3, :3], transforms.rotation_from_vector([0, 0, np.pi]), atol=1e-12
    )


@given(_VECTORS, _VECTORS)
def test_skew_is_the_cross_product(a, b):
    np.testing.assert_allclose(transforms.skew(a) @ b, np.cross(a, b), atol=1e-12)


def test_skew_of_many():
    many = np.arange(12.0).reshape(2, 2, 3)

    matrices = transforms.skew(many)

    assert matrices.shape == (2, 2, 3, 3)
    np.testing.assert_array_equal(matrices[1, 0], transforms.skew(many[1, 0]))


def test_a_covariance_turns_as_the_errors_do():
    random = np.random.default_rng(3)
    a_b = transforms.make(transforms.rotation_from_vector([0.4, -1.1, 0.7]), [3, -2, 1])
    b_c = transforms.make(transforms.rotation_from_vector([-0.2, 0.5, 0.1]), [1, 1, 4])
    root = random.standard_normal((6, 6)) * 0.01
    covariance = root @ root.T
    deltas = random.multivariate_normal(np.zeros(6), covariance, 5_000)

    errors = [
        transforms.difference(a_b @ transforms.perturb(b_c, delta), a_b @ b_c) for delta in deltas
    ]

    turned = transforms.rotate_covariance(covariance, a_b)
    np.testing.assert_allclose(np.cov(np.array(errors).T), turned, atol=0.05 * turned.max())
    # The check can tell: the covariance that was not turned is another one.
    assert np.abs(covariance - turned).max() > 0.3 * turned.max()


def test_vectors_turn_by_one_pose_or_each_by_its_own():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(4, 3))
    poses = np.stack([transforms.perturb(np.eye(4), rng.normal(size=6)) for _ in vectors])

    turned = transforms.turn(poses, vectors)

    for pose, vector, expected in zip(poses, vectors, turned, strict=True):
        np.testing.assert_allclose(transforms.turn(pose, vector[None])[0], expected)
        np.testing.assert_allclose(pose[:3, :3] @ vector, expected)
    np.testing.assert_allclose(transforms.turn_back(poses, turned), vectors)
    np.testing.assert_allclose(transforms.turn_back(poses[0], turned[:1]), vectors[:1])
