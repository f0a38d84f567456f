# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""First-order uncertainty of a camera pose from its 2D-3D matches.

With residuals r = projection(T_camera_map X) - x of independent pixel noise sigma, the pose that
minimizes them has covariance sigma^2 (J^T J)^-1 (Hartley & Zisserman, Multiple View Geometry, 5.2).
Poses vary as in `transforms.perturb`: translation and rotation along the fixed axes of the map.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose


def residuals(
    pose: Pose,
    points: NDArray[np.float64],
    rays: NDArray[np.float64],
    focal: tuple[float, float] | NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reprojection errors and their derivative by the pose.

    Args:
        pose: map <- camera, (4, 4), or (N, 4, 4) of each point's own camera.
        points: (N, 3) in the map [m], in front of the camera.
        rays: (N, 2) measured directions on the plane z = 1.
        focal: (fx, fy) [pixels], or (N, 2), which turns the errors into pixels.

    Returns:
        (N, 2) residuals [pixels] and their (N, 2, 6) Jacobian by [translation, rotation].
    """
    offset = points - pose[..., :3, 3]
    x, y, z = transforms.turn_back(pose, offset).T
    scale = np.asarray(focal)
    error = (np.column_stack([x / z, y / z]) - rays) * scale
    jacobian, by_camera_point = np.empty((len(points), 2, 6)), np.zeros((len(points), 2, 3))
    by_camera_point[:, 0, 0] = by_camera_point[:, 1, 1] = 1.0 / z
    by_camera_point[:, 0, 2], by_camera_point[:, 1, 2] = -x / z**2, -y / z**2
    by_camera_point *= scale[..., None]
    if pose.ndim == 2:
        # One product: many small ones take ten times as long.
        by_offset = (by_camera_point.reshape(-1, 3) @ pose[:3, :3].T).reshape(-1, 2, 3)
    else:
        by_offset = by_camera_point @ pose[:, :3, :3].swapaxes(1, 2)
    # Moving the camera moves the point the other way; turning it turns the offset back:
    # d(offset) = -dt, d(offset) = [offset]x dr.
    np.negative(by_offset, out=jacobian[:, :, :3])
    jacobian[:, :, 3:] = transforms.cross(by_offset, offset[:, None])
    return error, jacobian


def invert_information(information: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance of an information matrix, (6, 6) say; infinite where it binds nothing."""
    if not (np.diag(information) > 0).all():
        return np.full_like(information, np.inf)
    scale = np.sqrt(np.diag(information))
    normalized = information / np.outer(scale, scale)
    if np.linalg.cond(normalized) > 1e12:
        return np.full_like(information, np.inf)
    covariance = np.linalg.inv(normalized) / np.outer(scale, scale)
    return np.asarray((covariance + covariance.T) / 2.0)
