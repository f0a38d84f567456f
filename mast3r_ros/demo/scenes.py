# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The photographs as keyframes with depth and queries whose poses are known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.images import read_rgb
from mast3r_ros.demo.photographs import CALIBRATION, ROOMS
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.stereo import stereo_depth
from mast3r_ros.geometry.transforms import Pose

# Far apart, so that a wrong room is a wrong pose.
_SPACING = 10.0
_COLUMNS = 4
_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Scene:
    """One place, seen from two.

    Attributes:
        name: for people.
        keyframe, query: the left image with depth, and the right one.
        keyframe_pose, query_pose: map <- camera, (4, 4).
    """

    name: str
    keyframe: Frame
    keyframe_pose: Pose
    query: Frame
    query_pose: Pose


def read_scene(folder: Path, index: int) -> Scene:
    """A scene by its number, from 0 to `COUNT` - 1; the depth of rooms is computed.

    Scenes stand on a grid in the map, each turned another way.
    """
    name, left, right, depth, cameras, baseline = (
        _motorcycle(folder) if index == 0 else _room(folder, ROOMS[index - 1])
    )
    row, column = divmod(index, _COLUMNS)
    turn = transforms.rotation_from_vector([0.0, np.deg2rad(25.0) * index, 0.0])
    keyframe_pose = transforms.make(turn, [_SPACING * column, 0.0, _SPACING * row])
    stamps = ((1 + index) * _SECOND, (1 + COUNT + index) * _SECOND)
    return Scene(
        name,
        Frame(left, cameras[0], stamps[0], "camera", depth),
        keyframe_pose,
        Frame(right, cameras[1], stamps[1], "camera"),
        # Rectified: the right camera stands on the left one's x axis and looks the same way.
        keyframe_pose @ transforms.make(np.eye(3), [baseline, 0.0, 0.0]),
    )


COUNT = 1 + len(ROOMS)

_Parts = tuple[
    str, NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32], tuple[Camera, Camera], float
]


def _motorcycle(folder: Path) -> _Parts:
    """Calibration by the benchmark, at the size that scikit-image keeps."""
    focal, baseline = 994.978, 0.193001
    # The right principal point lies further right, so that disparity is less by as much.
    cx, cy, shift = 311.193, 254.877, 31.086
    left = read_rgb(folder / "motorcycle_left.png")
    height, width = left.shape[:2]
    with np.load(folder / "motorcycle_disp.npz") as archive:
        disparity = archive["arr_0"]
    known = np.isfinite(disparity) & (disparity > 0)
    depth = np.full(disparity.shape, np.nan, np.float32)
    depth[known] = baseline * focal / (disparity[known] + shift)
    cameras = (
        Camera(width, height, focal, focal, cx, cy),
        Camera(width, height, focal, focal, cx + shift, cy),
    )
    return "motorcycle", left, read_rgb(folder / "motorcycle_right.png"), depth, cameras, baseline


def _room(folder: Path, name: str) -> _Parts:
    about = json.loads((folder / CALIBRATION).read_text())
    left, right = (read_rgb(folder / f"{name}_{side}.png") for side in ("left", "right"))
    size = (about["width"], about["height"])
    cameras = tuple(
        Camera(*size, about["fx"], about["fy"], about[f"cx{side}"], about["cy"]) for side in (0, 1)
    )
    baseline = float(about["baseline_meters"])
    depth = stereo_depth(left, right, cameras[0].fx * baseline)
    # Rectification left no image beyond, and filled it with smears.
    x0, y0, x1, y1 = np.array(about["left_image_rect_normalized"]) * (*size, *size)
    outside = np.ones(depth.shape, bool)
    outside[int(np.ceil(y0)) : int(y1), int(np.ceil(x0)) : int(x1)] = False
    depth[outside] = np.nan
    return name.replace("_", " "), left, right, depth, (cameras[0], cameras[1]), baseline
