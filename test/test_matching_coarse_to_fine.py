# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Coarse to fine: the golden window pairs, and matches that come back to where they belong."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mast3r_ros.matching.coarse_to_fine import (
    Matches,
    coarse_to_fine,
    window_grid,
    window_pairs,
)


def test_golden_window_pairs(reference: Path) -> None:
    with np.load(reference / "golden/coarse_to_fine.npz") as golden:
        pairs = window_pairs(golden["pq"], golden["pb"], (1600, 1200), (1024, 768))
        np.testing.assert_array_equal(pairs, golden["cells"])
        few = window_pairs(golden["pq"], golden["pb"], (1600, 1200), (1024, 768), limit=5)
        np.testing.assert_array_equal(few, golden["cells"][:5])


@given(
    image=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    window=st.tuples(st.integers(16, 600), st.integers(16, 600)),
    overlap=st.sampled_from([0.0, 0.25, 0.5]),
)
def test_the_grid_covers_the_image(
    image: tuple[int, int], window: tuple[int, int], overlap: float
) -> None:
    windows = window_grid(image, window, overlap)
    for axis in (0, 1):
        side = min(image[axis], window[axis])
        starts, ends = np.unique(windows[:, axis]), np.unique(windows[:, axis + 2])
        np.testing.assert_array_equal(ends - starts, side)
        assert starts[0] == 0
        assert ends[-1] == image[axis]
        assert (np.diff(starts) <= side * (1 - overlap) + 1).all()


def _half_size(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where the scene of the first image lies in the second, half its size."""
    return pixels / 2


def _coarse(count: int) -> Matches:
    rng = np.random.default_rng(1)
    first = rng.uniform((0, 0), (2047, 1535), (count, 2)).astype(np.float32)
    return first, _half_size(first), np.ones(count, np.float32)


def test_fine_matches_are_moved_back_and_merged() -> None:
    asked: list[int] = []

    def match_windows(pairs: NDArray[np.int64]) -> list[Matches]:
        asked.append(len(pairs))
        found = []
        for rank, pair in enumerate(pairs):
            y, x = np.mgrid[pair[1] : pair[3] : 64, pair[0] : pair[2] : 64]
            first = np.column_stack([x.ravel() // 64 * 64, y.ravel() // 64 * 64])
            second = _half_size(first.astype(np.float32))
            seen = ((first >= pair[0:2]) & (first < pair[2:4])).all(axis=1)
            seen &= ((second >= pair[4:6]) & (second < pair[6:8])).all(axis=1)
            sure = np.full(seen.sum(), 1.0 + rank, np.float32)
            in_windows = (first - pair[0:2]).astype(np.float32), second - pair[4:6]
            found.append((in_windows[0][seen], in_windows[1][seen].astype(np.float32), sure))
        return found

    first, second, confidence = coarse_to_fine(
        _coarse(500), (2048, 1536), (1024, 768), match_windows, limit=30
    )
    np.testing.assert_array_equal(second, _half_size(first))
    assert len(np.unique(first, axis=0)) == len(first)
    assert len(first) > 0.8 * 32 * 24
    assert asked[0] <= 30
    assert confidence.max() == asked[0]  # the last pair was sure of all that it saw
    few, _, _ = coarse_to_fine(_coarse(500), (2048, 1536), (1024, 768), match_windows, limit=2)
    assert asked[1] == 2
    assert 0 < len(few) < len(first)
    best, _, most = coarse_to_fine(
        _coarse(500), (2048, 1536), (1024, 768), match_windows, limit=30, most=50
    )
    np.testing.assert_array_equal(np.sort(most), np.sort(confidence)[-50:])
    assert len(best) == 50


def test_windows_of_either_image_have_their_own_size_and_may_keep_to_the_grid_of_the_first() -> (
    None
):
    first, second, _ = _coarse(500)
    pairs = window_pairs(
        *(first, second, (2048, 1536), (1024, 768)),
        window=(512, 384),
        second_window=(384, 512),
        keep_first=True,
    )
    assert len(pairs)
    np.testing.assert_array_equal(pairs[:, 2:4] - pairs[:, :2], [[512, 384]] * len(pairs))
    np.testing.assert_array_equal(pairs[:, 6:] - pairs[:, 4:6], [[384, 512]] * len(pairs))
    grid = {tuple(window) for window in window_grid((2048, 1536), (512, 384))}
    assert {tuple(window) for window in pairs[:, :4]} <= grid


def test_nothing_coarse_gives_nothing_fine() -> None:
    def match_windows(pairs: NDArray[np.int64]) -> list[Matches]:
        pytest.fail("asked for no windows")

    for part in coarse_to_fine(_coarse(0), (2048, 1536), (1024, 768), match_windows):
        assert len(part) == 0


def test_an_overlap_of_everything_is_refused() -> None:
    with pytest.raises(ValueError, match=r"overlap: 1\.0"):
        window_grid((100, 100), (10, 10), 1.0)
