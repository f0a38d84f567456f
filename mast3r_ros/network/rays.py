# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The rays of the camera at the network's pixels, an input of networks with `config.rays`."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.pixels import PixelTransform


# A robot has few cameras, and undistorting a whole image takes longer than a small network.
@lru_cache(maxsize=16)
def ray_channels(
    camera: Camera, to_original: PixelTransform, size: ImageSize
) -> NDArray[np.float32]:
    """(2, H, W) float32, not to be written to: x/z and y/z of each pixel's ray.

    Args:
        camera: of the original image; its distortion is undone.
        to_original: from the network's pixels to the original image's.
        size: of the network's image.
    """
    rows, columns = np.indices(size.shape)
    pixels = to_original.apply(np.column_stack([columns.ravel(), rows.ravel()]))
    rays = camera.normalize(pixels)
    # At the rim of a wide lens, its model may give none: the network needs a number all the same.
    pinhole = (pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    rays = np.where(np.isfinite(rays), rays, pinhole)
    channels = np.ascontiguousarray(rays.T.reshape(2, *size.shape), np.float32)
    channels.flags.writeable = False
    return channels
