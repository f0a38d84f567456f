# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Metric points for keyframes without depth, from neighbors whose poses are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.features import FeatureDescription, FeatureFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.triangulation import fuse_depths, relative, triangulate_depth
from mast3r_ros.mapping.keyframe import Keyframe

# Error that the relative pose of two keyframes (odometry) adds to a matched pixel.
_POSE_SIGMA_RAD = np.deg2rad(0.15)
_MATCH_SIGMA_PX = 1.5


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
        pairs, _ = front_end.match_indices(description, other)
        z, sigma = triangulate_depth(
            camera.normalize(description.keypoints[pairs[:, 0]]),
            neighbor.camera.normalize(other.keypoints[pairs[:, 1]]),
            relative(neighbor.pose, keyframe.pose),
            neighbor.camera.fx,
            float(np.hypot(_MATCH_SIGMA_PX, _POSE_SIGMA_RAD * neighbor.camera.fx)),
        )
        for values, new in ((depths, z), (sigmas, sigma)):
            row = unknown.copy()
            row[pairs[:, 0]] = new
            values.append(row)
    if not depths or camera is None:
        return description.with_points(
            np.full((count, 3), np.nan, np.float32), unknown.astype(np.float32)
        )
    depth, deviation = fuse_depths(np.array(depths), np.array(sigmas))
    points = camera.unproject(description.keypoints, depth).astype(np.float32)
    return description.with_points(points, deviation.astype(np.float32))


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
