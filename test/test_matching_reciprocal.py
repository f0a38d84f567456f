# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reciprocal matches: those of the golden vectors, and what their definition promises."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matching_fields import brute_force, field, unit
from numpy.typing import NDArray

from mast3r_ros.matching import (
    Database,
    grid_seeds,
    mutual_nearest,
    nearest,
    reciprocal,
    reciprocal_both_ways,
    returning_seeds,
)
from mast3r_ros.matching.nearest import Backend
from mast3r_ros.matching.points import PointDatabase
from mast3r_ros.matching.reciprocal import inside_border, most_confident

BACKENDS: tuple[Backend, ...] = ("cpp", "numpy")
both = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture(scope="module")
def golden(reference: Path) -> dict[str, NDArray]:
    with np.load(reference / "golden/fast_nn.npz") as file:
        return dict(file)


def _pairs(golden: dict[str, NDArray], name: str) -> NDArray[np.int64]:
    """Golden pixels (x, y) as pairs of flat indices."""
    width = golden["A"].shape[1]
    return np.column_stack([golden[f"{name}_xy{i}"] @ [1, width] for i in (1, 2)])


@both
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_golden_strides(golden: dict[str, NDArray], backend: Backend, stride: int) -> None:
    first, second = (Database(golden[name], backend=backend) for name in "AB")
    walk = reciprocal(first, second, grid_seeds(48, 64, stride))
    np.testing.assert_array_equal(walk.pairs, _pairs(golden, f"frm_s{stride}"))


@both
def test_golden_basin(golden: dict[str, NDArray], backend: Backend) -> None:
    first, second = (Database(golden[name], backend=backend) for name in "AB")
    walk = reciprocal(first, second, grid_seeds(48, 64, 4))
    # The golden array has one more place, for no pixel.
    np.testing.assert_array_equal(np.append(walk.basin, -1), golden["basin_s4"])


@both
@pytest.mark.parametrize("tolerance", [1, 3, 5])
def test_golden_seeds_with_a_tolerance(
    golden: dict[str, NDArray], backend: Backend, tolerance: int
) -> None:
    first, second = (Database(golden[name], backend=backend) for name in "AB")
    y, x = np.mgrid[0:48:3, 0:64:3]
    pairs = returning_seeds(first, second, (x + 64 * y).ravel(), pixel_tolerance=tolerance)
    np.testing.assert_array_equal(pairs, _pairs(golden, f"tol{tolerance}"))


@both
def test_golden_full_set(golden: dict[str, NDArray], backend: Backend) -> None:
    first, second = (Database(golden[name], backend=backend) for name in "AB")
    expected = np.column_stack([golden["full_idx1"], golden["full_idx2"]])
    np.testing.assert_array_equal(mutual_nearest(first, second)[0], expected)


@both
def test_golden_both_ways(golden: dict[str, NDArray], backend: Backend) -> None:
    first, second = (Database(golden[name], backend=backend) for name in "AB")
    pairs, confidence = reciprocal_both_ways(first, second, golden["cA"], golden["cB"], stride=8)
    np.testing.assert_array_equal(pairs, _pairs(golden, "nonsym"))
    np.testing.assert_array_equal(confidence, golden["nonsym_conf"])


@both
@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 2),
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    stride=st.integers(1, 9),
    smooth=st.sampled_from([0.0, 2.0]),
    noise=st.sampled_from([0.0, 0.3, 3.0]),
)
def test_pairs_are_reciprocal_and_a_subset_of_the_full_set(
    backend: Backend,
    seed: int,
    height: int,
    width: int,
    stride: int,
    smooth: float,
    noise: float,
) -> None:
    a = field(seed, height, width, smooth=smooth)
    b = unit(np.roll(a, (2, 3), (0, 1)) + noise * field(seed + 1, height, width))
    first, second = Database(a, backend=backend), Database(b, backend=backend)
    walk = reciprocal(first, second, grid_seeds(height, width, stride))
    full, _ = mutual_nearest(first, second)
    forward, scores = brute_force(first.rows, second.rows)
    back = scores.argmax(axis=0)
    expected = np.flatnonzero(back[forward] == np.arange(len(forward)))
    gap = np.diff(np.sort(scores, axis=1)[:, -2:], axis=1)
    if (
        height * width > 1
        and min(gap.min(), np.diff(np.sort(scores, axis=0)[-2:], axis=0).min()) < 1e-6
    ):
        return  # float32 may tell other neighbours apart
    np.testing.assert_array_equal(full, np.column_stack([expected, forward[expected]]))
    everything = {tuple(pair) for pair in full}
    assert {tuple(pair) for pair in walk.pairs} <= everything
    visited = np.flatnonzero(walk.basin >= 0)
    np.testing.assert_array_equal(walk.basin[visited], back[forward[visited]])
    if stride == 1:
        assert len(walk.pairs) == len(full)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_threads_change_nothing(golden: dict[str, NDArray], threads: int) -> None:
    first, second = Database(golden["A"]), Database(golden["B"])
    walk = reciprocal(first, second, grid_seeds(48, 64, 2), threads=threads)
    np.testing.assert_array_equal(walk.pairs, _pairs(golden, "frm_s2"))


