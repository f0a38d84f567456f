# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The second pose from which a plane looks nearly the same (Schweighofer and Pinz, PAMI 2006)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose


def planar_twin(pose: Pose, points: NDArray[np.float64]) -> Pose | None:
    """Where a camera would see coplanar points nearly as it does now, by weak perspective.

    Far from a plane, or through a long lens, its image hardly changes when each point is mirrored
    at the plane through the centroid that faces the camera. For coplanar points that mirror image
    is a rotation about the centroid by M = (I - 2 v v^T)(I - 2 n n^T), with v toward the camera and
    n the plane's normal: the second minimum of the reprojection error lies near it. Points that
    are not coplanar have no such minimum: refine from the pose returned here, and compare.

    Args:
        pose: map <- camera.
        points: (N, 3) in the map [m], finite: the inliers.

    Returns:
        map <- camera, or None where the points have no plane (fewer than three, or on one line) or
        are seen face on, where both poses are one.
    """
    if len(points) < 3:
        return None
    seen = transforms.apply(transforms.inverse(pose), points)
    center = seen.mean(0)
    _, spread, axes = np.linalg.svd(seen - center, full_matrices=False)
    if spread[1] < 1e-6 * max(spread[0], 1e-12):
        return None
    normal, toward = axes[2], center / np.linalg.norm(center)
    turn = _mirror(toward) @ _mirror(normal)
    if np.linalg.norm(transforms.rotation_vector(turn)) < 1e-3:
        return None
    moved = transforms.make(turn, center - turn @ center)
    return pose @ transforms.inverse(moved)


def _mirror(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.eye(3) - 2.0 * np.outer(normal, normal))
