# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Every distortion model against OpenCV on random rays: `python -m bench distortion`."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry.camera import Camera

_SIZE, _K = (640, 480), np.array([[520.0, 0.0, 318.0], [0.0, 510.0, 243.0], [0.0, 0.0, 1.0]])
# As strong as real lenses are.
_STANDARD = [0.2, 0.05, 0.002, 0.002, 0.01, 0.1, 0.05, 0.01, *[0.003] * 4, 0.02, 0.02]
_FISHEYE = [0.05, 0.02, 0.01, 0.005]
_LENSES, _RAYS = 200, 500


def _by_opencv(points: NDArray[np.float64], d: NDArray[np.float64], fisheye: bool) -> NDArray:
    zero = np.zeros((1, 1, 3))
    if fisheye:
        return cv2.fisheye.projectPoints(points[:, None], zero, zero, _K, d)[0][:, 0]
    return cv2.projectPoints(points, zero[0], zero[0], _K, d)[0][:, 0]


def compare(limits: list[float], fisheye: bool) -> tuple[float, float, int]:
    """Largest error on the plane z = 1 and in pixels, and rays that are lost."""
    random = np.random.default_rng(len(limits))
    field = 1.5 if fisheye else 0.6
    ray_error = pixel_error = 0.0
    lost = 0
    for _ in range(_LENSES):
        d = random.uniform(-1, 1, len(limits)) * limits
        rays = random.uniform(-field, field, (_RAYS, 2))
        points = np.column_stack([rays, np.ones(_RAYS)])
        model = "equidistant" if fisheye else "rational_polynomial"
        camera = Camera.from_matrix(_SIZE, _K, tuple(d), model)
        pixels = _by_opencv(points, d, fisheye)
        found = camera.normalize(pixels)
        lost += int(np.isnan(found).any(axis=1).sum())
        ray_error = max(ray_error, float(np.nanmax(np.abs(found - rays))))
        pixel_error = max(pixel_error, float(np.abs(camera.project(points) - pixels).max()))
    return ray_error, pixel_error, lost


def main() -> None:
    """Print a table."""
    print("| model | coefficients | largest ray error | largest pixel error | lost |")
    print("|---|---|---|---|---|")
    for length in (4, 5, 8, 12, 14):
        ray, pixel, lost = compare(_STANDARD[:length], fisheye=False)
        print(f"| standard | {length} | {ray:.1e} | {pixel:.1e} | {lost} |")
    ray, pixel, lost = compare(_FISHEYE, fisheye=True)
    print(f"| fisheye | 4 | {ray:.1e} | {pixel:.1e} | {lost} |")
