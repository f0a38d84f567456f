# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bookkeeping of resizes and crops: from a processed image back to the original pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class PixelTransform:
    """`new = scale * old + offset`, axis by axis, with pixel centers at integers.

    Attributes:
        scale: (x, y), new pixels per old pixel.
        offset: (x, y) [new pixels].
    """

    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    @staticmethod
    def resize(old_size: tuple[int, int], new_size: tuple[int, int]) -> PixelTransform:
        """The resize of a whole image from (width, height) to (width, height).

        Image borders, not pixel centers, are what a resize keeps in place: hence the half pixels.
        """
        sx, sy = new_size[0] / old_size[0], new_size[1] / old_size[1]
        return PixelTransform((sx, sy), (0.5 * sx - 0.5, 0.5 * sy - 0.5))

    @staticmethod
    def crop(left: float, top: float) -> PixelTransform:
        """The crop that makes pixel (left, top) the new origin."""
        return PixelTransform((1.0, 1.0), (-float(left), -float(top)))

    def then(self, after: PixelTransform) -> PixelTransform:
        """This transform followed by another."""
        (ax, ay), (bx, by) = self.scale, after.scale
        (px, py), (qx, qy) = self.offset, after.offset
        return PixelTransform((ax * bx, ay * by), (px * bx + qx, py * by + qy))

    def inverse(self) -> PixelTransform:
        """The way back."""
        (sx, sy), (ox, oy) = self.scale, self.offset
        return PixelTransform((1.0 / sx, 1.0 / sy), (-ox / sx, -oy / sy))

    def apply(self, pixels: ArrayLike) -> NDArray[np.float64]:
        """Map (..., 2) pixels of the old image to the new one."""
        return np.asarray(pixels, np.float64) * self.scale + self.offset
