# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A camera's pose from points, outliers or not, and the first order of its uncertainty."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from mast3r_ros.geometry import transforms, uncertainty
from mast3r_ros.geometry.absolute_pose import ransac
from mast3r_ros.geometry.camera import Camera

_PINHOLE = Camera(640, 480, 525.0, 520.0, 319.5, 239.5)
_BARREL = Camera(640, 480, 525.0, 520.0, 319.5, 239.5, (-0.2, 0.05, 0.001, -0.001, 0.0))
_FISHEYE = Camera(640, 480, 300.0, 300.0, 319.5, 239.5, (0.02, -0.01, 0.003, 0.0), "equidistant")


def _problem(seed: int, camera: Camera = _PINHOLE, count: int = 100):
    """A pose, points in the map and the pixels where the camera sees them."""
    random = np.random.default_rng(seed)
    pose = transforms.perturb(
        np.eye(4), np.concatenate([random.uniform(-5, 5, 3), random.uniform(-1.5, 1.5, 3)])
    )
    pixels = random.uniform([20, 20], [camera.width - 20, camera.height - 20], (count, 2))
    points = transforms.apply(pose, camera.unproject(pixels, random.uniform(1, 6, count)))
    return pose, points, pixels


def _ransac(points, pixels, camera, threshold=4.0, **options):
    return ransac(points, camera.normalize(pixels), (camera.fx, camera.fy), threshold, **options)


def _assert_close(found, pose, meters=1e-6, radians=1e-6):
    assert found is not None
    assert transforms.distance(found, pose) < meters
    assert transforms.rotation_angle(found, pose) < radians


@pytest.mark.parametrize("camera", [_PINHOLE, _BARREL, _FISHEYE])
@pytest.mark.parametrize("seed", range(3))
def test_exact_matches_give_the_exact_pose(camera, seed):
    pose, points, pixels = _problem(seed, camera)

    found = _ransac(points, pixels, camera)

    _assert_close(found, pose)


def test_ignored_distortion_would_show():
    pose, points, pixels = _problem(0, _BARREL)

    found = _ransac(points, pixels, _PINHOLE)

    assert found is None or transforms.distance(found, pose) > 1e-3


@pytest.mark.parametrize("camera", [_PINHOLE, _BARREL, _FISHEYE])
def test_half_of_the_matches_may_be_wrong(camera):
    pose, points, pixels = _problem(1, camera, 200)
    random = np.random.default_rng(5)
    wrong = np.arange(200) < 100
    pixels[wrong] = random.uniform([20, 20], [620, 460], (100, 2))
    pixels[~wrong] += random.normal(0, 0.5, (100, 2))

    found = _ransac(points, pixels, camera)

    _assert_close(found, pose, 0.02, 0.01)


def test_the_same_seed_gives_the_same_answer():
    _, points, pixels = _problem(2)
    pixels[:60] = pixels[:60][::-1]

    first, second = (_ransac(points, pixels, _PINHOLE, seed=4) for _ in range(2))

    np.testing.assert_array_equal(first, second)


def test_unknown_points_and_pixels_are_left_out():
    pose, points, pixels = _problem(3)
    points[::3] = np.nan
    pixels[1::3] = np.nan

    found = _ransac(points, pixels, _PINHOLE)

    _assert_close(found, pose)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_than_four_matches_have_no_pose(count):
    _, points, pixels = _problem(4, count=count)

    assert _ransac(points, pixels, _PINHOLE) is None


@pytest.mark.parametrize("seed", range(3))
def test_the_jacobian_is_that_of_the_residuals(seed):
    pose, points, pixels = _problem(seed, count=5)
    pose = transforms.perturb(pose, np.random.default_rng(seed).normal(0, 0.05, 6))
    rays = _PINHOLE.normalize(pixels)

    _, by_position = uncertainty.errors(pose, points, rays, (525.0, 520.0))
    by_turn = uncertainty.by_turn(by_position, points - pose[:3, 3])
    jacobian = np.concatenate([by_position, by_turn], axis=2)

    def residual(delta):
        moved = transforms.perturb(pose, delta)
        return uncertainty.errors(moved, points, rays, (525.0, 520.0))[0].ravel()

    numeric = approx_fprime(np.zeros(6), residual, 1e-7)
    np.testing.assert_allclose(jacobian.reshape(-1, 6), numeric, rtol=1e-3, atol=0.05)


def test_what_binds_nothing_is_infinitely_uncertain():
    assert np.isinf(uncertainty.invert_information(np.zeros((6, 6)))).all()
    assert np.isinf(uncertainty.invert_information(np.ones((6, 6)))).all()


def test_covariance_of_units_as_different_as_meters_and_radians():
    information = np.diag([1e-4, 1e-4, 1e-4, 1e9, 1e9, 1e9])

    covariance = uncertainty.invert_information(information)

    np.testing.assert_allclose(covariance @ information, np.eye(6), atol=1e-9)
