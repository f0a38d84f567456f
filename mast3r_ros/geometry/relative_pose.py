# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Relative pose of two cameras from matched pixels alone: rotation and direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import poselib
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose


@dataclass(frozen=True)
class RelativePose:
    """How a query camera stands to a reference camera.

    Attributes:
        pose: reference <- query, (4, 4), its translation of length 1: pixels tell no meters.
        inliers: (N,) bool, which matches agree.
        parallax: median angle between the inliers' rays, the rotation undone [rad]; where it is
            near zero the direction of the translation is not to be known.
    """

    pose: Pose
    inliers: NDArray[np.bool_]
    parallax: float


def estimate_relative_pose(
    reference_pixels: NDArray[np.floating],
    query_pixels: NDArray[np.floating],
    reference_camera: Camera,
    query_camera: Camera,
    threshold: float = 2.0,
    seed: int = 0,
    min_iterations: int = 1_000,
) -> RelativePose | None:
    """Essential matrix by LO-RANSAC (poselib, five-point solver).

    Args:
        reference_pixels, query_pixels: (N, 2) of the original images.
        threshold: largest epipolar error of an inlier [pixels].
        seed: of the random samples.
        min_iterations: samples that are drawn, however well the first ones agree.

    Returns:
        Rotation and a unit translation, or None below five matches or inliers.
    """
    cameras = (reference_camera, query_camera)
    rays = [
        camera.normalize(pixels)
        for camera, pixels in zip(cameras, (reference_pixels, query_pixels), strict=True)
    ]
    usable = np.asarray(np.isfinite(np.hstack(rays)).all(axis=1))
    if usable.sum() < 5:
        return None
    focals = [np.array([camera.fx, camera.fy]) for camera in cameras]
    pinholes = [
        {"model": "PINHOLE", "width": c.width, "height": c.height, "params": [c.fx, c.fy, 0.0, 0.0]}
        for c in cameras
    ]
    found, info = poselib.estimate_relative_pose(
        rays[0][usable] * focals[0],
        rays[1][usable] * focals[1],
        *pinholes,
        {
            "max_epipolar_error": threshold,
            "seed": seed,
            "min_iterations": min_iterations,
            "max_iterations": 2_000,
        },
    )
    inliers = np.zeros(len(rays[0]), np.bool_)
    inliers[usable] = info["inliers"]
    pose = transforms.inverse(transforms.make(found.R, found.t))
    length = np.linalg.norm(pose[:3, 3])
    if inliers.sum() < 5 or not np.isfinite(pose).all() or length < 1e-12:
        return None
    pose[:3, 3] /= length
    one, two = (np.column_stack([r[inliers], np.ones(inliers.sum())]) for r in rays)
    two = two @ pose[:3, :3].T
    sine = np.linalg.norm(np.cross(one, two), axis=1)
    parallax = float(np.median(np.arctan2(sine, (one * two).sum(1))))
    return RelativePose(pose, inliers, parallax)
