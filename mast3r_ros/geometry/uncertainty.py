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


def errors(
    pose: Pose,
    points: NDArray[np.float64],
    rays: NDArray[np.float64],
    focal: tuple[float, float] | NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reprojection errors and their derivative by the camera's position.

    Args:
        pose: map <- camera, (4, 4), or (N, 4, 4) of each point's own camera.
        points: (N, 3) in the map [m], in front of the camera.
        rays: (N, 2) measured directions on the plane z = 1.
        focal: (fx, fy) [pixels], or (N, 2), which turns the errors into pixels.

    Returns:
        (N, 2) residuals [pixels] and their (N, 2, 3) Jacobian.
    """
    offset = points - pose[..., :3, 3]
    x, y, z = transforms.turn_back(pose, offset).T
    scale = np.asarray(focal)
    error = (np.column_stack([x / z, y / z]) - rays) * scale
    by_camera_point = np.zeros((len(points), 2, 3))
    by_camera_point[:, 0, 0] = by_camera_point[:, 1, 1] = 1.0 / z
    by_camera_point[:, 0, 2], by_camera_point[:, 1, 2] = -x / z**2, -y / z**2
    by_camera_point *= scale[..., None]
    if pose.ndim == 2:
        # One product: many small ones take ten times as long.
        by_offset = (by_camera_point.reshape(-1, 3) @ pose[:3, :3].T).reshape(-1, 2, 3)
    else:
        by_offset = by_camera_point @ pose[:, :3, :3].swapaxes(1, 2)
    return error, np.negative(by_offset, out=by_offset)  # the point moves the other way


def by_turn(by_position: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2, 3) derivative by a turn of the camera, from that by its position.

    Args:
        by_position: (N, 2, 3) see `errors`.
        offset: (N, 3) from the camera to the points [m]: a turn by dr moves a point as a camera
            that moves by dr x offset.
    """
    return transforms.cross(offset[:, None], by_position)


def invert_information(information: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance of an information matrix, (6, 6) say; infinite where it binds nothing."""
    if not (np.diag(information) > 0).all():
        return np.full_like(information, np.inf)
    scale = np.sqrt(np.diag(information))
    normalized = information / np.outer(scale, scale)
    try:
        inverse = np.linalg.inv(normalized)
    except np.linalg.LinAlgError:
        return np.full_like(information, np.inf)
    # The condition number, by the largest sums of columns.
    if not np.linalg.norm(normalized, 1) * np.linalg.norm(inverse, 1) <= 1e12:
        return np.full_like(information, np.inf)
    covariance = inverse / np.outer(scale, scale)
    return np.asarray((covariance + covariance.T) / 2.0)
