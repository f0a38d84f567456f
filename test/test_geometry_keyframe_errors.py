# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keyframes' errors: integrated out as they should be, and no keyframe is left out for its own."""

import numpy as np
import pytest
from consistency import normalized_errors

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.joint_pose import Matches
from mast3r_ros.geometry.keyframe_errors import eliminate, shifts
from mast3r_ros.geometry.robust_pose import estimate
from mast3r_ros.geometry.robust_solver import SharedErrors

_FOCAL = 500.0
_SIGMAS = np.repeat([0.01, 0.01, 0.02], [3, 3, 1])


def test_what_is_left_without_the_keyframes_is_what_all_equations_say():
    random = np.random.default_rng(0)
    keyframes, free, own = 3, 14, 7
    # Of the pose and two more errors; the last six are the common one, which no match sees.
    rows = random.normal(0, 1, (keyframes, 40, free + own + 1))
    rows[:, :, free - 6 : free] = 0.0
    normal = rows.transpose(0, 2, 1) @ rows
    variances = random.uniform(0.5, 2.0, (keyframes, own))

    found = eliminate(normal, variances)

    # All at once, by the keyframes' own errors u: e = u + s c.
    whole = np.zeros((free + own * keyframes + 1, free + own * keyframes + 1))
    for k in range(keyframes):
        spread = np.zeros((free + own + 1, len(whole)))
        spread[:free, :free], spread[-1, -1] = np.eye(free), 1.0
        at = free + own * k
        spread[free:-1, at : at + own] = np.eye(own)
        spread[free : free + 6, free - 6 : free] = np.diag(np.sqrt(variances[k, :6]))
        whole += spread.T @ normal[k] @ spread
        whole[at : at + own, at : at + own] += np.diag(1.0 / variances[k])
    whole[6:free, 6:free] += np.eye(free - 6)
    joint = np.linalg.inv(whole[:-1, :-1])
    solution = -joint @ whole[:-1, -1]

    prior = np.diag(np.repeat([0.0, 1.0], [6, free - 6]))
    covariance = np.linalg.inv(found.information + prior)
    step = -covariance @ found.gradient
    np.testing.assert_allclose(covariance, joint[:free, :free], atol=1e-12)
    np.testing.assert_allclose(step, solution[:free], atol=1e-12)
    alone = solution[free:].reshape(keyframes, own)
    common = np.sqrt(variances[:, :6]) * step[-6:]
    effects = found.effects(step)
    np.testing.assert_allclose(effects[:, :6], alone[:, :6] + common, atol=1e-12)
    np.testing.assert_allclose(effects[:, 6], alone[:, 6], atol=1e-12)
    squares = alone**2 + np.diag(joint)[free:].reshape(keyframes, own)
    np.testing.assert_allclose(found.own_squares(step, covariance), squares, atol=1e-12)


def _keyframes(seed, counts, own=0.01, common=0.01):
    """The pose that moved with the first keyframe, from eye(4), and matches with all of them.

    They are 1 m apart, and off by a common error and their own.
    """
    random = np.random.default_rng(seed)
    alike = random.normal(0, common, 6)
    parts, start = [], np.eye(4)
    for k, count in enumerate(counts):
        seen = random.uniform((-0.6, -0.45), (0.6, 0.45), (count, 2))
        points = np.column_stack([seen, np.ones(count)]) * random.uniform(1.5, 6.0, (count, 1))
        center = np.array([k - 0.5, 0.2 * k, -0.5])
        error = alike + random.normal(0, own, 6)
        turn = transforms.rotation_from_vector(error[3:])
        off = center + error[:3] + (points - center) @ turn.T
        noisy = seen + random.normal(0, 1.0 / _FOCAL, seen.shape)
        if k == 0:
            start = transforms.make(turn, center + error[:3] - turn @ center)
        parts.append((noisy, off, np.tile(center + error[:3], (count, 1)), np.full(count, k)))
    rays, points, origins, owners = (np.concatenate(part) for part in zip(*parts, strict=True))
    sigmas = np.full(len(rays), 1e-6)
    matches = Matches(
        rays, points, origins, points - origins, sigmas, owners, (_FOCAL, _FOCAL), 4.0
    )
    return start, matches


def _shared(matches, keyframes):
    cells = np.arange(len(matches.rays))
    return SharedErrors(np.tile(_SIGMAS, (keyframes, 1)), np.ones(keyframes), cells, 0.0)


def test_keyframes_turned_beyond_the_threshold_have_their_say():
    left_out = []
    for seed in range(20):
        start, matches = _keyframes(seed, (150, 100, 100))
        found = estimate(start, matches, _shared(matches, 3))
        left_out.append(1.0 - found.inliers.mean())

    # A keyframe turned by 0.014 rad against the first one is off by 7 pixels, of which 4 count.
    assert max(left_out) < 0.2
    assert np.mean(left_out) < 0.05


@pytest.mark.no_cover
def test_errors_of_each_keyframe_and_of_all_are_in_the_covariance():
    errors, covariances = [], []
    for seed in range(120):
        start, matches = _keyframes(1000 + seed, (120, 60, 60))
        found = estimate(start, matches, _shared(matches, 3))
        errors.append(transforms.difference(found.pose, np.eye(4)))
        covariances.append(found.covariance)

    values = normalized_errors(np.array(errors), np.array(covariances))

    assert 4.8 < values.mean() < 7.2
    assert (values < 12.6).mean() > 0.9


def test_a_few_matches_of_another_keyframe_say_nothing_of_its_error():
    _, matches = _keyframes(5, (150, 3), own=0.0, common=0.0)
    first = matches.without(matches.owners > 0)

    both = estimate(np.eye(4), matches, _shared(matches, 2))
    alone = estimate(np.eye(4), first, _shared(first, 1))

    assert both.inliers[matches.owners > 0].all()
    np.testing.assert_allclose(np.diag(both.covariance), np.diag(alone.covariance), rtol=0.01)


def test_nothing_moves_against_a_single_keyframe():
    _, matches = _keyframes(0, (20, 20))
    single = matches.without(matches.owners > 0)
    sigmas = np.tile(_SIGMAS, (2, 1))

    assert (shifts(single, sigmas) == 0).all()
    distances = np.linalg.norm(matches.points - matches.origins, axis=1)
    expected = np.sqrt(2.0) * _FOCAL * (0.01 + 0.01 / distances)
    np.testing.assert_allclose(shifts(matches, sigmas), expected)
