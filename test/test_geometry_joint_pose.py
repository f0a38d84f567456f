# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A pose from matches of which some know their point and the others only a ray."""

from dataclasses import replace

import numpy as np
import pytest
from consistency import normalized_errors
from hypothesis import given
from hypothesis import strategies as st

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.epipolar_lines import EpipolarLines
from mast3r_ros.geometry.joint_pose import (
    Matches,
    agreeing,
    linearize,
    magnifications,
)
from mast3r_ros.geometry.robust_pose import estimate
from mast3r_ros.geometry.robust_solver import SharedErrors, Solver
from mast3r_ros.geometry.scale_vote import scale_along

_FOCAL = 500.0
_HALF = np.array([0.6, 0.45])  # field of view on z = 1


def _problem(seed=0, points=40, rays=80, noise=0.0, threshold=6.0):
    """The query's pose, and its matches with two keyframes beside it."""
    random = np.random.default_rng(seed)
    count = points + rays
    pose = transforms.perturb(
        np.eye(4), np.concatenate([random.uniform(-4, 4, 3), random.uniform(-1, 1, 3)])
    )
    seen = random.uniform(-_HALF, _HALF, (count, 2))
    depth = random.uniform(1.5, 6.0, count)
    world = transforms.apply(pose, np.column_stack([seen, np.ones(count)]) * depth[:, None])
    beside = np.array([[0.5, 0.1, -0.2], [-0.3, 0.3, 0.1]])[np.arange(count) % 2]
    origins = transforms.apply(pose, beside)
    known = np.where(np.arange(count)[:, None] < points, world, np.nan)
    noisy = seen + random.normal(0, noise / _FOCAL, seen.shape)
    directions = (world - origins) * random.uniform(0.1, 3, (count, 1))
    return pose, Matches(
        noisy,
        known,
        origins,
        directions,
        np.full(len(noisy), 1e-6),
        np.arange(count) % 2,
        (_FOCAL, _FOCAL),
        threshold,
    )


def _guessed(matches, share):
    """The same matches, with points moved along their keyframes' rays."""
    random = np.random.default_rng(0)
    factor = np.exp(random.normal(0, share, len(matches.points)))[:, None]
    points = matches.origins + factor * (matches.points - matches.origins)
    return replace(matches, points=points, depth_sigmas=np.full(len(points), share))


def _near(pose, seed=0, size=0.003):
    return transforms.perturb(pose, np.random.default_rng(seed).normal(0, size, 6))


def _shared(matches, position=0.0, rotation=0.0, scale=0.0):
    """Errors of two keyframes, each match in a cell of its own."""
    sigmas = np.tile([position] * 3 + [rotation] * 3 + [scale], (2, 1))
    return SharedErrors(sigmas, np.ones(2), np.arange(len(matches.rays)), 0.0)


def _estimate(pose, matches, **errors):
    return estimate(pose, matches, _shared(matches, **errors))


@given(st.integers(0, 10_000))
def test_the_epipolar_jacobian_is_that_of_the_distance(seed):
    pose, matches = _problem(seed, points=0, rays=4)
    pose = _near(pose, seed, 0.02)
    arguments = (matches.origins, matches.directions, matches.rays, _FOCAL)

    lines = EpipolarLines(pose, *arguments)
    jacobian = lines.jacobian()

    def moved(delta):
        return EpipolarLines(transforms.perturb(pose, delta), *arguments).distances

    step = 1e-6
    numeric = np.stack(
        [(moved(step * e) - moved(-step * e)) / (2 * step) for e in np.eye(6)], axis=1
    )
    np.testing.assert_allclose(jacobian[:, :6], numeric, rtol=1e-4, atol=1e-2)
    assert np.isfinite(lines.distances).all()


def test_the_distance_is_in_pixels_across_the_line():
    # The keyframe stands to the left: its epipolar lines run along x, so only y counts.
    origins, directions = np.array([[-1.0, 0.0, 0.0]] * 2), np.array([[1.0, 0.0, 4.0]] * 2)
    rays = np.array([[0.1, 0.02], [0.3, -0.03]])

    lines = EpipolarLines(np.eye(4), origins, directions, rays, _FOCAL)

    np.testing.assert_allclose(np.abs(lines.distances), [0.02 * _FOCAL, 0.03 * _FOCAL])
    assert lines.distances[0] * lines.distances[1] < 0
    # The second ray leaves the keyframe's: the two meet behind.
    assert lines.ahead.tolist() == [True, False]


