# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Depth of matches between two cameras of known poses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.triangulation import fuse_depths, relative, triangulate_depth

_FOCAL = 500.0
_QUERY_REFERENCE = transforms.make(
    transforms.rotation_from_vector([0.02, -0.1, 0.05]), [-0.5, 0.05, 0.1]
)


def _problem(seed=0, count=50, query_reference=_QUERY_REFERENCE, depth=(1.0, 6.0)):
    random = np.random.default_rng(seed)
    rays = random.uniform([-0.5, -0.4], [0.5, 0.4], (count, 2))
    z = random.uniform(*depth, count)
    seen = transforms.apply(query_reference, np.column_stack([rays, np.ones(count)]) * z[:, None])
    return rays, seen[:, :2] / seen[:, 2:], z


@given(st.integers(0, 10_000))
def test_exact_matches_have_exact_depth(seed):
    rays, seen, z = _problem(seed)

    depth, sigma = triangulate_depth(rays, seen, _QUERY_REFERENCE, _FOCAL)

    np.testing.assert_allclose(depth, z, rtol=1e-9)
    assert (sigma > 0).all()


def test_the_deviation_is_as_large_as_it_says():
    rays, seen, z = _problem(1, count=20)
    noise = 0.7
    _, sigma = triangulate_depth(rays, seen, _QUERY_REFERENCE, _FOCAL, noise)
    random = np.random.default_rng(2)
    depths = [
        triangulate_depth(
            *(r + random.normal(0, noise / _FOCAL, r.shape) for r in (rays, seen)),
            _QUERY_REFERENCE,
            _FOCAL,
            max_error=np.inf,
            min_parallax=0.0,
        )[0]
        for _ in range(3000)
    ]

    measured = np.std(depths, axis=0)

    # First order, and it takes both images for as noisy in the same direction.
    np.testing.assert_allclose(sigma / measured, 1.0, atol=0.2)
    assert np.median(np.abs(np.array(depths) - z).max(0)) > 0.01


def test_the_deviation_grows_with_noise_and_distance():
    rays = np.zeros((2, 2))
    seen = np.array([[-0.25, 0.0], [-0.125, 0.0]])
    pose = transforms.make(np.eye(3), [-0.5, 0.0, 0.0])

    depth, sigma = triangulate_depth(rays, seen, pose, _FOCAL, pixel_sigma=1.0)
    _, doubled = triangulate_depth(rays, seen, pose, _FOCAL, pixel_sigma=2.0)

    np.testing.assert_allclose(depth, [2.0, 4.0])
    # z^2 / (f b) pixels, of two noisy images.
    np.testing.assert_allclose(sigma, np.sqrt(2) * depth**2 / (_FOCAL * 0.5))
    np.testing.assert_allclose(doubled, 2 * sigma)


def test_too_little_parallax_gives_nothing():
    rays, seen, _ = _problem(3, depth=(60.0, 80.0))

    depth, sigma = triangulate_depth(
        rays, seen, _QUERY_REFERENCE, _FOCAL, min_parallax=np.deg2rad(1.0)
    )

    assert np.isnan(depth).all()
    assert np.isnan(sigma).all()


def test_matches_off_their_epipolar_line_give_nothing():
    rays, seen, z = _problem(4)
    across = np.cross(_QUERY_REFERENCE[:3, 3], [0, 0, 1.0])[:2]
    seen[::2] += 8.0 / _FOCAL * across / np.linalg.norm(across)

    depth, _ = triangulate_depth(rays, seen, _QUERY_REFERENCE, _FOCAL, max_error=4.0)

    assert np.isnan(depth[::2]).all()
    np.testing.assert_allclose(depth[1::2], z[1::2])


def test_points_behind_give_nothing():
    pose = transforms.make(np.eye(3), [-0.5, 0.0, 0.0])
    # The query sees it on the wrong side: the rays part.
    depth, _ = triangulate_depth(np.zeros((1, 2)), np.array([[0.2, 0.0]]), pose, _FOCAL)
    assert np.isnan(depth).all()
    # In front of the reference, behind the query that looks back.
    turned = transforms.make(np.diag([-1.0, 1.0, -1.0]), [0.5, 0.0, 0.5])
    point = transforms.apply(turned, [[0.0, 0.0, 2.0]])
    assert point[0, 2] < 0
    depth, _ = triangulate_depth(np.zeros((1, 2)), point[:, :2] / point[:, 2:], turned, _FOCAL)
    assert np.isnan(depth).all()


def test_unknown_rays_and_cameras_at_one_place_give_nothing():
    rays, seen, _ = _problem(5, count=2)
    rays[0] = np.nan

    assert np.isnan(triangulate_depth(rays, seen, _QUERY_REFERENCE, _FOCAL)[0]).tolist() == [
        True,
        False,
    ]
    depth, _ = triangulate_depth(seen, seen, np.eye(4), _FOCAL)
    assert np.isnan(depth).all()


def test_no_matches():
    depth, sigma = triangulate_depth(np.zeros((0, 2)), np.zeros((0, 2)), _QUERY_REFERENCE, _FOCAL)

    assert depth.shape == sigma.shape == (0,)


def test_fused_depth_is_nearer_to_the_truth_and_knows_it():
    random = np.random.default_rng(6)
    truth, count = 3.0, 4000
    sigma_rho = np.array([0.01, 0.02, 0.02])[:, None]
    rho = 1.0 / truth + sigma_rho * random.standard_normal((3, count))
    depths = 1.0 / rho

    fused, deviation = fuse_depths(depths, np.repeat(sigma_rho, count, 1) * depths**2)

    known = np.isfinite(fused)
    assert known.mean() > 0.98
    expected = 1.0 / np.sqrt((1.0 / sigma_rho**2).sum())
    assert np.std(1.0 / fused[known]) == pytest.approx(expected, rel=0.05)
    np.testing.assert_allclose(deviation[known] / fused[known], expected, rtol=1e-9)


def test_fusing_passes_over_what_is_unknown():
    depths = np.array([[2.0, np.nan, np.nan], [np.nan, 4.0, np.nan]])
    sigmas = np.array([[0.1, np.nan, np.nan], [np.nan, 0.2, np.nan]])

    fused, deviation = fuse_depths(depths, sigmas)

    np.testing.assert_allclose(fused, [2.0, 4.0, np.nan])
    np.testing.assert_allclose(deviation, [0.05, 0.05, np.nan])


def test_neighbors_that_contradict_each_other_are_given_up():
    fused, _ = fuse_depths(np.array([[2.0, 2.0], [2.1, 4.0]]), np.full((2, 2), 0.1))

    assert np.isfinite(fused).tolist() == [True, False]


def test_uncertain_depth_is_given_up():
    fused, _ = fuse_depths(np.array([[2.0, 2.0]]), np.array([[0.1, 0.3]]))

    assert np.isfinite(fused).tolist() == [True, False]
    fused, _ = fuse_depths(np.array([[2.0, 2.0]]), np.array([[0.1, 0.3]]), max_relative_sigma=0.2)
    assert np.isfinite(fused).all()


def test_relative_pose_of_two_cameras():
    query = transforms.perturb(np.eye(4), [1, 2, 3, 0.1, 0.2, 0.3])
    reference = transforms.perturb(np.eye(4), [0, 1, 0, -0.3, 0, 0.5])

    np.testing.assert_allclose(query @ relative(query, reference), reference, atol=1e-12)
