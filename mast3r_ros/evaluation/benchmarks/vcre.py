# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Virtual correspondence reprojection error, after Arnold et al. (arXiv 2210.05494, section 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose

# A grid of virtual points before the query camera: heights, widths, depths, 0.3 m apart.
_COUNTS = (4, 7, 7)
_SPACING = 0.3
_NEAREST = 1.8
_BEHIND = 1e-6  # [m]


def virtual_points() -> NDArray[np.float64]:
    """(196, 3) in the frame of the true query camera [m]."""
    rows, columns, layers = (np.arange(count) * _SPACING for count in _COUNTS)
    y, x, z = np.meshgrid(
        rows - rows.mean(), columns - columns.mean(), layers + _NEAREST, indexing="ij"
    )
    return np.stack([x, y, z], -1).reshape(-1, 3)


def vcre(estimate: Pose, truth: Pose, camera: Camera) -> float:
    """Mean distance of the virtual points' images under the true and under the estimated pose.

    Args:
        estimate, truth: reference camera <- query camera.
        camera: of the query.

    Returns:
        The error [pixels]. Images of points outside the query's image count as on its border, so
        that no point is farther off than the image's diagonal; those that the estimate has behind
        the camera are as far.
    """
    points = virtual_points()
    size = np.array([camera.width, camera.height], np.float64)
    moved = transforms.apply(transforms.inverse(estimate) @ truth, points)
    before = moved[:, 2] > _BEHIND
    errors = np.full(len(points), float(np.linalg.norm(size)))
    here, there = (np.clip(camera.project(p[before]), 0.0, size) for p in (points, moved))
    errors[before] = np.linalg.norm(there - here, axis=1)
    return float(errors.mean())
