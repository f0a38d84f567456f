# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Absolute camera pose from 2D-3D matches by LO-RANSAC (poselib)."""

from __future__ import annotations

import numpy as np
import poselib
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose


def ransac(
    points: NDArray[np.float64],
    rays: NDArray[np.float64],
    focal: tuple[float, float],
    threshold: float,
    max_iterations: int = 10_000,
    seed: int = 0,
) -> Pose | None:
    """LO-RANSAC: map <- camera from (N, 3) points and (N, 2) rays on z = 1, NaN left out.

    Returns:
        None where no pose has four inliers.
    """
    usable = np.asarray(np.isfinite(np.hstack([points, rays])).all(axis=1))
    if usable.sum() < 4:
        return None
    # Undistorted pixels about the principal point: one pinhole for every distortion model. Its size
    # plays no part in the solver.
    pinhole = {"model": "PINHOLE", "width": 1, "height": 1, "params": [*focal, 0.0, 0.0]}
    options = {
        "max_reproj_error": threshold,
        "max_iterations": max_iterations,
        "min_iterations": 100,
        "seed": seed,
    }
    found, info = poselib.estimate_absolute_pose(
        rays[usable] * focal,
        points[usable],
        pinhole,
        options,
        {"loss_type": "TRUNCATED", "loss_scale": threshold},
    )
    pose = transforms.inverse(transforms.make(found.R, found.t))
    return pose if info["num_inliers"] >= 4 and np.isfinite(pose).all() else None
