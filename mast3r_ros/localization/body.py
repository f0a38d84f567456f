# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Matches that are fixed to the camera: the robot's own body, an overlay, a border.

What moves with the camera is at the same pixel of every image. A point of the place is at the same
pixel of two keyframes only where the keyframes' poses put it there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.matching.correspondences import Correspondences

# Matches are as exact as this [pixels]: what moves less has not moved.
_STILL = 2.0
# A point of the place that should have moved by this much between two keyframes has moved [pixels].
_MOVED = 10.0


def fixed_to_camera(
    camera: Camera,
    keyframes: Sequence[Keyframe],
    found: Sequence[Correspondences],
    pixel_error_scale: float,
) -> list[NDArray[np.bool_]]:
    """Which matches of each keyframe do not move with the camera.

    A match at the same pixel in its keyframe and in the query is one if another keyframe, from
    which its point would be seen elsewhere, has a match at that pixel too. One keyframe alone
    cannot know.
    """
    still, tolerance = [], _STILL * pixel_error_scale
    for keyframe, matched in zip(keyframes, found, strict=True):
        same = keyframe.size == (camera.width, camera.height)
        moved = np.linalg.norm(matched.query_pixels - matched.reference_pixels, axis=1)
        still.append((moved < tolerance) & same)
    fixed = [np.zeros(len(matched), bool) for matched in found]
    for i, keyframe in enumerate(keyframes):
        at = np.flatnonzero(still[i])
        if keyframe.camera is None or not len(at):
            continue
        pixels, points = found[i].query_pixels[at], found[i].reference_points[at]
        in_map = transforms.apply(keyframe.pose, points)
        for j, other in enumerate(keyframes):
            if i == j or other.camera is None or not still[j].any():
                continue
            seen = other.camera.project(transforms.apply(transforms.inverse(other.pose), in_map))
            # Behind the other camera, or unknown, it is not at this pixel either way.
            elsewhere = ~(np.linalg.norm(seen - pixels, axis=1) < _MOVED * pixel_error_scale)
            elsewhere &= np.isfinite(points).all(axis=1)
            beside = found[j].query_pixels[still[j]]
            gap = np.linalg.norm(pixels[:, None] - beside[None], axis=2).min(axis=1)
            fixed[i][at[elsewhere & (gap < tolerance)]] = True
    return fixed
