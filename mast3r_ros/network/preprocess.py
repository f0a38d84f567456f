# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From a camera image to the network's input, and the way back to the image's own pixels.

The network sees an image whose long side is `config.image_size`, cropped about its center to whole
patches. Poses are solved in the original image with the original intrinsics: every match is moved
back by `NetworkImage.to_original` first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mast3r_ros.common.errors import UserError
from mast3r_ros.common.size import ImageSize
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.pixels import PixelTransform
from mast3r_ros.network.config import MAST3RConfig
from mast3r_ros.network.rays import ray_channels

_PUBLISHED = MAST3RConfig()


class ImageError(UserError, ValueError):
    """An image that the network cannot see."""


@dataclass(frozen=True)
class NetworkImage:
    """An image as the network takes it.

    Attributes:
        values: (3, H, W) float32, RGB in [-1, 1]; (5, H, W) with the rays, where the network takes
            them.
        transform: from pixels of the original image to pixels of this one.
    """

    values: NDArray[np.float32]
    transform: PixelTransform

    @property
    def size(self) -> ImageSize:
        """What the network sees."""
        return ImageSize.of(self.values.shape[1:])

    @property
    def to_original(self) -> PixelTransform:
        """From pixels of this image to pixels of the original one."""
        return self.transform.inverse()


def network_size(size: ImageSize, config: MAST3RConfig = _PUBLISHED) -> ImageSize:
    """The size that an image of `size` has in the network."""
    return _crop(_resized(size, config.image_size), config.patch_size)[1]


def preprocess(
    image: NDArray[np.uint8], config: MAST3RConfig = _PUBLISHED, camera: Camera | None = None
) -> NetworkImage:
    """Resize and crop an image as its network was trained to see it.

    Args:
        image: (H, W, 3) uint8, RGB.
        config: the network's sizes.
        camera: the image's; only a network that takes rays needs it.

    Raises:
        ImageError: one so narrow that not one patch is left of it, or no camera for a network that
            takes rays.
        ValueError: not such an array.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(
            f"image of shape {image.shape} and type {image.dtype}: (H, W, 3) uint8 RGB is needed"
        )
    if config.rays and camera is None:
        raise ImageError("this network sees the rays of the camera: give the image's intrinsics")
    size = ImageSize.of(image.shape)
    resized_size = _resized(size, config.image_size)
    patch = config.patch_size
    (left, top), kept = _crop(resized_size, patch)
    if min(kept) < patch:
        raise ImageError(
            f"image of {size} px becomes {resized_size} px, less than one patch of {patch} px "
            "on a side: it is too narrow for the network"
        )
    shrinking = max(size) > config.image_size
    resampling = Image.Resampling.LANCZOS if shrinking else Image.Resampling.BICUBIC
    resized = Image.fromarray(image).resize(resized_size, resampling)
    pixels = np.asarray(resized)[top : top + kept.height, left : left + kept.width]
    resize = PixelTransform.resize(size, resized_size)
    transform = resize.then(PixelTransform.crop(left, top))
    seen_by = camera if config.rays else None
    return NetworkImage(network_channels(pixels, seen_by, transform.inverse()), transform)


def network_channels(
    pixels: NDArray[np.uint8], camera: Camera | None, to_original: PixelTransform
) -> NDArray[np.float32]:
    """(H, W, 3) pixels of the network's size -> (C, H, W): RGB in [-1, 1], and rays.

    Args:
        pixels: uint8, RGB.
        camera: of the original image; None for a network that takes no rays.
        to_original: from these pixels to the original image's.
    """
    channels = [((pixels.astype(np.float32) / 255 - 0.5) / 0.5).transpose(2, 0, 1)]
    if camera is not None:
        channels.append(ray_channels(camera, to_original, ImageSize.of(pixels.shape)))
    return np.concatenate(channels)


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """An image file as (H, W, 3) uint8 RGB, turned upright as its EXIF orientation says."""
    with Image.open(path) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def _resized(size: ImageSize, long_side: int) -> ImageSize:
    long = max(size)
    return ImageSize(*(round(side * long_side / long) for side in size))


def _crop(size: ImageSize, patch: int) -> tuple[tuple[int, int], ImageSize]:
    """The centered window of whole patches: its left and top, and its size."""
    half_width, half_height = ((2 * (side // 2)) // patch * (patch // 2) for side in size)
    if size.height == size.width:
        # A square becomes 4:3, the shape that training saw.
        half_height = 3 * half_width // 4 // (patch // 2) * (patch // 2)
    corner = size.width // 2 - half_width, size.height // 2 - half_height
    return corner, ImageSize(2 * half_width, 2 * half_height)
