# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Alignment of two point maps (Procrustes)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose


def align(
    target: NDArray[np.float64],
    source: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
    with_scale: bool = False,
) -> tuple[Pose, float]:
    """The pose T and scale s that minimize sum w |target - (s R source + t)|^2.

    Closed form of Umeyama (1991), "Least-squares estimation of transformation parameters between
    two point patterns"; the scale is 1 unless asked for.

    Args:
        target, source: (N, 3) points, N >= 3, not on one line.
        weights: (N,), not negative; all alike if None.

    Returns:
        T_target_source (4, 4) and the scale.

    Raises:
        ValueError: fewer than three points, or points on one line.
    """
    w = np.ones(len(source)) if weights is None else np.asarray(weights, np.float64)
    if (w > 0).sum() < 3:
        raise ValueError(f"{int((w > 0).sum())} points with weight: an alignment needs 3")
    w = w / w.sum()
    center_target, center_source = w @ target, w @ source
    a, b = target - center_target, source - center_source
    u, singular, vt = np.linalg.svd((a * w[:, None]).T @ b)
    if singular[1] < 1e-12 * max(singular[0], 1e-300):
        raise ValueError("the points lie on one line: their alignment is not unique")
    sign = np.array([1.0, 1.0, np.linalg.det(u) * np.linalg.det(vt)])
    rotation = (u * sign) @ vt
    scale = float(singular @ sign / (w @ (b**2).sum(1))) if with_scale else 1.0
    return transforms.make(rotation, center_target - scale * rotation @ center_source), scale