@pytest.mark.parametrize("seed", range(5))
def test_true_matches_meet_in_front_of_both_cameras(seed):
    pose, matches = _problem(seed, points=0)
    arguments = (matches.rays, _FOCAL)

    lines = EpipolarLines(pose, matches.origins, matches.directions, *arguments)
    reverse = EpipolarLines(pose, matches.origins, -matches.directions, *arguments)

    np.testing.assert_allclose(lines.distances, 0.0, atol=1e-8)
    assert lines.ahead.all()
    assert not reverse.ahead.any()


def test_matches_say_what_they_know():
    _, matches = _problem(points=3, rays=4)
    matches.rays[0] = np.nan
    matches.directions[1] = np.nan
    matches.directions[6] = np.nan

    assert np.flatnonzero(matches.with_point).tolist() == [1, 2]
    assert np.flatnonzero(matches.with_ray).tolist() == [3, 4, 5]
    rest = matches.without(np.arange(7) < 3)
    assert (len(rest.rays), len(rest.points), len(rest.origins), len(rest.directions)) == (4,) * 4
    assert (rest.focal, rest.threshold) == (matches.focal, matches.threshold)


def test_nothing_agrees_that_is_behind_or_far_from_where_it_should_be():
    pose, matches = _problem(points=4, rays=4, threshold=4.0)
    behind = 2 * pose[:3, 3] - matches.points[0]
    matches.points[0] = behind
    matches.rays[1] += 5.0 / _FOCAL
    matches.rays[4] = np.nan
    matches.directions[5] *= -1.0

    inliers, seen = agreeing(pose, matches), linearize(pose, matches)

    assert np.flatnonzero(inliers).tolist() == [2, 3, 6, 7]
    np.testing.assert_allclose(seen.residual[inliers], 0.0, atol=1e-8)
    assert not seen.residual[6:, 1].any()
    assert not seen.by_pose[6:, 1].any()


def test_a_ray_through_the_camera_itself_says_nothing():
    pose, matches = _problem(points=10, rays=2)
    matches.origins[-1] = pose[:3, 3]

    inliers = agreeing(pose, matches)

    assert inliers[:-1].all()
    assert not inliers[-1]


@pytest.mark.parametrize(("points", "rays"), [(40, 80), (8, 100), (30, 0), (4, 60)])
def test_refinement_finds_the_pose(points, rays):
    pose, matches = _problem(1, points, rays)

    found = _estimate(_near(pose), matches)

    np.testing.assert_allclose(found.pose, pose, atol=1e-8)
    assert (found.points, found.rays) == (points, rays)
    assert found.support == points + 0.5 * rays
    assert found.inliers.all()
    assert (found.costs[found.inliers] < found.outlier_costs[found.inliers]).all()


@pytest.mark.parametrize(("points", "rays"), [(40, 80), (60, 0)])
def test_exact_matches_are_worth_the_noise_floor_beside_the_keyframes_errors(points, rays):
    pose, exact = _problem(1, points, rays)
    noisy = _problem(1, points, rays, noise=0.5)[1]
    errors = {"position": 0.01, "rotation": 0.01, "scale": 0.05}

    found, other = (_estimate(pose, matches, **errors) for matches in (exact, noisy))

    np.testing.assert_allclose(found.pose, pose, atol=1e-6)
    assert found.inliers.all()
    # As large as the keyframes' errors, and no smaller than with matches of half a pixel of noise.
    ratio = np.sqrt(np.diag(found.covariance) / np.diag(other.covariance))
    assert (ratio > 0.7).all()
    assert (ratio < 1.3).all()
    assert 0.01 < np.sqrt(found.covariance[3, 3]) < 0.02


def test_rays_alone_leave_no_meters():
    """Two keyframes give meters by their baseline; one keyframe gives none."""
    pose, matches = _problem(2, points=0, rays=100)
    one = replace(matches, origins=np.repeat(matches.origins[:1], 100, axis=0))
    world = matches.origins + matches.directions
    one = replace(one, directions=world - one.origins)

    both, alone = _estimate(_near(pose), matches), _estimate(_near(pose), one)

    np.testing.assert_allclose(both.pose, pose, atol=1e-6)
    sigma = np.sqrt(np.diag(both.covariance)[:3].sum())
    assert sigma < 0.05
    if alone is not None:
        blind = np.sqrt(np.diag(alone.covariance)[:3].sum())
        assert not blind < 100 * sigma


