# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A camera's pose from points, outliers or not, and how sure it is."""

import numpy as np
import pytest
from consistency import follows_chi_square, normalized_errors
from scipy.optimize import approx_fprime

from mast3r_ros.geometry import transforms, uncertainty
from mast3r_ros.geometry.absolute_pose import estimate_absolute_pose, ransac, refine
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


def _assert_close(found, pose, metres=1e-6, radians=1e-6):
    assert found is not None
    assert transforms.distance(found.pose, pose) < metres
    assert transforms.rotation_angle(found.pose, pose) < radians


@pytest.mark.parametrize("camera", [_PINHOLE, _BARREL, _FISHEYE])
@pytest.mark.parametrize("seed", range(3))
def test_exact_matches_give_the_exact_pose(camera, seed):
    pose, points, pixels = _problem(seed, camera)

    found = estimate_absolute_pose(points, pixels, camera)

    _assert_close(found, pose)
    assert found.inliers.all()
    assert found.sigma < 1e-4


def test_ignored_distortion_would_show():
    pose, points, pixels = _problem(0, _BARREL)

    found = estimate_absolute_pose(points, pixels, _PINHOLE)

    assert found is None or transforms.distance(found.pose, pose) > 1e-3


# Undistorting a fisheye's image stretches it, and its noise, towards the edge.
@pytest.mark.parametrize(("camera", "sigma"), [(_PINHOLE, 0.5), (_BARREL, 0.5), (_FISHEYE, 0.85)])
def test_half_of_the_matches_may_be_wrong(camera, sigma):
    pose, points, pixels = _problem(1, camera, 200)
    random = np.random.default_rng(5)
    wrong = np.arange(200) < 100
    pixels[wrong] = random.uniform([20, 20], [620, 460], (100, 2))
    pixels[~wrong] += random.normal(0, 0.5, (100, 2))

    found = estimate_absolute_pose(points, pixels, camera)

    _assert_close(found, pose, 0.02, 0.01)
    assert found.inliers[~wrong].mean() > 0.97
    assert found.inliers[wrong].mean() < 0.05
    assert found.sigma == pytest.approx(sigma, rel=0.35)


def test_the_same_seed_gives_the_same_answer():
    _, points, pixels = _problem(2)
    pixels[:60] = pixels[:60][::-1]

    first, second = (estimate_absolute_pose(points, pixels, _PINHOLE, seed=4) for _ in range(2))

    np.testing.assert_array_equal(first.pose, second.pose)
    np.testing.assert_array_equal(first.covariance, second.covariance)


def test_unknown_points_and_pixels_are_left_out():
    pose, points, pixels = _problem(3)
    points[::3] = np.nan
    pixels[1::3] = np.nan

    found = estimate_absolute_pose(points, pixels, _PINHOLE)

    _assert_close(found, pose)
    assert np.flatnonzero(found.inliers).tolist() == list(range(2, 100, 3))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_than_four_matches_have_no_pose(count):
    _, points, pixels = _problem(4, count=count)

    assert estimate_absolute_pose(points, pixels, _PINHOLE) is None


def test_matches_at_random_have_no_sure_pose():
    random = np.random.default_rng(6)
    points, pixels = random.uniform(-3, 3, (60, 3)), random.uniform(0, 480, (60, 2))

    found = estimate_absolute_pose(points, pixels, _PINHOLE, threshold=2.0)

    assert found is None or found.inliers.sum() < 12


@pytest.mark.parametrize(
    "points",
    [
        np.outer(np.linspace(1, 2, 30), [0.3, 0.2, 1.0]),
        np.column_stack([np.linspace(-1, 1, 30), np.zeros(30), np.full(30, 3.0)]),
        np.tile([0.1, 0.2, 2.0], (30, 1)),
        np.zeros((30, 3)),
    ],
    ids=["on a ray", "on a line", "one point", "at the center"],
)
def test_degenerate_points_are_never_sure(points):
    pixels = np.nan_to_num(_PINHOLE.project(points))

    found = estimate_absolute_pose(points, pixels, _PINHOLE)

    # A line leaves a turn about itself free: its variance is infinite, or beyond all limits.
    assert found is None or not np.trace(found.covariance) < 1e-3


def test_refinement_needs_four_inliers_where_it_starts():
    _, points, pixels = _problem(5)
    behind = transforms.make(np.diag([1.0, -1.0, -1.0]), [0, 0, 1000.0])

    rays = _PINHOLE.normalize(pixels)

    assert refine(behind @ behind, points + 1e4, rays, (525.0, 520.0), 4.0) is None


def test_ransac_returns_the_pose_alone():
    pose, points, pixels = _problem(7)

    found = ransac(points, _PINHOLE.normalize(pixels), (525.0, 520.0), 4.0)

    assert transforms.distance(found, pose) < 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_the_jacobian_is_that_of_the_residuals(seed):
    pose, points, pixels = _problem(seed, count=5)
    pose = transforms.perturb(pose, np.random.default_rng(seed).normal(0, 0.05, 6))
    rays = _PINHOLE.normalize(pixels)

    _, jacobian = uncertainty.residuals(pose, points, rays, (525.0, 520.0))

    def residual(delta):
        moved = transforms.perturb(pose, delta)
        return uncertainty.residuals(moved, points, rays, (525.0, 520.0))[0].ravel()

    numeric = approx_fprime(np.zeros(6), residual, 1e-7)
    np.testing.assert_allclose(jacobian.reshape(-1, 6), numeric, rtol=1e-3, atol=0.05)


def test_errors_are_as_large_as_their_covariance_says():
    errors, covariances = [], []
    for seed in range(200):
        pose, points, pixels = _problem(1000 + seed, count=120)
        pixels += np.random.default_rng(seed).normal(0, 0.8, pixels.shape)
        found = estimate_absolute_pose(points, pixels, _PINHOLE, threshold=4.0)
        errors.append(transforms.difference(found.pose, pose))
        covariances.append(found.covariance)

    values = normalized_errors(np.array(errors), np.array(covariances))

    assert follows_chi_square(values)
    # The check has teeth: half or twice the covariance does not pass it.
    assert not follows_chi_square(values / 0.5)
    assert not follows_chi_square(values / 2.0)


def test_what_binds_nothing_is_infinitely_uncertain():
    assert np.isinf(uncertainty.invert_information(np.zeros((6, 6)))).all()
    assert np.isinf(uncertainty.invert_information(np.ones((6, 6)))).all()


def test_covariance_of_units_as_different_as_metres_and_radians():
    information = np.diag([1e-4, 1e-4, 1e-4, 1e9, 1e9, 1e9])

    covariance = uncertainty.invert_information(information)

    np.testing.assert_allclose(covariance @ information, np.eye(6), atol=1e-9)


def test_noise_counts_the_parameters():
    errors = np.random.default_rng(0).normal(0, 2.0, (5000, 2))

    assert uncertainty.noise(errors) == pytest.approx(2.0, rel=0.03)
    # Three matches just bind six parameters: nothing is left over to divide by.
    assert uncertainty.noise(np.ones((3, 2))) == pytest.approx(np.sqrt(6.0))
