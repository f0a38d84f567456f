# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Cameras in COLMAP's models, whose pixel centers lie at halves, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mast3r_ros.common.size import ImageSize
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.distortion import FISHEYE, STANDARD
from mast3r_ros.mapping.extra import MappingError, library

# COLMAP's pixel coordinates of a point are ours plus this.
CENTER = 0.5
# Coefficients of COLMAP's models by our model's order: k1 k2 p1 p2 k3 k4 k5 k6 for the standard
# and rational models, k1 k2 k3 k4 for the fisheye. Each has one focal length or two.
_ONE_FOCAL = {"SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL"}
_ONE_FOCAL |= {"SIMPLE_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE"}
_PERSPECTIVE = ["SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV"]
_FISHEYE = ["SIMPLE_FISHEYE", "FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE"]
_FISHEYE += ["OPENCV_FISHEYE"]


def to_colmap(camera: Camera, camera_id: int) -> Any:
    """The camera as a pycolmap.Camera.

    Raises:
        MappingError: COLMAP has no model of its distortion (thin prism, tilted sensor).
    """
    d = camera.distortion
    if camera.model == FISHEYE:
        model = "OPENCV_FISHEYE"
    elif len(d) > 8:
        raise MappingError(
            f"distortion with {len(d)} coefficients (thin prism or tilted sensor): COLMAP has no "
            "such model; rectify the images, or calibrate with 8 coefficients at the most"
        )
    else:
        model = "PINHOLE" if not d else "OPENCV" if len(d) == 4 else "FULL_OPENCV"
        d += (0.0,) * (8 - len(d) if model == "FULL_OPENCV" else 0)
    return library("pycolmap").Camera(
        camera_id=camera_id,
        model=model,
        width=camera.width,
        height=camera.height,
        params=[camera.fx, camera.fy, camera.cx + CENTER, camera.cy + CENTER, *d],
    )


def from_colmap(camera: Any) -> Camera:
    """The camera of a pycolmap.Camera.

    Raises:
        MappingError: its model has no equivalent.
        CameraError: its numbers describe no camera.
    """
    size = ImageSize(int(camera.width), int(camera.height))
    params = [float(value) for value in camera.params]
    return camera_of(f"camera {camera.camera_id}", camera.model_name, size, params)


def camera_of(whose: str, model: str, size: ImageSize, params: Sequence[float]) -> Camera:
    """The camera of one of COLMAP's models.

    Args:
        whose: for people.
        model: COLMAP's name of it.
        size: of the image.
        params: of the model, pixel centers at halves.

    Raises:
        MappingError: the model has no equivalent, or other parameters.
        CameraError: its numbers describe no camera.
    """
    if model not in _PERSPECTIVE + _FISHEYE:
        known = ", ".join(_PERSPECTIVE + _FISHEYE)
        raise MappingError(
            f"{whose} has COLMAP's model {model}, which has no equivalent "
            f"(known: {known}): undistort the images, for example by `colmap image_undistorter`"
        )
    count = 1 if model in _ONE_FOCAL else 2
    if len(params) < count + 2:
        raise MappingError(
            f"{whose} has COLMAP's model {model} with {len(params)} parameters: too few"
        )
    *focals, cx, cy = params[: count + 2]
    d = list(params[count + 2 :])
    return Camera(
        size.width,
        size.height,
        focals[0],
        focals[-1],
        cx - CENTER,
        cy - CENTER,
        tuple(d + [0.0] * (-len(d) % 4)),
        FISHEYE if model in _FISHEYE else STANDARD,
    )