def test_rays_bind_what_few_points_leave_loose():
    pose, mixed = _problem(3, points=6, rays=100, noise=0.5)
    few = mixed.without(~mixed.with_point)

    with_rays, without = _estimate(pose, mixed), _estimate(pose, few)

    sizes = [np.trace(found.covariance) for found in (with_rays, without)]
    assert sizes[0] < 0.5 * sizes[1]


def test_wrong_matches_are_left_out():
    pose, matches = _problem(4, noise=0.5)
    wrong = np.arange(0, 120, 4)
    matches.rays[wrong] = np.random.default_rng(0).uniform(-_HALF, _HALF, (len(wrong), 2))

    found = _estimate(_near(pose), matches)

    assert transforms.distance(found.pose, pose) < 0.02
    assert found.inliers[wrong].mean() < 0.2
    assert np.delete(found.inliers, wrong).mean() > 0.95


def test_a_chance_point_before_the_lens_does_not_make_the_pose_exact():
    pose, matches = _problem(0, points=40, rays=0, noise=1.0)
    clean = _estimate(pose, matches)
    # 1.5 cm before the camera, seen a few pixels off.
    point = transforms.apply(pose, np.array([[0.1, 0.05, 1.0]]) * 0.015)
    points = matches.points.copy()
    points[0] = point
    rays = matches.rays.copy()
    rays[0] = [0.1 + 3.0 / _FOCAL, 0.05]
    wrong = replace(matches, points=points, rays=rays)

    found = _estimate(pose, wrong)

    assert magnifications(linearize(pose, wrong).by_keyframe, wrong)[0] > 20
    assert found.inliers[0]
    one, other = (np.linalg.eigvalsh(e.covariance)[0] for e in (clean, found))
    assert other > 0.5 * one
    assert transforms.rotation_angle(found.pose, pose) < 0.003


def test_an_error_of_a_keyframes_pixel_grows_with_nearness_and_at_the_epipole():
    # Two keyframes 2 m behind the query's camera, one beside it.
    origins = np.array([[0.0, 0.0, -2.0], [0.0, 0.0, -2.0], [1.0, 0.0, 0.0]])
    points = np.array([[0.1, 0.0, 1.0], [np.nan] * 3, [0.1, 0.0, 1.0]])
    directions = np.where(np.isnan(points), [0.01, 0.0, 2.0], points - origins)
    matches = Matches(
        np.array([[0.1, 0.0]] * 3),
        points,
        origins,
        directions,
        np.full(3, 1e-6),
        np.arange(3),
        (_FOCAL, _FOCAL),
        6.0,
    )

    found = magnifications(linearize(np.eye(4), matches).by_keyframe, matches)

    # 3 m from the keyframe and 1 m before the camera; 1.35 m and 1 m. The ray passes the camera by
    # 1 cm: 2.5 pixels from the keyframe's epipole, and 50 from that of the query.
    np.testing.assert_allclose(found, [3.0, 20.0, 1.35], rtol=0.15)


def test_the_influence_of_a_match_is_what_the_covariance_grows_by_without_it():
    pose, matches = _problem(2, points=30, rays=0, noise=0.5)
    # One of them is much nearer than the others.
    points = transforms.apply(pose, transforms.apply(transforms.inverse(pose), matches.points) * 10)
    points[0] = matches.points[0]
    matches = replace(matches, points=points)
    found = _estimate(pose, matches)

    influential = int(found.influences.argmax())
    without = estimate(pose, matches, _shared(matches), muted=np.arange(len(points)) == influential)

    grown = np.trace(np.linalg.solve(found.covariance, without.covariance)) - 6.0
    assert influential == 0
    assert found.influences[0] > 3.0
    assert found.influences[0] == pytest.approx(grown, rel=0.3)
    assert not without.inliers[0]


