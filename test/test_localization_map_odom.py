# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""map -> odom over simulated drives: honest, never led astray, and found again."""

import copy
from dataclasses import dataclass

import numpy as np
import pytest

from mast3r_ros.geometry import transforms
from mast3r_ros.localization.map_odom import (
    Belief,
    FilterOptions,
    FilterState,
    MapOdomFilter,
    planar,
)
from mast3r_ros.localization.result import Localization, Reason

_DT = 0.2  # [s]
_FIX = np.diag([0.03, 0.03, 0.03, 0.01, 0.01, 0.01]) ** 2
_INSIDE = 12.59  # 95 % of chi-square with 6 degrees of freedom
_SEEDS = 50


@dataclass
class _Drive:
    """A robot that drives through a flat, with odometry that drifts as the options say."""

    seed: int
    options: FilterOptions

    def __post_init__(self):
        self.random = np.random.default_rng(self.seed)
        self.body = transforms.perturb(np.eye(4), [3.0, -2.0, 0.0, 0.0, 0.0, 0.7])
        self.odom = transforms.perturb(np.eye(4), [0.5, 0.2, 0.0, 0.0, 0.0, -1.0])
        self.stamp = 10**12
        self.error = np.zeros(6)
        self.turn = 0.0

    def step(self):
        """Drive on for one image."""
        self.turn = 0.9 * self.turn + self.random.normal(0.0, 0.1)
        moved = transforms.perturb(np.eye(4), [0.6 * _DT, 0.0, 0.0, 0.0, 0.0, self.turn * _DT])
        self.body = self.body @ moved
        noise = self.random.normal(0.0, np.sqrt(np.diag(self.options.motion_covariance(moved))))
        self.odom = self.odom @ transforms.perturb(moved, noise)
        self.stamp += round(_DT * 1e9)

    def carry(self, delta):
        """Lift the robot and put it down elsewhere; odometry sees nothing."""
        self.body = transforms.perturb(self.body, delta)

    def fix(self, correlation=0.0):
        """map <- body by an image; its errors may last over several images."""
        fresh = self.random.normal(0.0, np.sqrt(np.diag(_FIX)))
        self.error = correlation * self.error + np.sqrt(1 - correlation**2) * fresh
        return transforms.perturb(self.body, self.error)

    def nees(self, belief: Belief):
        """Of a belief about the body."""
        delta = transforms.difference(belief.pose, self.body)
        return float(delta @ np.linalg.solve(belief.covariance, delta))


def _follow(drive, estimate, images=40, correlation=0.0, fixes=True):
    """Drive, with or without fixes; NEES at each image."""
    values = []
    for _ in range(images):
        drive.step()
        if fixes:
            estimate.correct(drive.fix(correlation), _FIX, drive.odom, drive.stamp)
        else:
            estimate.predict(drive.odom, drive.stamp)
        if estimate.belief is not None:
            values.append(drive.nees(estimate.belief))
    return values


def _drives(**options):
    for seed in range(_SEEDS):
        chosen = FilterOptions(**options)
        yield _Drive(seed, chosen), MapOdomFilter(chosen)


@pytest.mark.no_cover
def test_with_independent_fixes_the_covariance_is_exact():
    values = np.array([v for d, f in _drives(shared_fixes=1.0) for v in _follow(d, f)])

    assert values.mean() == pytest.approx(6.0, rel=0.2)
    assert 0.91 < (values < _INSIDE).mean() < 0.99


@pytest.mark.no_cover
def test_fixes_that_share_their_errors_do_not_make_it_too_sure():
    # Errors that last over about five images, as of one keyframe seen in all of them.
    values = np.array([v for d, f in _drives() for v in _follow(d, f, 30, correlation=0.67)])
    naive = np.array(
        [v for d, f in _drives(shared_fixes=1.0) for v in _follow(d, f, 30, correlation=0.67)]
    )

    assert (values < _INSIDE).mean() > 0.91
    assert values.mean() < 8.0
    assert naive.mean() > 1.5 * values.mean()


def test_map_odom_begins_once_fixes_agree():
    drive, estimate = next(_drives())
    believed = []
    for _ in range(4):
        drive.step()
        believed.append(estimate.correct(drive.fix(), _FIX, drive.odom, drive.stamp))

    assert believed == [False, False, True, True]
    assert estimate.state is FilterState.LOCALIZED
    truth = drive.body @ transforms.inverse(drive.odom)
    assert transforms.distance(estimate.belief.map_odom, truth) < 0.2


