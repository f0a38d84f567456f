# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Two point maps aligned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.alignment import align

_STEPS = arrays(np.float64, 6, elements=st.floats(-1.5, 1.5))


def _source(seed=0, count=20):
    return np.random.default_rng(seed).uniform(-2, 2, (count, 3))


@given(_STEPS, st.floats(0.05, 20.0), st.integers(0, 50))
def test_the_pose_and_the_scale_come_back(step, scale, seed):
    pose, source = transforms.perturb(np.eye(4), step), _source(seed)

    found, found_scale = align(transforms.apply(pose, scale * source), source, with_scale=True)

    np.testing.assert_allclose(found, pose, atol=1e-8)
    assert found_scale == pytest.approx(scale)


@given(_STEPS, st.integers(0, 50))
def test_without_scale_it_is_one(step, seed):
    pose, source = transforms.perturb(np.eye(4), step), _source(seed)

    found, scale = align(transforms.apply(pose, source), source)

    np.testing.assert_allclose(found, pose, atol=1e-8)
    assert scale == 1.0


def test_the_answer_is_the_least_squares_one():
    random = np.random.default_rng(1)
    source, weights = _source(), random.uniform(0.1, 1, 20)
    target = transforms.apply(transforms.perturb(np.eye(4), [1, 2, 3, 0.1, 0.2, 0.3]), source)
    target += random.normal(0, 0.1, target.shape)

    def cost(pose, scale=1.0):
        return weights @ ((target - transforms.apply(pose, scale * source)) ** 2).sum(1)

    rigid, _ = align(target, source, weights)
    similar, scale = align(target, source, weights, with_scale=True)

    assert cost(similar, scale) < cost(rigid)
    for delta in np.vstack([np.eye(6), -np.eye(6)]) * 1e-3:
        assert cost(transforms.perturb(rigid, delta)) > cost(rigid)
        assert cost(transforms.perturb(similar, delta), scale) > cost(similar, scale)
    for factor in (0.999, 1.001):
        assert cost(similar, scale * factor) > cost(similar, scale)


def test_points_of_no_weight_do_not_count():
    pose, source = transforms.perturb(np.eye(4), [1, 0, 0, 0, 1, 0]), _source()
    target = transforms.apply(pose, source)
    target[:8] += 5.0

    found, _ = align(target, source, np.repeat([0.0, 1.0], [8, 12]))

    np.testing.assert_allclose(found, pose, atol=1e-9)


@pytest.mark.parametrize("flat", [False, True])
def test_a_mirror_image_gives_a_rotation_all_the_same(flat):
    source = _source()
    if flat:
        source[:, 2] = 0.0
    target = source * [1, 1, -1] if not flat else source[:, [1, 0, 2]]

    found, _ = align(target, source)

    assert np.linalg.det(found[:3, :3]) == pytest.approx(1.0)
    if flat:
        # A flat figure mirrored within its plane is the same figure turned over.
        np.testing.assert_allclose(transforms.apply(found, source), target, atol=1e-9)


def test_points_on_one_line_are_refused():
    line = np.outer(np.arange(5.0), [1.0, 2.0, -1.0])

    with pytest.raises(ValueError, match="on one line"):
        align(line, line)
    with pytest.raises(ValueError, match="on one line"):
        align(np.zeros((4, 3)), np.zeros((4, 3)))


def test_two_points_are_refused():
    source = _source(count=5)

    with pytest.raises(ValueError, match="2 points with weight"):
        align(source[:2], source[:2])
    with pytest.raises(ValueError, match="2 points with weight"):
        align(source, source, np.array([1.0, 1.0, 0.0, 0.0, 0.0]))