def test_of_a_muted_match_the_prediction_is_told():
    pose, matches = _problem(3, points=60, rays=0, noise=0.5)
    matches.rays[0] += 3.0 / _FOCAL

    found = estimate(pose, matches, _shared(matches), muted=np.arange(60) == 0)

    spread = 0.5**2 * np.eye(2) + found.predicted[0]
    np.testing.assert_allclose(found.residuals[0], -3.0, atol=3.0 * np.sqrt(spread.max()))
    assert 0.0 < found.predicted[0].trace() < 0.5


def test_no_support_no_pose():
    pose, matches = _problem(5, points=3, rays=2)

    assert _estimate(pose, matches) is None
    assert _estimate(transforms.perturb(pose, [0, 0, 0, 2, 0, 0]), _problem(5)[1]) is None


def test_a_pose_without_hope_of_the_wanted_support_settles_sooner(monkeypatch):
    pose, matches = _problem(points=120, rays=0)
    # Three of four matches are near, and wrong.
    away = 3.0 * matches.threshold / _FOCAL
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, 90)
    rays = matches.rays.copy()
    rays[30:] += away * np.column_stack([np.cos(angles), np.sin(angles)])
    matches = replace(matches, rays=rays)

    shared = _shared(matches)
    # Each step moves the pose by 0.3 standard deviations: a pose of hope has not settled then.
    moved = property(lambda own: 0.3, lambda own, value: None)
    monkeypatch.setattr(Solver, "moved", moved, raising=False)
    step, steps = Solver.step, list[int]()
    monkeypatch.setattr(Solver, "step", lambda own, slack: steps.append(1) or step(own, slack))

    found = estimate(pose, matches, shared, 30)

    assert 30 <= found.inliers.sum() < 40
    np.testing.assert_allclose(found.pose, pose, atol=0.02)
    assert len(steps) == 8
    assert estimate(pose, matches, shared, 100) is None
    assert len(steps) == 8 + 1


def test_unbound_poses_are_none():
    _, matches = _problem(6, points=10, rays=0)
    same = replace(
        matches,
        points=np.repeat([[0.0, 0.0, 2.0]], 10, axis=0),
        rays=np.zeros((10, 2)),
    )

    assert _estimate(np.eye(4), same) is None


@pytest.mark.no_cover
@pytest.mark.parametrize(("points", "rays"), [(60, 0), (40, 80), (20, 150)])
def test_errors_are_as_large_as_the_information_says(points, rays):
    errors, covariances = [], []
    for seed in range(200):
        pose, matches = _problem(2000 + seed, points, rays, noise=1.0, threshold=8.0)
        found = _estimate(pose, matches)
        errors.append(transforms.difference(found.pose, pose))
        covariances.append(found.covariance)

    values = normalized_errors(np.array(errors), np.array(covariances))

    # The weights and the noise are estimated from few matches: not exactly chi-square.
    assert 5.0 < values.mean() < 8.0


def test_one_feature_of_a_keyframe_seen_by_several_views_is_not_several():
    views, noise = 5, 1.0
    told, naive = [], []
    for seed in range(60):
        pose, matches = _problem(seed, points=30, rays=0)
        random = np.random.default_rng(seed)
        # The keyframe's noise is that of the feature, the query's that of each view.
        feature = np.tile(random.normal(0, noise / np.sqrt(2) / _FOCAL, (30, 2)), (views, 1))
        own = random.normal(0, noise / np.sqrt(2) / _FOCAL, (30 * views, 2))
        repeated = matches.select(np.tile(np.arange(30), views))
        repeated = replace(repeated, rays=repeated.rays + feature + own)
        shared = _shared(repeated)
        features = np.tile(np.arange(30), views)
        for known, errors in ((features, told), (None, naive)):
            found = estimate(pose, repeated, replace(shared, features=known))
            delta = transforms.difference(found.pose, pose)
            errors.append(delta @ np.linalg.solve(found.covariance, delta))

    assert 4.5 < np.mean(told) < 7.5
    assert np.mean(naive) > 2 * np.mean(told)


@pytest.mark.parametrize("distance", [0.0, 0.2, 1.5])
def test_points_vote_for_the_distance_along_a_line(distance):
    pose, matches = _problem(8, points=12, rays=5, noise=0.3)
    direction = pose[:3, :3] @ np.array([0.6, 0.0, 0.8])
    start = transforms.make(pose[:3, :3], pose[:3, 3] - distance * direction)
    # A third of the points is wrong.
    matches.points[:4] += 1.0

    found = scale_along(start, direction, matches)

    assert transforms.distance(found, pose) < 0.02
    np.testing.assert_array_equal(found[:3, :3], pose[:3, :3])


