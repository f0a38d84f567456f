# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How much of one view is seen in another, from their depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose

# Depths that differ by less than this share are the same surface.
_AGREEMENT = 0.05
_STRIDE = 2


def mutual(
    depths: tuple[NDArray[np.float32], NDArray[np.float32]],
    cameras: tuple[Camera, Camera],
    poses: tuple[Pose, Pose],
) -> float:
    """The lesser of the two shares: pixels of one view whose point the other one sees too."""
    back = transforms.inverse(poses[1]) @ poses[0]
    first = seen_by(depths[0], cameras[0], back, depths[1], cameras[1])
    if first < 0.01:
        return first
    forth = transforms.inverse(back)
    return min(first, seen_by(depths[1], cameras[1], forth, depths[0], cameras[0]))


def seen_by(
    depth: NDArray[np.float32],
    camera: Camera,
    other_from_camera: Pose,
    other_depth: NDArray[np.float32],
    other: Camera,
) -> float:
    """The share of the pixels of `depth` whose point is in the other view, and not hidden there."""
    z = depth[::_STRIDE, ::_STRIDE].astype(np.float64)
    v, u = np.mgrid[0 : depth.shape[0] : _STRIDE, 0 : depth.shape[1] : _STRIDE]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)])
    points = other_from_camera[:3, :3] @ (rays * z).reshape(3, -1)
    x, y, ahead = points + other_from_camera[:3, 3:]
    with np.errstate(invalid="ignore", divide="ignore"):
        column = np.rint(other.fx * x / ahead + other.cx)
        row = np.rint(other.fy * y / ahead + other.cy)
        inside = (column >= 0) & (column < other.width) & (row >= 0) & (row < other.height)
        inside &= ahead > 0
    there = other_depth[row[inside].astype(int), column[inside].astype(int)]
    agree = np.abs(there - ahead[inside]) < _AGREEMENT * ahead[inside]
    return float(np.count_nonzero(agree) / z.size)
