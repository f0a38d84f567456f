# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Image files as frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.frame import Frame
from mast3r_ros.geometry.camera import Camera

# Millimeters, as most depth cameras store them and ROS asks for.
DEPTH_SCALE = 1000.0


class FrameReader:
    """Makes frames of image files of one camera."""

    def __init__(self, options: SourceOptions, camera_file: Path | None) -> None:
        """Read the calibration; without one, frames have no camera.

        Raises:
            CameraError: the file is not a calibration.
        """
        self._camera = None if camera_file is None else Camera.from_yaml(camera_file)
        self._options = options

    def read(self, image: Path, depth: Path | None, stamp: int) -> Frame:
        """The frame of an image file, with its depth where a file of it is given.

        Raises:
            RecordingError: a file cannot be read as an image.
            FrameError: image, depth and camera do not fit.
        """
        known = None if depth is None else read_depth(depth, self._options.depth_scale)
        frame_id = self._options.camera_frame or "camera"
        return Frame(read_rgb(image), self._camera, stamp, frame_id, known)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """An image file as (H, W, 3) uint8 RGB.

    Raises:
        RecordingError: it cannot be read as an image.
    """
    return np.asarray(cv2.cvtColor(_read(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


def read_depth(path: Path, scale: float = DEPTH_SCALE) -> NDArray[np.float32]:
    """A 16-bit depth image of `scale` units a metre as (H, W) float32 [m], NaN where unknown.

    Raises:
        RecordingError: it cannot be read, or is not a 16-bit image of one channel.
    """
    raw = _read(path, cv2.IMREAD_UNCHANGED)
    if raw.dtype != np.uint16 or raw.ndim != 2:
        raise RecordingError(
            f"{path} has shape {raw.shape} and type {raw.dtype}: depth must be 16-bit, one channel"
        )
    depth = raw / np.float32(scale)
    depth[raw == 0] = np.nan
    return np.asarray(depth, np.float32)


def _read(path: Path, flags: int) -> NDArray[Any]:
    image = cv2.imread(str(path), flags)
    if image is None:
        problem = "is not an image that OpenCV reads" if path.is_file() else "does not exist"
        raise RecordingError(f"{path} {problem}")
    return image
