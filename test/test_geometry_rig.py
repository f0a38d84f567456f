# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Several views as one generalized camera: its first poses, its derivatives, its covariance."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from consistency import follows_chi_square, normalized_errors
from hypothesis import given
from hypothesis import strategies as st

from mast3r_ros.geometry import generalized_pose, transforms
from mast3r_ros.geometry.generalized_pose import Bearing
from mast3r_ros.geometry.joint_pose import Matches, lengths, linearize
from mast3r_ros.geometry.rig import make_rig, move_covariance
from mast3r_ros.geometry.robust_pose import estimate
from mast3r_ros.geometry.robust_solver import SharedErrors

_FOCALS = ((500.0, 510.0), (400.0, 390.0), (620.0, 620.0))
_HALF = np.array([0.6, 0.45])  # field of view on z = 1
# Looking ahead, to the left, and back to where the robot comes from.
_CAMERAS = [
    transforms.perturb(np.eye(4), [0.3, 0.0, 0.4, 0.0, 0.0, 0.0]),
    transforms.perturb(np.eye(4), [0.0, 0.2, 0.4, 0.0, 1.2, 0.0]),
    transforms.perturb(np.eye(4), [-0.2, -0.1, 0.5, 0.2, 3.0, 0.1]),
]
_STEP = np.diag([0.01, 0.01, 0.01, 0.005, 0.005, 0.005]) ** 2
_KEYFRAMES = 3


def _random_pose(random, meters=4.0, radians=1.0):
    delta = [random.uniform(-meters, meters, 3), random.uniform(-radians, radians, 3)]
    return transforms.perturb(np.eye(4), np.concatenate(delta))


def _drive(random, steps=2):
    """map <- body, newest first."""
    poses = [_random_pose(random)]
    for _ in range(steps):
        delta = random.normal(0, [0.3, 0.3, 0.1, 0.1, 0.2, 0.1])
        poses.append(poses[-1] @ transforms.perturb(np.eye(4), delta))
    return poses


def _odometry(bodies, random, step=_STEP):
    """body now <- body then, with the errors of each step, and the covariances."""
    estimated, covariances = [np.eye(4)], [np.zeros((6, 6))]
    for newer, older in pairwise(bodies):
        moved = transforms.inverse(newer) @ older
        noisy = transforms.perturb(moved, random.multivariate_normal(np.zeros(6), step))
        # Poses chain: what the newer one is wrong about moves the older one by its lever.
        then = estimated[-1]
        turn = np.kron(np.eye(2), then[:3, :3])
        carried = move_covariance(covariances[-1], then, noisy)
        covariances.append(carried + turn @ step @ turn.T)
        estimated.append(then @ noisy)
    return estimated, covariances


def _problem(seed, points=90, rays=0, noise=0.5, step=_STEP, sigmas=(0.0, 0.0), keyframe_noise=0.0):
    """The body's pose, and the matches of three views with three keyframes."""
    random = np.random.default_rng(seed)
    bodies = _drive(random)
    now_thens, covariances = _odometry(bodies, random, step)
    rig = make_rig(_CAMERAS, now_thens, covariances, _FOCALS)
    count = points + rays
    views, owners = np.arange(count) % len(_CAMERAS), np.arange(count) // 3 % _KEYFRAMES
    seen = random.uniform(-_HALF, _HALF, (count, 2))
    ahead = np.column_stack([seen, np.ones(count)]) * random.uniform(1.5, 6.0, (count, 1))
    cameras = [body @ camera for body, camera in zip(bodies, _CAMERAS, strict=True)]
    world = np.array([transforms.apply(cameras[v], p) for v, p in zip(views, ahead, strict=True)])
    origins = np.stack([bodies[0][:3, 3] + random.normal(0, 0.6, 3) for _ in range(_KEYFRAMES)])
    offsets = world - origins[owners]
    # What is wrong about each keyframe moves and turns all that was mapped from it.
    errors = random.normal(0, [[sigmas[0]] * 3 + [sigmas[1]] * 3] * _KEYFRAMES)
    turns = np.stack([transforms.rotation_from_vector(e[3:]) for e in errors])
    directions = np.einsum("nij,nj->ni", turns[owners], offsets)
    if keyframe_noise:
        across = random.normal(0, keyframe_noise / _FOCALS[0][0], offsets.shape)
        directions += np.linalg.norm(offsets, axis=1, keepdims=True) * across
    mapped = origins + errors[:, :3]
    known = np.where(
        np.arange(count)[:, None] < points, mapped[owners] + directions, np.full(3, np.nan)
    )
    pixels = random.normal(0, noise, seen.shape) / rig.focals[views]
    matches = Matches(
        seen + pixels,
        known,
        mapped[owners],
        directions,
        np.full(count, 1e-6),
        owners,
        _FOCALS[0],
        6.0,
        views,
        rig,
    )
    return bodies[0], matches, cameras