@both
def test_empty_sides_match_nothing(backend: Backend) -> None:
    empty = Database(np.zeros((0, 8, 24)), backend=backend)
    image = Database(field(1, 8, 8), backend=backend)
    none = np.zeros(0, np.int64)
    assert reciprocal(image, empty, grid_seeds(8, 8, 2)).pairs.shape == (0, 2)
    assert reciprocal(empty, image, none).pairs.shape == (0, 2)
    assert reciprocal(image, image, none).pairs.shape == (0, 2)
    assert returning_seeds(image, image, none, pixel_tolerance=3).shape == (0, 2)
    assert returning_seeds(image, empty, np.arange(3), pixel_tolerance=3).shape == (0, 2)
    for one, other in ((image, empty), (empty, image), (empty, empty)):
        pairs, scores = mutual_nearest(one, other)
        assert pairs.shape == (0, 2)
        assert scores.shape == (0,)


def test_seeds_outside_the_image_are_refused() -> None:
    image = Database(field(1, 8, 8))
    for seeds in ([64], [-1]):
        with pytest.raises(IndexError, match="the image has 64 pixels"):
            reciprocal(image, image, np.array(seeds))
        with pytest.raises(IndexError, match="the image has 64 pixels"):
            returning_seeds(image, image, np.array(seeds), pixel_tolerance=1)
    with pytest.raises(ValueError, match="stride: 0"):
        grid_seeds(8, 8, 0)
    with pytest.raises(ValueError, match=r"build it from \(H, W, D\)"):
        reciprocal_both_ways(Database(np.eye(3)), Database(np.eye(3)), np.ones(3), np.ones(3))


def test_border_and_limit() -> None:
    a = field(2, 32, 40, smooth=1.0)
    first, second = Database(a), Database(np.roll(a, 5, axis=1))
    confidence = np.random.default_rng(3).uniform(size=(2, 32, 40)).astype(np.float32)
    everything, sure = reciprocal_both_ways(first, second, *confidence, stride=2)
    pairs, _ = reciprocal_both_ways(first, second, *confidence, stride=2, border=3)
    x, y = pairs % 40, pairs // 40
    assert min(x.min(), y.min()) == 3
    assert x.max() <= 36
    assert y.max() <= 28
    expected = (inside_border(everything[:, i], (32, 40), 3) for i in (0, 1))
    np.testing.assert_array_equal(pairs, everything[np.logical_and(*expected)])
    few, fewer_sure = reciprocal_both_ways(first, second, *confidence, stride=2, limit=20)
    best = np.sort(np.argsort(-sure)[:20])
    np.testing.assert_array_equal(few, everything[best])
    np.testing.assert_array_equal(fewer_sure, sure[best])


def test_the_first_of_equal_confidences_are_kept() -> None:
    confidence = np.array([1, 2, 2, 0, 2], np.float32)
    np.testing.assert_array_equal(most_confident(confidence, 2), [1, 2])
    np.testing.assert_array_equal(most_confident(confidence, 4), [0, 1, 2, 4])
    np.testing.assert_array_equal(most_confident(confidence, None), np.arange(5))


@pytest.mark.parametrize("channels", [64, 128])
def test_sparse_features_with_a_score_and_a_ratio(channels: int) -> None:
    reference = field(4, 500, 1, channels)[:, 0]
    others = field(5, 250, 1, channels)[:, 0]
    query = np.concatenate([unit(reference[::2] + 0.3 * others), others])
    pairs, scores = mutual_nearest(reference, query)
    assert set(range(0, 500, 2)) <= set(pairs[:, 0])
    np.testing.assert_allclose(
        scores, np.einsum("nd,nd->n", reference[pairs[:, 0]], query[pairs[:, 1]]), atol=1e-6
    )
    sure, _ = mutual_nearest(reference, query, min_score=0.9)
    np.testing.assert_array_equal(sure, pairs[scores >= 0.9])
    distances = np.sort(np.linalg.norm(reference[:, None] - query, axis=2), axis=1)
    passes = distances[:, 0] < 0.8 * distances[:, 1]
    tested, _ = mutual_nearest(reference, query, ratio=0.8)
    np.testing.assert_array_equal(tested, pairs[passes[pairs[:, 0]]])
    assert 0 < len(tested) < len(pairs)


def test_points_match_by_distance() -> None:
    rng = np.random.default_rng(6)
    points = rng.uniform(size=(20, 30, 3)).astype(np.float32)
    moved = points[::-1].copy() + np.float32(1e-4)
    pairs, scores = mutual_nearest(PointDatabase(points), PointDatabase(moved))
    y, x = np.divmod(np.arange(600), 30)
    np.testing.assert_array_equal(pairs, np.column_stack([np.arange(600), x + 30 * (19 - y)]))
    np.testing.assert_allclose(scores, -np.sqrt(3) * 1e-4, rtol=1e-2)
    walk = reciprocal(PointDatabase(points), PointDatabase(moved), grid_seeds(20, 30, 4))
    assert {tuple(pair) for pair in walk.pairs} <= {tuple(pair) for pair in pairs}
    doubled = PointDatabase(np.concatenate([points, points]).reshape(-1, 3))
    np.testing.assert_array_equal(nearest(points.reshape(-1, 3), doubled)[0], np.arange(600))


def test_points_that_cannot_match_are_refused() -> None:
    points = np.zeros((4, 3), np.float32)
    with pytest.raises(ValueError, match="points: shape"):
        PointDatabase(np.zeros((4, 2)))
    with pytest.raises(ValueError, match="points: NaN"):
        PointDatabase(np.full((4, 3), np.nan))
    with pytest.raises(ValueError, match="queries: NaN"):
        nearest(np.full((1, 3), np.inf), PointDatabase(points))
    with pytest.raises(ValueError, match="no second best"):
        mutual_nearest(PointDatabase(points), PointDatabase(points), ratio=0.8)