def test_fixes_elsewhere_count_for_what_their_images_add():
    drive, estimate = next(_drives())
    believed = []
    for _ in range(5):
        drive.step()
        believed.append(estimate.correct(drive.fix(), _FIX, drive.odom, drive.stamp, fresh=0.5))

    # The first one has nothing in common with any before it: 1, 1.5, 2, 2.5, 3.
    assert believed == [False] * 4 + [True]


@pytest.mark.parametrize("little", [{"fresh": 0.08}, {"bump_shown": 0.08}])
def test_a_fix_whose_newest_image_sees_little_hides_no_bump(little):
    drive, estimate = next(_drives())
    _follow(drive, estimate, 10)
    drive.step()
    estimate.predict(drive.odom, drive.stamp)
    by_odometry, sure = estimate.belief.pose, copy.deepcopy(estimate)

    # Its newest image has too few inliers, or all far away, to see that odometry missed a bump.
    fix = by_odometry, _FIX, drive.odom, drive.stamp
    ages = [estimate.age]
    believed = []
    for _ in range(7):
        believed.append(estimate.correct(*fix, **little))
        ages.append(estimate.age)

    # The last fix is the one before, until seven see as much as one must see by itself.
    assert believed == [False] * 6 + [True]
    assert ages == [pytest.approx(_DT)] * 7 + [0.0]
    # No more is known then than by one such fix.
    sure.correct(*fix, fresh=0.56)
    known, by_one = (np.trace(f.belief.covariance) for f in (estimate, sure))
    assert known == pytest.approx(by_one, rel=1e-6)


def test_a_fix_that_only_confirms_adds_nothing_and_moves_nothing():
    drive, estimate = next(_drives())
    for _ in range(4):
        drive.step()
        estimate.correct(drive.fix(), _FIX, drive.odom, drive.stamp)
    drive.step()
    estimate.predict(drive.odom, drive.stamp)
    expected = estimate.belief
    away = transforms.perturb(expected.pose, [3.0, 0.0, 0.0, 0.0, 0.0, 0.0])

    believed = [
        estimate.correct(pose, _FIX, drive.odom, drive.stamp, fresh=0.0)
        for pose in (expected.pose, away, away, away, away)
    ]

    assert believed == [True] + [False] * 4
    assert estimate.driven == 0.0
    np.testing.assert_allclose(estimate.belief.pose, expected.pose, atol=1e-9)
    np.testing.assert_allclose(estimate.belief.covariance, expected.covariance, rtol=1e-9)


def test_an_answer_is_followed_as_a_fix_and_a_refusal_by_odometry():
    drive, estimate = next(_drives())
    _follow(drive, estimate, 10)
    told = copy.deepcopy(estimate)
    drive.step()
    answer = Localization(Reason.LOCALIZED, "", drive.fix(), _FIX, fresh=0.9, bump_shown=0.3)
    refusal = Localization(Reason.FEW_MATCHES, "")

    assert not estimate.follow(answer, drive.odom, drive.stamp)  # it shows too little of a bump
    told.correct(answer.pose, _FIX, drive.odom, drive.stamp, fresh=0.9, bump_shown=0.3)
    np.testing.assert_array_equal(estimate.belief.pose, told.belief.pose)
    drive.step()
    assert not estimate.follow(refusal, drive.odom, drive.stamp, np.zeros((6, 6)))
    moved = told.belief.moved(drive.odom, told.options, np.zeros((6, 6)))
    np.testing.assert_array_equal(estimate.belief.pose, moved.pose)
    np.testing.assert_array_equal(estimate.belief.covariance, moved.covariance)


@pytest.mark.no_cover
def test_a_wrong_fix_now_and_then_is_never_believed():
    wrong = 0
    for drive, estimate in _drives():
        _follow(drive, estimate, 10)
        for i in range(40):
            drive.step()
            fix = drive.fix()
            odd = i % 3 == 0
            if odd:
                delta = drive.random.normal(0, [1.5, 1.5, 0.3, 0.1, 0.1, 1.0])
                fix = transforms.perturb(fix, delta)
                apart = transforms.distance(fix, drive.body) > 0.5
            believed = estimate.correct(fix, _FIX, drive.odom, drive.stamp)
            wrong += odd and apart and believed
        assert estimate.state is FilterState.LOCALIZED
        assert transforms.distance(estimate.belief.pose, drive.body) < 0.15

    assert wrong == 0


