# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Absolute camera pose from 2D-3D matches: LO-RANSAC (poselib), then least squares on inliers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import poselib
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms, uncertainty
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose


@dataclass(frozen=True)
class AbsolutePose:
    """A camera's pose among points.

    Attributes:
        pose: map <- camera, (4, 4).
        covariance: (6, 6) [m, rad] in the sense of `transforms.perturb`.
        inliers: (N,) bool, which matches agree.
        sigma: standard deviation of an inlier's residual coordinate [pixels].
        jacobian: (M, 2, 6) of the inliers' residuals by the pose [pixels per m, rad].
        errors: (M, 2) the inliers' residuals [pixels].
    """

    pose: Pose
    covariance: NDArray[np.float64]
    inliers: NDArray[np.bool_]
    sigma: float
    jacobian: NDArray[np.float64]
    errors: NDArray[np.float64]


def estimate_absolute_pose(
    points: NDArray[np.floating],
    pixels: NDArray[np.floating],
    camera: Camera,
    threshold: float = 4.0,
    max_iterations: int = 10_000,
    seed: int = 0,
) -> AbsolutePose | None:
    """Where a camera sees known points.

    Args:
        points: (N, 3) in the map [m]; matches with NaN are left out.
        pixels: (N, 2) of the original, distorted image.
        threshold: largest reprojection error of an inlier [pixels of the undistorted image].
        max_iterations: of RANSAC.
        seed: the same seed gives the same answer.

    Returns:
        None where no pose has four inliers.
    """
    known = np.asarray(points, np.float64)
    rays = camera.normalize(pixels)
    focal = (camera.fx, camera.fy)
    pose = ransac(known, rays, focal, threshold, max_iterations, seed)
    return None if pose is None else refine(pose, known, rays, focal, threshold)


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


def refine(
    pose: Pose,
    points: NDArray[np.float64],
    rays: NDArray[np.float64],
    focal: tuple[float, float],
    threshold: float,
) -> AbsolutePose | None:
    """Least squares over the inliers, which are chosen anew until they settle.

    The covariance is that of plain least squares, so the pose must be its minimum too.
    """
    usable = np.asarray(np.isfinite(np.hstack([points, rays])).all(axis=1))
    inliers = np.zeros(len(points), bool)
    for _ in range(10):
        z = (points - pose[:3, 3]) @ pose[:3, 2]
        with np.errstate(invalid="ignore", divide="ignore"):
            error, _ = uncertainty.residuals(pose, points, rays, focal)
            chosen = usable & (z > 0) & (np.hypot(*error.T) < threshold)
        if chosen.sum() < 4:
            return None
        error, jacobian = uncertainty.residuals(pose, points[chosen], rays[chosen], focal)
        step, *_ = np.linalg.lstsq(jacobian.reshape(-1, 6), -error.ravel(), rcond=None)
        if np.array_equal(chosen, inliers) and np.abs(step).max() < 1e-9:
            break
        inliers, pose = chosen, transforms.perturb(pose, step)
    sigma = uncertainty.noise(error)
    covariance = uncertainty.pose_covariance(jacobian, sigma)
    return AbsolutePose(pose, covariance, chosen, sigma, jacobian, error)
