# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What raw and compressed images have in common: sizes, sample depths, mosaics."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.errors import UserError


class ImageError(UserError, ValueError):
    """An image message or file that cannot be used."""


# OpenCV's conversions of mosaics to RGB. The letters are the first two rows' colors.
BAYER: dict[str, int] = {
    f"bayer_{pattern}": getattr(cv2, f"COLOR_Bayer{pattern.upper()}2RGB")
    for pattern in ("rggb", "bggr", "gbrg", "grbg")
}
# Sample depths of cameras [bits]; many drivers do not shift 10 and 12 bits up to 16.
_BITS = (8, 10, 12, 14, 16)
# Contrast is stretched where nearly all samples lie within this fraction of the range, as those of
# thermal cameras do; all is the middle of the values, without a few outliers [percent].
_NARROW, _OUTLIERS, _LEAST_LEVELS = 1 / 8, 0.5, 16
_PROBED = 20_000


def check_size(width: int, height: int, max_megapixels: float) -> None:
    """Check an image's size before memory is allocated for it.

    Raises:
        ImageError: it is empty, or too large.
    """
    if width <= 0 or height <= 0:
        raise ImageError(f"empty image of {width}x{height} pixels")
    if width * height > max_megapixels * 1e6:
        raise ImageError(
            f"image of {width}x{height} pixels: larger than `max_megapixels`, {max_megapixels:g}; "
            "publish smaller images, or raise the limit"
        )


def to_eight_bits(samples: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """16-bit samples as 8 bits, by the range that they really have.

    The range is that of the fewest bits, of 8, 10, 12, 14 and 16, which hold all samples.
    """
    highest = int(samples.max())
    bits = next(b for b in _BITS if highest < 1 << b)
    low, high = 0.0, float((1 << bits) - 1)
    probe = samples.ravel()[:: max(1, samples.size // _PROBED)]
    first, last = np.percentile(probe, [_OUTLIERS, 100.0 - _OUTLIERS])
    if bits > 8 and _LEAST_LEVELS <= last - first < _NARROW * high:
        low, high = float(first), float(last)
    elif bits == 16:
        return np.asarray(samples >> 8, np.uint8)
    scaled = (samples.astype(np.float32) - np.float32(low)) * np.float32(255.0 / (high - low))
    return np.asarray(np.rint(np.clip(scaled, 0.0, 255.0)), np.uint8)


def to_rgb(pixels: NDArray[Any], mosaic: str = "") -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of pixels as OpenCV reads files: gray, BGR or BGRA, of 8 or 16 bits.

    Args:
        pixels: (H, W) or (H, W, channels).
        mosaic: `bayer_rggb` and the like, where gray pixels are a mosaic.

    Raises:
        ImageError: neither of these.
    """
    if pixels.dtype == np.uint16:
        pixels = to_eight_bits(pixels)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if pixels.dtype != np.uint8 or channels not in (1, 3, 4):
        raise ImageError(f"image of {channels} channels of type {pixels.dtype}: not a photograph")
    code = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}[channels]
    if channels == 1 and mosaic in BAYER:
        code = BAYER[mosaic]
    return np.asarray(cv2.cvtColor(pixels, code), np.uint8)