def test_a_robot_that_is_carried_away_is_found_by_as_many_images_as_must_agree():
    counts = []
    for drive, estimate in _drives():
        _follow(drive, estimate, 20)
        drive.carry(drive.random.uniform([1.0, -2.0, 0, 0, 0, -3], [3.0, 2.0, 0, 0, 0, 3]))
        count, believed = 0, False
        while not believed and count < 20:
            drive.step()
            count += 1
            believed = estimate.correct(drive.fix(), _FIX, drive.odom, drive.stamp)
        counts.append(count)
        assert transforms.distance(estimate.belief.pose, drive.body) < 0.2

    assert np.median(counts) == 3
    assert max(counts) <= 5


@pytest.mark.no_cover
def test_during_a_blackout_the_truth_stays_inside_of_the_ellipsoid():
    values, states = [], set()
    for drive, estimate in _drives():
        _follow(drive, estimate, 20)
        values += _follow(drive, estimate, 60, fixes=False)
        states.add(estimate.state)
        assert estimate.driven == pytest.approx(60 * 0.6 * _DT, rel=0.1)
        assert estimate.age == pytest.approx(60 * _DT, abs=0.01)

    assert states == {FilterState.DEAD_RECKONING}
    assert (np.array(values) < _INSIDE).mean() >= 0.93


def test_a_long_blackout_ends_in_lost_and_a_fix_ends_that():
    drive, estimate = next(_drives(lost_position_sigma=0.2))
    _follow(drive, estimate, 10)

    _follow(drive, estimate, 200, fixes=False)
    lost = estimate.state
    _follow(drive, estimate, 3)

    assert lost is FilterState.LOST
    assert estimate.state is FilterState.LOCALIZED


def test_noise_does_not_depend_on_the_parts_in_which_a_way_is_driven():
    options = FilterOptions()
    step = transforms.perturb(np.eye(4), [0.4, 0.0, 0.0, 0.0, 0.0, 0.1])
    # At the end of a straight path without rotation noise, where both must be equal.
    still = FilterOptions(turn_noise=0.0, distance_turn_noise=0.0)
    whole, parts = Belief(np.eye(4), _FIX, np.eye(4)), Belief(np.eye(4), _FIX, np.eye(4))
    straight = transforms.make(np.eye(3), [1.0, 0.0, 0.0])

    for i in range(10):
        parts = parts.moved(transforms.make(np.eye(3), [0.1 * (i + 1), 0.0, 0.0]), still)
    whole = whole.moved(straight, still)

    np.testing.assert_allclose(whole.covariance, parts.covariance, rtol=1e-9, atol=1e-15)
    noise = np.sqrt(np.diag(options.motion_covariance(step)))
    np.testing.assert_allclose(noise[0], 0.02 * np.sqrt(0.4))
    np.testing.assert_allclose(noise[5] ** 2, 0.02**2 * 0.1 + 0.01**2 * 0.4)


def test_noise_that_odometry_knows_takes_the_place_of_the_options():
    drive, estimate = next(_drives())
    _follow(drive, estimate, 10)
    before = estimate.belief
    noise = np.diag([0.3**2] * 3 + [0.2**2] * 3)

    estimate.predict(drive.odom, drive.stamp, noise)

    turned = transforms.rotate_covariance(noise, before.pose)
    np.testing.assert_allclose(estimate.belief.covariance, before.covariance + turned, atol=1e-12)


def test_planar_keeps_x_y_and_yaw_of_map_odom():
    drive, estimate = next(_drives())
    _follow(drive, estimate, 10)

    flat = planar(estimate.belief)

    yaw = np.arctan2(estimate.belief.map_odom[1, 0], estimate.belief.map_odom[0, 0])
    np.testing.assert_allclose(flat.map_odom[:2, 3], estimate.belief.map_odom[:2, 3])
    np.testing.assert_allclose(flat.map_odom[2], [0.0, 0.0, 1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(
        transforms.rotation_vector(flat.map_odom[:3, :3]), [0.0, 0.0, yaw], atol=1e-12
    )
    assert (flat.covariance[2:5] == 0.0).all()
    assert flat.covariance[5, 5] == estimate.belief.covariance[5, 5]


def test_reset_begins_anew():
    drive, estimate = next(_drives())
    _follow(drive, estimate, 10)

    estimate.reset()

    assert estimate.state is FilterState.INITIALIZING
    assert estimate.belief is None
    estimate.predict(drive.odom, drive.stamp)
    assert estimate.belief is None
