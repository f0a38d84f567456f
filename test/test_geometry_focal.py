# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The focal length comes back from point maps, wild points or not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mast3r_ros.geometry.focal import estimate_focal


def point_map(
    focal: float, seed: int = 0, center: tuple[float, float] = (31.5, 23.5)
) -> np.ndarray:
    depth = np.random.default_rng(seed).uniform(0.5, 5, (48, 64))
    u, v = np.meshgrid(np.arange(64) - center[0], np.arange(48) - center[1])
    return np.stack([u / focal * depth, v / focal * depth, depth], axis=-1)


@given(st.floats(20, 500), st.floats(0.01, 100), st.integers(0, 100))
def test_exact_for_exact_points_of_any_scale(focal: float, scale: float, seed: int) -> None:
    assert estimate_focal(scale * point_map(focal, seed)) == pytest.approx(focal, rel=1e-6)


def test_a_quarter_of_wild_points_does_little_harm() -> None:
    points = point_map(80.0)
    rng = np.random.default_rng(1)
    wild = rng.random(points.shape[:2]) < 0.25
    points[wild] = rng.uniform(-3, 3, (int(wild.sum()), 3))
    assert estimate_focal(points) == pytest.approx(80.0, rel=0.02)
    weights = np.where(wild, 1e-6, 1.0)
    assert estimate_focal(points, weights) == pytest.approx(80.0, rel=1e-4)


def test_other_principal_points_and_unknown_points() -> None:
    points = point_map(60.0, center=(20.0, 30.0))
    points[:10] = np.nan
    assert estimate_focal(points, center=(20.0, 30.0)) == pytest.approx(60.0, rel=1e-6)


def test_points_behind_the_camera_tell_nothing() -> None:
    with pytest.raises(ValueError, match="0 of 3072 points"):
        estimate_focal(-point_map(60.0))
