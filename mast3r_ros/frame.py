# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One camera frame, as every part of the package sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.errors import UserError
from mast3r_ros.common.size import ImageSize
from mast3r_ros.geometry.camera import Camera


class FrameError(UserError, ValueError):
    """An image, depth image, mask or camera that do not make a frame."""


@dataclass(frozen=True)
class Frame:
    """An image with what is known about it.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        camera: its intrinsics; None where unknown (only the `mast3r` front end can do without).
        stamp: time of exposure [ns].
        frame_id: the camera's optical frame (REP-103: x right, y down, z forward).
        depth: (H, W) float32 [m], registered to the image; NaN, 0 or negative where unknown.
        mask: (H, W) bool or uint8, as OpenCV's detectors take it: pixels that are not zero are
            used. Zero covers what does not belong to the place: the robot's own body, an overlay,
            the black border of rectification. None uses the whole image.

    Raises:
        FrameError: a shape, type or size does not fit.
    """

    image: NDArray[np.uint8]
    camera: Camera | None = None
    stamp: int = 0
    frame_id: str = "camera"
    depth: NDArray[np.float32] | None = None
    mask: NDArray[np.uint8] | NDArray[np.bool_] | None = None

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
                raise FrameError(f"depth of type {self.depth.dtype}: expected float32 meters")
            if self.depth.shape != (height, width):
                raise FrameError(
                    f"depth of shape {self.depth.shape}, image is ({height}, {width}): "
                    "register the depth to the color camera first (depth_image_proc)"
                )
        if self.mask is not None:
            if self.mask.dtype not in (np.uint8, np.bool_):
                raise FrameError(f"mask of type {self.mask.dtype}: expected bool or uint8")
            if self.mask.shape != (height, width):
                raise FrameError(
                    f"mask of shape {self.mask.shape}, image is ({height}, {width}): "
                    "make the mask from an image of this camera"
                )

    @property
    def size(self) -> ImageSize:
        """Width and height [pixels]."""
        return ImageSize(self.image.shape[1], self.image.shape[0])

    @property
    def visible(self) -> NDArray[np.uint8]:
        """The image, (H, W, 3) uint8, with the mean color wherever the mask covers it.

        What is covered then changes nothing, neither in a patch that reaches across the mask's
        border nor in a network that normalizes the whole image.
        """
        if self.mask is None:
            return self.image
        used = self.mask != 0
        mean = cv2.mean(self.image, used.astype(np.uint8))[:3]
        return np.where(used[..., None], self.image, np.rint(mean).astype(np.uint8))


def read_mask(path: str | Path, size: ImageSize | None = None) -> NDArray[np.uint8]:
    """Read a mask for `Frame.mask` from an image file, such as a PNG painted black and white.

    Args:
        path: the file; `~` is the home folder. What is brighter than half of its brightest pixel
            is used, so that masks of 0 and 1, of 0 and 255, and JPEGs all work. Alpha is ignored.
        size: that of the camera's images, if already known.

    Returns:
        (H, W) uint8: 255 where the image is used, 0 where it is covered.

    Raises:
        FrameError: no file, not an image, of another size, or nothing would be used.
    """
    file = Path(path).expanduser()
    read = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if read is None:
        problem = "is not an image that OpenCV reads" if file.is_file() else "does not exist"
        raise FrameError(f"mask {file} {problem}: give a black and white PNG, black is ignored")
    values = np.asarray(read)
    if values.ndim == 3:
        values = values[..., :3].max(axis=2)
    height, width = values.shape
    if size is not None and (width, height) != tuple(size):
        raise FrameError(
            f"mask {file} is {width}x{height}, the images are {size[0]}x{size[1]}: "
            "make the mask from an image of this camera"
        )
    used = values > values.max() / 2
    if not used.any():
        raise FrameError(f"mask {file} is black: it covers the whole image; white is used")
    return np.where(used, 255, 0).astype(np.uint8)