def _shared(matches, sigmas=(0.0, 0.0)):
    each = np.array([[sigmas[0]] * 3 + [sigmas[1]] * 3 + [0.0]] * _KEYFRAMES)
    return SharedErrors(each, np.ones(_KEYFRAMES), np.arange(len(matches.rays)), 0.0)


@pytest.mark.no_cover
@given(st.integers(0, 10_000))
def test_the_jacobian_is_that_of_the_residuals_by_the_body(seed):
    pose, matches, _ = _problem(seed, points=9, rays=9)
    pose = transforms.perturb(pose, np.random.default_rng(seed).normal(0, 0.02, 6))

    seen = linearize(pose, matches)

    step = 1e-6
    # Each residual is whitened at its own pose: with exact points that changes nothing.
    numeric = np.stack(
        [
            (
                linearize(transforms.perturb(pose, step * e), matches).residual
                - linearize(transforms.perturb(pose, -step * e), matches).residual
            )
            / (2 * step)
            for e in np.eye(6)
        ],
        axis=2,
    )
    np.testing.assert_allclose(seen.by_pose[..., :6], numeric, rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_the_jacobian_by_odometry_is_that_of_views_that_move(seed):
    pose, matches, _ = _problem(seed, points=9, rays=9)
    rig, step = matches.rig, 1e-6

    def residual(error, sign):
        cameras = []
        for view in range(len(rig)):
            then = transforms.make(np.eye(3), rig.bodies[view])
            moved = transforms.perturb(then, sign * step * rig.motion[view, :, error])
            cameras.append(moved @ transforms.inverse(then) @ rig.body_cameras[view])
        return linearize(pose, replace(matches, rig=replace(rig, body_cameras=np.stack(cameras))))

    seen = linearize(pose, matches)

    assert rig.errors == 12  # two steps between three views
    for error in range(rig.errors):
        numeric = (residual(error, 1).residual - residual(error, -1).residual) / (2 * step)
        np.testing.assert_allclose(seen.by_pose[..., 6 + error], numeric, rtol=1e-3, atol=0.05)


def test_an_older_view_has_the_errors_of_the_younger_one_and_more():
    random = np.random.default_rng(3)
    bodies = _drive(random)
    now_thens, covariances = _odometry(bodies, random)

    rig = make_rig(_CAMERAS, now_thens, covariances, _FOCALS)

    for view in range(3):
        joint = rig.motion[view] @ rig.motion[view].T
        np.testing.assert_allclose(joint, covariances[view], rtol=1e-6, atol=1e-12)
    # The errors of the younger view, moved by the lever between the two.
    lever = now_thens[2][:3, 3] - now_thens[1][:3, 3]
    moved = np.eye(6)
    moved[:3, 3:] = -transforms.skew(lever)
    between = rig.motion[2] @ rig.motion[1].T
    np.testing.assert_allclose(between, moved @ covariances[1], rtol=1e-6, atol=1e-12)


def test_images_of_one_instant_share_their_motion():
    then = transforms.perturb(np.eye(4), [0.2, 0.1, 0.0, 0.0, 0.0, 0.3])

    rig = make_rig(_CAMERAS, [then] * 3, [_STEP] * 3, _FOCALS)

    assert rig.errors == 6
    np.testing.assert_allclose(rig.motion[0], rig.motion[2])


def test_exact_odometry_has_no_errors():
    rig = make_rig(_CAMERAS, [np.eye(4)] * 3, [None] * 3, _FOCALS)

    assert rig.errors == 0


@pytest.mark.parametrize("seed", range(5))
def test_points_of_all_views_give_one_pose(seed):
    pose, matches, _ = _problem(seed, noise=0.0, step=np.zeros((6, 6)))
    wild = np.random.default_rng(seed).random(len(matches.rays)) < 0.4
    spoiled = replace(matches, rays=np.where(wild[:, None], -matches.rays[::-1], matches.rays))

    found = generalized_pose.ransac(spoiled)

    assert transforms.distance(found, pose) < 1e-6
    assert transforms.rotation_angle(found, pose) < 1e-6


def test_views_without_points_are_no_harm_and_three_points_are_too_few():
    pose, matches, _ = _problem(0, noise=0.0, step=np.zeros((6, 6)))
    first = np.where((matches.views == 0)[:, None], matches.points, np.nan)
    few = np.where((np.arange(len(first)) < 7)[:, None], first, np.nan)

    found = generalized_pose.ransac(replace(matches, points=first))

    assert transforms.distance(found, pose) < 1e-6
    assert generalized_pose.ransac(replace(matches, points=few)) is None


def _bearings(matches, cameras, views=(0, 1, 2), keyframe=0):
    origin = matches.origins[matches.owners == keyframe][0]
    for view in views:
        offset = cameras[view][:3, 3] - origin
        start = transforms.make(cameras[view][:3, :3], origin)
        yield Bearing(view, start, offset / np.linalg.norm(offset), 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_directions_to_one_keyframe_share_the_meters_of_odometry(seed):
    pose, matches, cameras = _problem(seed, noise=0.0, step=np.zeros((6, 6)))

    found = generalized_pose.from_bearings(matches.rig, list(_bearings(matches, cameras)))

    assert transforms.distance(found, pose) < 1e-9
    assert transforms.rotation_angle(found, pose) < 1e-9


def test_directions_without_a_baseline_give_no_meters():
    _, matches, cameras = _problem(0, noise=0.0, step=np.zeros((6, 6)))
    one = list(_bearings(matches, cameras, views=(0,)))
    backwards = [
        replace(b, direction=-b.direction) for b in _bearings(matches, cameras, views=(0, 1))
    ]

    assert generalized_pose.from_bearings(matches.rig, one) is None
    assert generalized_pose.from_bearings(matches.rig, one * 2) is None
    assert generalized_pose.from_bearings(matches.rig, backwards) is None


def _half_wrong(matches, seed):
    """The same with every other ray of the query elsewhere in its image."""
    rays = matches.rays.copy()
    rays[::2] = np.random.default_rng(seed).uniform(-_HALF, _HALF, rays[::2].shape)
    return replace(matches, rays=rays)


@pytest.mark.parametrize("keyframes", [1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_rays_of_several_views_share_the_meters_of_odometry(seed, keyframes):
    pose, matches, _ = _problem(seed, points=0, rays=400, noise=0.0, step=np.zeros((6, 6)))
    matches = _half_wrong(matches.select(matches.owners < keyframes), seed)

    found = generalized_pose.from_rays(matches, 5000)

    assert transforms.distance(found, pose) < 0.01
    assert transforms.rotation_angle(found, pose) < 0.003


def test_five_rays_are_too_few():
    _, matches, _ = _problem(0, points=0, rays=400, noise=0.0, step=np.zeros((6, 6)))

    few = matches.select(np.flatnonzero((matches.owners == 0) & (matches.views == 0))[:5])

    assert generalized_pose.from_rays(few, 1000) is None


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", ["points", "rays", "mixed", "keyframes"])
def test_the_covariance_is_honest(kind):
    points, rays = {"rays": (0, 240), "mixed": (30, 120)}.get(kind, (90, 0))
    sigmas = (0.01, 0.005) if kind == "keyframes" else (0.0, 0.0)
    errors, covariances = [], []
    for seed in range(120):
        # The pixels of keyframes are as exact as those of the query.
        pose, matches, _ = _problem(seed, points, rays, sigmas=sigmas, keyframe_noise=0.5)
        start = transforms.perturb(pose, np.random.default_rng(seed).normal(0, 0.002, 6))
        found = estimate(start, matches, _shared(matches, sigmas))
        errors.append(transforms.difference(found.pose, pose))
        covariances.append(found.covariance)
    values = normalized_errors(np.array(errors), np.array(covariances))

    if kind == "keyframes":
        # Three keyframes say little of how large their errors are: cautious, never too sure.
        assert 1.0 < values.mean() < 7.0
    else:
        assert follows_chi_square(values), (values.mean(), np.percentile(values, 95))


def test_odometry_that_is_not_exact_widens_the_covariance():
    pose, exact, _ = _problem(1, step=np.zeros((6, 6)))
    motion = _problem(1)[1].rig.motion
    doubtful = replace(exact, rig=replace(exact.rig, motion=motion))

    trusted = estimate(pose, exact, _shared(exact)).covariance
    doubted = estimate(pose, doubtful, _shared(exact)).covariance

    assert np.linalg.eigvalsh(doubted - trusted).min() > -0.02 * np.linalg.norm(trusted)
    assert np.trace(doubted) > 1.1 * np.trace(trusted)


def test_the_covariance_moves_with_the_lever():
    pose = _random_pose(np.random.default_rng(0))
    lever = _random_pose(np.random.default_rng(1))
    covariance = np.diag([1.0, 2.0, 3.0, 0.1, 0.2, 0.3]) * 1e-6
    random = np.random.default_rng(2)
    deltas = random.multivariate_normal(np.zeros(6), covariance, 4000)
    moved = [
        transforms.difference(transforms.perturb(pose, d) @ lever, pose @ lever) for d in deltas
    ]

    stated = move_covariance(covariance, pose, lever)

    np.testing.assert_allclose(np.cov(np.array(moved).T), stated, atol=0.1 * stated.max())


def test_each_camera_of_a_rig_turns_by_itself_while_it_is_read_out():
    pose, matches, _ = _problem(1, points=9, rays=9)
    readout = np.linspace(-0.01, 0.01, 18)

    seen = linearize(pose, replace(matches, readout=readout))
    plain = linearize(pose, matches)

    np.testing.assert_array_equal(seen.by_pose[:, :, : 6 + matches.rig.errors], plain.by_pose)
    turns = seen.by_pose[:, :, 6 + matches.rig.errors :].reshape(18, 2, 3, 3)
    for view in range(3):
        own = matches.views == view
        assert not turns[~own, :, view].any()
        # The derivative by the camera's own turn is that of a lone camera.
        lone = linearize(pose @ matches.rig.body_cameras[view], matches.of_view(view)[1])
        expected = lone.by_pose[:, :, 3:6] * readout[own, None, None]
        np.testing.assert_allclose(turns[own, :, view], expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_what_a_rig_sees_is_what_each_of_its_cameras_sees(seed):
    pose, matches, _ = _problem(seed, points=9, rays=9)
    pose = transforms.perturb(pose, [0.02, -0.01, 0.03, 0.01, 0.02, -0.01])

    length, ahead = lengths(pose, matches)
    seen = linearize(pose, matches)

    assert np.isfinite(length).all()
    assert length.max() > 1.0
    for view in range(3):
        at, own = matches.of_view(view)
        camera = pose @ matches.rig.body_cameras[view]
        alone = linearize(camera, own)
        np.testing.assert_allclose(length[at], lengths(camera, own)[0], rtol=1e-9)
        np.testing.assert_array_equal(ahead[at], alone.ahead)
        np.testing.assert_allclose(seen.residual[at], alone.residual, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(seen.by_keyframe[at], alone.by_keyframe, rtol=1e-6, atol=1e-6)
