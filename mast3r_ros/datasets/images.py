# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Image files as frames, by the same rules as image messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.common.untrusted import read_file
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.frame import Frame, read_mask
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.depth import fit_depth
from mast3r_ros.messages.compressed import decode
from mast3r_ros.messages.samples import ImageError, to_rgb

# Millimeters, as most depth cameras store them and ROS asks for.
DEPTH_SCALE = 1000.0
# Whatever file is named: no image is larger [megapixels].
MAX_MEGAPIXELS = 100.0
_MAX_BYTES = 1 << 30


class FrameReader:
    """Makes frames of image files of one camera."""

    def __init__(self, options: SourceOptions, camera_file: Path | None) -> None:
        """Read the calibration; without one, frames have no camera.

        Raises:
            CameraError: the file is not a calibration.
        """
        self._options = options
        self._camera = (
            None if camera_file is None else Camera.from_yaml(camera_file, options.rectified)
        )
        self._mask = None if options.mask is None else read_mask(options.mask)

    def read(self, image: Path, depth: Path | None, stamp: int) -> Frame:
        """The frame of an image file, with its depth where a file of it is given.

        Raises:
            RecordingError: a file cannot be read as an image.
            FrameError: image, depth and camera do not fit.
        """
        options = self._options
        pixels = read_rgb(image, options.max_megapixels)
        known = None
        if depth is not None:
            known = read_depth(depth, options.depth_scale, options.max_megapixels)
            known = fit_depth(known, ImageSize(*pixels.shape[1::-1]))
        frame_id = options.camera_frame or "camera"
        return Frame(pixels, self._camera, stamp, frame_id, known, self._mask)


def read_rgb(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """An image file as (H, W, 3) uint8 RGB.

    Raises:
        RecordingError: it cannot be read as an image.
    """
    pixels = _read(path, max_megapixels)
    try:
        return to_rgb(pixels)
    except ImageError as error:
        raise RecordingError(f"{path}: {error}") from error


def read_depth(
    path: Path, scale: float = DEPTH_SCALE, max_megapixels: float = MAX_MEGAPIXELS
) -> NDArray[np.float32]:
    """A 16-bit depth image of `scale` units in a meter as (H, W) float32 [m], NaN where unknown.

    Raises:
        RecordingError: it cannot be read, or is not a 16-bit image of one channel.
    """
    raw = _read(path, max_megapixels)
    if raw.dtype != np.uint16 or raw.ndim != 2:
        raise RecordingError(
            f"{path} has shape {raw.shape} and type {raw.dtype}: depth must be 16-bit, one channel"
        )
    depth = raw / np.float32(scale)
    depth[raw == 0] = np.nan
    return np.asarray(depth, np.float32)


def _read(path: Path, max_megapixels: float) -> NDArray[Any]:
    try:
        return decode(read_file(path, _MAX_BYTES), max_megapixels)
    except FileNotFoundError as error:
        raise RecordingError(f"{path} does not exist") from error
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or error}") from error
    except (ImageError, ValueError) as error:
        raise RecordingError(f"{path} is not an image that can be read: {error}") from error
