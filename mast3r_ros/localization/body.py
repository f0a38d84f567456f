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
from mast3r_ros.localization.solving import grid_cells
from mast3r_ros.matching.correspondences import Correspondences

# Matches are as exact as this [pixels]: what moves less has not moved.
_STILL = 2.0
# A point of the place that should have moved by this much between two keyframes has moved [pixels].
_MOVED = 10.0
# Cells of some 25 pixels in a VGA image; one belongs to the body with so many matches, and with
# this part of them.
_GRID = (24, 18)
_FEWEST_OF_CELL = 3
_MOST_OF_CELL = 0.5


def fixed_to_camera(
    camera: Camera,
    keyframes: Sequence[Keyframe],
    found: Sequence[Correspondences],
    pixel_error_scale: float,
) -> list[NDArray[np.bool_]]:
    """Which matches of each keyframe do not move with the camera.

    A match at the same pixel in its keyframe and in the query is one if another keyframe, from
    which its point would be seen elsewhere, has a match at that pixel too, and all others of a cell
    of the image in which most are. One keyframe alone cannot know.
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
    return _whole_cells(fixed, found, (camera.width, camera.height))


def _whole_cells(
    fixed: list[NDArray[np.bool_]], found: Sequence[Correspondences], size: tuple[int, int]
) -> list[NDArray[np.bool_]]:
    """With most matches of a cell of the query, all others of the cell are on the body too.

    A body's texture also matches itself at other places, by chance.
    """
    cells = [grid_cells(matched.query_pixels, size, _GRID) for matched in found]
    count = np.zeros((2, _GRID[0] * _GRID[1]))
    for of_keyframe, cell in zip(fixed, cells, strict=True):
        count[0] += np.bincount(cell[of_keyframe], minlength=count.shape[1])
        count[1] += np.bincount(cell, minlength=count.shape[1])
    body = (count[0] >= _FEWEST_OF_CELL) & (count[0] > _MOST_OF_CELL * count[1])
    return [f | body[cell] for f, cell in zip(fixed, cells, strict=True)]
