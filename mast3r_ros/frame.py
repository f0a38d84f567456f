# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One camera frame, as every part of the package sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.errors import UserError
from mast3r_ros.geometry.camera import Camera


class FrameError(UserError, ValueError):
    """An image, depth image or camera that do not make a frame."""


@dataclass(frozen=True)
class Frame:
    """An image with what is known about it.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        camera: its intrinsics; None where unknown (only the `mast3r` front end can do without).
        stamp: time of exposure [ns].
        frame_id: the camera's optical frame (REP-103: x right, y down, z forward).
        depth: (H, W) float32 [m], registered to the image; NaN, 0 or negative where unknown.

    Raises:
        FrameError: a shape, type or size does not fit.
    """

    image: NDArray[np.uint8]
    camera: Camera | None = None
    stamp: int = 0
    frame_id: str = "camera"
    depth: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        image = self.image
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise FrameError(
                f"image of shape {image.shape} and type {image.dtype}: "
                "expected (height, width, 3) uint8, RGB, not empty"
            )
        height, width = image.shape[:2]
        camera = self.camera
        if camera is not None and (camera.width, camera.height) != (width, height):
            raise FrameError(
                f"camera calibrated for {camera.width}x{camera.height}, image is {width}x{height}: "
                "publish the CameraInfo of this image, or use Camera.resized"
            )
        if self.depth is not None:
            if self.depth.dtype != np.float32:
                raise FrameError(f"depth of type {self.depth.dtype}: expected float32 metres")
            if self.depth.shape != (height, width):
                raise FrameError(
                    f"depth of shape {self.depth.shape}, image is ({height}, {width}): "
                    "register the depth to the color camera first (depth_image_proc)"
                )

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) [pixels]."""
        return self.image.shape[1], self.image.shape[0]
