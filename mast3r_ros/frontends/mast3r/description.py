# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the front end `mast3r` keeps of an image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import Encoded
from mast3r_ros.frontends.base import Description, require_array
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.pixels import PixelTransform
from mast3r_ros.network.config import MAST3RConfig
from mast3r_ros.network.preprocess import network_size


@dataclass(frozen=True)
class Mast3rDescription(Description):
    """What a keyframe keeps of an image.

    Attributes:
        tokens: (N, C) float16, the encoder's output.
        size: (2,) int64, (width, height) of the image that the network saw [pixels].
        to_original: (4,) float64, scale and offset (x, y, x, y) from its pixels to the original's.
        measured: (height, width, 3) float16 [m], points at the network's pixels in the camera's
            frame, of a depth sensor or triangulated, NaN where unknown; (0, 0, 3) without any.
        depth_sigma: (height, width) float16, relative deviation of their depths, NaN likewise;
            (0, 0) without any.
        camera: () the original image's camera as JSON, empty where it is unknown.
        detail: (n height, n width, 3) uint8, what the network saw, n times as fine, for matching
            from coarse to fine; (0, 0, 3) where that is off or the image is too small.
        used: (height, width) bool, the frame's mask at the network's pixels; (0, 0) without one.
    """

    tokens: NDArray[np.float16]
    size: NDArray[np.int64]
    to_original: NDArray[np.float64]
    measured: NDArray[np.float16]
    depth_sigma: NDArray[np.float16]
    camera: NDArray[np.str_]
    detail: NDArray[np.uint8]
    used: NDArray[np.bool_]

    def check(self, config: MAST3RConfig, size: tuple[int, int]) -> None:
        """Raise ValueError where it is not that of an image of (width, height) pixels.

        Args:
            config: of the network that described it.
            size: of the original image.
        """
        require_array(self.size, "size", np.int64, (2,))
        expected = network_size(ImageSize(*size), config)
        if self.network_size != expected:
            raise ValueError(f"size {self.size}: the network sees {size} as {expected}")
        (width, height), (rows, columns) = expected, config.grid(expected)
        require_array(self.tokens, "tokens", np.float16, (rows * columns, config.encoder_width))
        require_array(self.to_original, "to_original", np.float64, (4,))
        for name, array, kind, empty, whole in (
            ("measured", self.measured, np.float16, (0, 0, 3), (height, width, 3)),
            ("depth_sigma", self.depth_sigma, np.float16, (0, 0), (height, width)),
            ("used", self.used, np.bool_, (0, 0), (height, width)),
        ):
            require_array(array, name, kind, whole if array.size else empty)
        known = np.isfinite(self.measured).all(-1)
        if known.shape != self.depth_sigma.shape or not (self.depth_sigma[known] > 0).all():
            raise ValueError("depth_sigma: a point that is known needs a deviation above 0")
        times = max(len(self.detail) // height, 1)
        finer = (times * height, times * width, 3) if self.detail.size else (0, 0, 3)
        require_array(self.detail, "detail", np.uint8, finer)
        finite = np.isfinite(self.tokens).all() and np.isfinite(self.to_original).all()
        if not finite or not (self.to_original[:2] > 0).all():
            raise ValueError("tokens and to_original: all must be finite, and scales positive")
        camera = self.intrinsics
        if camera is not None and (camera.width, camera.height) != size:
            raise ValueError(
                f"camera of {camera.width}x{camera.height}, the image's size is {size}"
            )

    def uses(self, pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(N,) whether the mask leaves pixels (N, 2) of the network's image."""
        if not self.used.size:
            return np.ones(len(pixels), bool)
        column, row = np.rint(pixels).astype(int).T
        height, width = self.used.shape
        row, column = np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
        return np.asarray(self.used[row, column])

    @property
    def encoded(self) -> Encoded:
        """For the engine."""
        return Encoded(self.tokens, self.network_size)

    @property
    def network_size(self) -> ImageSize:
        """Of the image that the network saw."""
        return ImageSize(*map(int, self.size))

    @property
    def transform(self) -> PixelTransform:
        """From the network's pixels to the original's."""
        sx, sy, ox, oy = (float(value) for value in self.to_original)
        return PixelTransform((sx, sy), (ox, oy))

    @cached_property
    def intrinsics(self) -> Camera | None:
        """The original image's camera, where it is known."""
        if not str(self.camera):
            return None
        return Camera.from_dict(json.loads(str(self.camera)))
