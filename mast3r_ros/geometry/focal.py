# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Focal length of a camera from a point map in its own frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ITERATIONS = 50
_SMALLEST = 1e-6  # a point on its ray would get an infinite weight [px]
_MAX_RAY = np.tan(np.deg2rad(75.0))  # further off the axis a point says more of its depth's error


def estimate_focal(
    points: NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
    center: tuple[float, float] | None = None,
) -> float:
    """The focal length f that minimizes sum w |p - f (X/Z, Y/Z)|, by Weiszfeld's algorithm.

    After DUSt3R (arXiv 2312.14132, section 3.3): pixels are square, without distortion, and the
    principal point is known. The norm is not squared, so that wild points do little harm.

    Args:
        points: (H, W, 3) in the camera's own frame; any scale. Points with Z <= 0, or more than 75
            degrees off the axis, are left out.
        weights: (H, W), not negative; all alike if None.
        center: principal point (x, y) [pixels]; the image's middle if None.

    Returns:
        f [pixels of the map].

    Raises:
        ValueError: fewer than two points lie before the camera and off its axis.
    """
    height, width = points.shape[:2]
    cx, cy = center if center is not None else ((width - 1) / 2, (height - 1) / 2)
    x, y, z = np.moveaxis(points.astype(np.float64), -1, 0)
    pixels = np.stack(np.meshgrid(np.arange(width) - cx, np.arange(height) - cy), axis=-1)
    w = np.ones((height, width)) if weights is None else weights.astype(np.float64)
    off_axis = np.hypot(x, y)
    usable = np.isfinite(points).all(-1) & (z > 0) & (w > 0)
    usable &= (off_axis > 1e-9 * z) & (off_axis < _MAX_RAY * z)
    if usable.sum() < 2:
        raise ValueError(
            f"{int(usable.sum())} of {usable.size} points lie before the camera and off its axis: "
            "the focal length cannot be told"
        )
    p, w = pixels[usable], w[usable]
    a = np.stack([x[usable], y[usable]], axis=-1) / z[usable][:, None]
    pa, aa = (p * a).sum(-1), (a * a).sum(-1)
    focal = float(w @ pa / (w @ aa))
    for _ in range(_ITERATIONS):
        near = w / np.maximum(np.linalg.norm(p - focal * a, axis=-1), _SMALLEST)
        before, focal = focal, float(near @ pa / (near @ aa))
        if abs(focal - before) <= 1e-9 * abs(focal):
            break
    return focal
