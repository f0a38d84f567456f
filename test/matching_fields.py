# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Descriptors for the tests of matching, and brute force to compare with."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter


def unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows over their norms."""
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def field(
    seed: int, height: int, width: int, channels: int = 24, smooth: float = 0.0
) -> NDArray[np.float32]:
    """Unit descriptors (H, W, D): noise, or, with a blur of `smooth` pixels, like a network's."""
    noise = np.random.default_rng(seed).normal(size=(height, width, channels))
    return unit(gaussian_filter(noise, (smooth, smooth, 0)) if smooth else noise)


def brute_force(
    queries: NDArray[np.float32], rows: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Index of the best row by float64 scores, the first on ties, and all scores (Q, N)."""
    scores = queries.astype(np.float64) @ rows.astype(np.float64).T
    return scores.argmax(axis=1), scores
