# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The motion between two point sets comes back, wrong pairs or not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.point_pose import pose_from_points


def motion(rng: np.random.Generator) -> np.ndarray:
    return transforms.perturb(np.eye(4), rng.normal(scale=[1, 1, 1, 0.5, 0.5, 0.5]))


def sets(seed: int, wrong: float, noise: float) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    pose = motion(rng)
    query = rng.uniform([-2, -2, 1], [2, 2, 6], (200, 3))
    reference = transforms.apply(pose, query) * (1 + noise * rng.standard_normal((200, 1)))
    bad = rng.random(200) < wrong
    reference[bad] = rng.uniform(-6, 6, (int(bad.sum()), 3))
    return pose, reference, query, bad


@pytest.mark.no_cover
@settings(max_examples=50)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.5]))
def test_exact_points_give_the_exact_motion(seed: int, wrong: float) -> None:
    pose, reference, query, bad = sets(seed, wrong, 0.0)
    found = pose_from_points(reference, query)
    assert found is not None
    np.testing.assert_allclose(found[0], pose, atol=0.05)
    if not wrong:
        np.testing.assert_allclose(found[0], pose, atol=1e-9)
    assert found[1][~bad].all()


def test_noise_averages_out() -> None:
    pose, reference, query, _ = sets(1, 0.3, 0.02)
    reference[:10] = np.nan
    found = pose_from_points(reference, query)
    assert found is not None
    assert np.linalg.norm(found[0][:3, 3] - pose[:3, 3]) < 0.05
    assert not found[1][:10].any()


@pytest.mark.parametrize("kind", ["few", "chance", "line"])
def test_no_motion_where_there_is_none(kind: str) -> None:
    rng = np.random.default_rng(0)
    reference = rng.uniform(-5, 5, (30, 3))
    query = rng.uniform(-5, 5, (30, 3))
    if kind == "few":
        reference[5:] = np.nan
    if kind == "line":
        query = reference = np.linspace(1, 2, 30)[:, None] * np.ones(3)
    assert pose_from_points(reference, query, tolerance=0.02) is None