@given(st.integers(0, 10_000), st.lists(st.floats(0.0, 8.0), min_size=1, max_size=50))
def test_nowhere_on_the_line_do_more_points_agree(seed, elsewhere):
    pose, matches = _problem(seed, points=30, rays=0, noise=3.0)
    direction = np.random.default_rng(seed).normal(size=3)
    direction /= np.linalg.norm(direction)
    start = transforms.make(pose[:3, :3], pose[:3, 3] - 0.7 * direction)

    def agreeing(at):
        seen = (matches.points - at[:3, 3]) @ at[:3, :3]
        error = np.hypot(*((seen[:, :2] / seen[:, 2:] - matches.rays) * matches.focal).T)
        return int(((error < matches.threshold) & (seen[:, 2] > 0)).sum())

    best = agreeing(scale_along(start, direction, matches))

    for distance in elsewhere:
        moved = transforms.make(start[:3, :3], start[:3, 3] + distance * direction)
        assert agreeing(moved) <= best


def test_no_points_no_meters():
    pose, matches = _problem(9, points=0)

    assert scale_along(pose, np.array([0.0, 0.0, 1.0]), matches) is None


@given(st.integers(0, 10_000), st.floats(0.01, 0.5))
def test_errors_of_guessed_points_are_whitened_by_their_covariance(seed, share):
    pose, matches = _problem(seed, points=6, rays=0, threshold=3.0)
    pose = _near(pose, seed, 0.01)
    soft = replace(matches, depth_sigmas=np.full(6, share))

    sharp, forgiven = linearize(pose, matches), linearize(pose, soft)
    plain, jacobian = sharp.residual, sharp.by_pose
    whitened, by_pose = forgiven.residual, forgiven.by_pose

    for i in range(6):
        moved = (matches.points - matches.origins)[i] * share
        image = jacobian[i, :, :3] @ moved
        # A pixel is taken to be good to a third of the threshold.
        weight = np.linalg.inv(np.eye(2) + np.outer(image, image))
        assert whitened[i] @ whitened[i] == pytest.approx(plain[i] @ weight @ plain[i], rel=1e-6)
        np.testing.assert_allclose(
            by_pose[i].T @ by_pose[i], jacobian[i].T @ weight @ jacobian[i], rtol=1e-5, atol=1e-3
        )


def test_guessed_depths_leave_the_rotation_alone():
    pose, matches = _problem(3, points=200, rays=0, noise=0.5, threshold=3.0)
    guessed = _guessed(matches, 0.15)
    # Taken as measured, they need a wide threshold to agree on anything.
    measured = replace(guessed, depth_sigmas=np.full(200, 1e-6), threshold=60.0)
    found = {
        "guessed": _estimate(_near(pose), guessed),
        "measured": _estimate(_near(pose), measured),
    }
    turned = {k: transforms.rotation_angle(v.pose, pose) for k, v in found.items()}
    assert turned["guessed"] < 0.3 * turned["measured"]
    assert turned["guessed"] < np.deg2rad(0.1)


@pytest.mark.parametrize(("points", "rays"), [(6, 0), (0, 6)])
def test_the_jacobian_by_the_keyframe_is_that_of_the_residual(points, rays):
    pose, matches = _problem(5, points=points, rays=rays)
    pose = _near(pose, 5, 0.02)

    def moved(delta):
        """Every match's keyframe moved by itself, and its points scaled."""
        turn = transforms.rotation_from_vector(delta[3:6])
        origins = matches.origins + delta[:3]
        points = origins + np.exp(delta[6]) * (matches.points - matches.origins) @ turn.T
        told = replace(
            matches, origins=origins, points=points, directions=matches.directions @ turn.T
        )
        return linearize(pose, told).residual

    step = 1e-6
    numeric = np.stack(
        [(moved(step * e) - moved(-step * e)) / (2 * step) for e in np.eye(7)], axis=2
    )
    np.testing.assert_allclose(linearize(pose, matches).by_keyframe, numeric, rtol=1e-3, atol=2e-2)


