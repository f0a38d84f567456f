# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Metric points for keyframes without depth, from neighbors whose poses are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.features import FeatureDescription, FeatureFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.geometry.triangulation import fuse_depths, relative, triangulate_depth
from mast3r_ros.keyframes.keyframe import Keyframe

# Error that the relative pose of two keyframes (odometry) adds to a matched pixel.
_POSE_SIGMA_RAD = np.deg2rad(0.15)
_MATCH_SIGMA_PX = 1.5
# A match may lie this far from its epipolar line.
_BAND_PX = 5.0


def triangulated(
    keyframe: Keyframe, neighbors: Sequence[Keyframe], front_end: FeatureFrontEnd
) -> FeatureDescription:
    """The keyframe's description with points triangulated against its neighbors."""
    description = keyframe.description
    assert isinstance(description, FeatureDescription)
    camera = keyframe.camera
    count = len(description)
    unknown = np.full(count, np.nan)
    depths: list[NDArray[np.float64]] = []
    sigmas: list[NDArray[np.float64]] = []
    for neighbor in neighbors:
        other = neighbor.description
        if camera is None or neighbor.camera is None or not isinstance(other, FeatureDescription):
            continue
        neighbor_keyframe = relative(neighbor.pose, keyframe.pose)
        lines = _epipolar_lines(camera, neighbor.camera, description.keypoints, neighbor_keyframe)
        guided = front_end.match_along_lines(description, other, lines, _BAND_PX)
        plain, _ = front_end.match_indices(description, other)
        depth, deviation = unknown.copy(), unknown.copy()
        # What matches in the whole image is surer than what matches along a line: it comes last.
        for pairs in (guided, plain):
            z, sigma = triangulate_depth(
                camera.normalize(description.keypoints[pairs[:, 0]]),
                neighbor.camera.normalize(other.keypoints[pairs[:, 1]]),
                neighbor_keyframe,
                neighbor.camera.fx,
                float(np.hypot(_MATCH_SIGMA_PX, _POSE_SIGMA_RAD * neighbor.camera.fx)),
                _BAND_PX,
            )
            seen = np.isfinite(z)
            depth[pairs[seen, 0]], deviation[pairs[seen, 0]] = z[seen], sigma[seen]
        depths.append(depth)
        sigmas.append(deviation)
    if not depths or camera is None:
        return description.with_points(
            np.full((count, 3), np.nan, np.float32), unknown.astype(np.float32)
        )
    fused, relative_sigma = fuse_depths(np.array(depths), np.array(sigmas))
    points = camera.unproject(description.keypoints, fused).astype(np.float32)
    return description.with_points(points, relative_sigma.astype(np.float32))


def _epipolar_lines(
    camera: Camera, other: Camera, keypoints: NDArray[np.float32], other_camera: Pose
) -> NDArray[np.float64]:
    """(N, 3) epipolar lines of keypoints in the other image; NaN where there is no ray.

    Straight lines hold without distortion: the band about them takes up what little there is.
    """
    rays = np.column_stack([camera.normalize(keypoints), np.ones(len(keypoints))])
    essential = transforms.skew(other_camera[:3, 3]) @ other_camera[:3, :3]
    lines = rays @ essential.T @ np.linalg.inv(other.matrix)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(lines / np.hypot(lines[:, 0], lines[:, 1])[:, None])


def choose_neighbors(keyframe: Keyframe, others: Sequence[Keyframe], count: int) -> list[Keyframe]:
    """Keyframes that likely see the same things from another place, nearest first."""
    axis = keyframe.pose[:3, 2]
    candidates = [
        other
        for other in others
        if other.id != keyframe.id
        and transforms.distance(other.pose, keyframe.pose) > 0.01
        and other.pose[:3, 2] @ axis > np.cos(np.deg2rad(60.0))
    ]
    candidates.sort(key=lambda other: transforms.distance(other.pose, keyframe.pose))
    return candidates[:count]