def _disturbed(matches, truth, seed, position, rotation):
    """The keyframes, with their points and rays, where a map with errors has them."""
    random = np.random.default_rng(seed)
    points, directions = matches.points.copy(), matches.directions.copy()
    origins = matches.origins.copy()
    for k in range(2):
        own = matches.owners == k
        turn = transforms.rotation_from_vector(random.normal(0, rotation, 3))
        center = origins[own][:1]
        moved = center + random.normal(0, position, 3)
        points[own] = moved + (points[own] - center) @ turn.T
        directions[own] = directions[own] @ turn.T
        origins[own] = moved
    return replace(matches, points=points, directions=directions, origins=origins)


@pytest.mark.no_cover
def test_errors_of_keyframes_are_in_the_covariance():
    errors, covariances, ignored = [], [], []
    for seed in range(150):
        pose, matches = _problem(3000 + seed, 150, 0, noise=1.0, threshold=8.0)
        off = _disturbed(matches, pose, seed, 0.01, 0.005)
        found = _estimate(pose, off, position=0.01, rotation=0.005)
        errors.append(transforms.difference(found.pose, pose))
        covariances.append(found.covariance)
        ignored.append(_estimate(pose, off).covariance)

    honest, blind = (
        normalized_errors(np.array(errors), np.array(some)).mean()
        for some in (covariances, ignored)
    )

    # Cautious by the part that is taken to be common to all keyframes, never optimistic.
    assert 1.5 < honest < 6.9
    assert blind > 3 * honest


def test_keyframes_that_disagree_widen_the_covariance_and_refuse_nothing():
    pose, matches = _problem(12, 150, 0, noise=0.5, threshold=8.0)
    stated = {"position": 0.004, "rotation": 0.001}
    agree = _estimate(pose, matches, **stated)
    off = _disturbed(matches, pose, 3, 0.02, 0.0)

    disagree = _estimate(pose, off, **stated)

    assert disagree.disagreement[0] > 1.2 * agree.disagreement[0]
    assert np.trace(disagree.covariance[:3, :3]) > 1.3 * np.trace(agree.covariance[:3, :3])
    assert disagree.inliers.mean() > 0.9


def _rolling(seed, turn, points=60, rays=60, noise=0.0):
    """A camera that turns while it is read out: its pose in the middle, and its matches."""
    pose, matches = _problem(seed, points, rays, noise, threshold=8.0)
    row = matches.rays[:, 1] / (2 * _HALF[1])
    back = transforms.inverse(pose)
    query = np.column_stack([matches.rays, np.ones(len(row))])
    # What a row sees was turned with the camera: in the map's axes, as all perturbations are.
    turned = [
        back[:3, :3] @ transforms.rotation_from_vector(-r * turn) @ pose[:3, :3] @ ray
        for r, ray in zip(row, query, strict=True)
    ]
    seen = np.array(turned)
    return pose, replace(matches, rays=seen[:, :2] / seen[:, 2:], readout=0.02 * row)


def test_a_turn_during_the_readout_is_estimated():
    turn = np.array([0.02, -0.015, 0.01])
    pose, rolling = _rolling(3, turn)

    found, rigid = (_estimate(_near(pose), m) for m in (rolling, replace(rolling, readout=None)))

    assert found.inliers.all()
    assert found.motion * 0.02 == pytest.approx(turn, abs=0.004)
    errors = [transforms.rotation_angle(e.pose, pose) for e in (found, rigid)]
    assert errors[0] < 5e-4
    assert errors[0] < 0.2 * errors[1]
    # Without any turn, allowing for one costs some accuracy.
    still = _estimate(_near(pose), _rolling(3, np.zeros(3))[1])
    np.testing.assert_allclose(still.motion, 0.0, atol=1e-3)


@pytest.mark.no_cover
def test_errors_with_a_rolling_shutter_are_as_large_as_the_information_says():
    errors, covariances = [], []
    for seed in range(150):
        turn = np.random.default_rng(seed).normal(0, 0.02, 3)
        pose, matches = _rolling(4000 + seed, turn, noise=1.0)
        found = _estimate(pose, matches)
        errors.append(transforms.difference(found.pose, pose))
        covariances.append(found.covariance)

    values = normalized_errors(np.array(errors), np.array(covariances))

    assert 5.0 < values.mean() < 8.0
