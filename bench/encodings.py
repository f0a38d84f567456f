# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Every encoding of image messages against OpenCV's conversion: `python -m bench encodings`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.messages import images
from mast3r_ros.messages.samples import BAYER

_HEIGHT, _WIDTH = 480, 640
# Encoding: samples a pixel and OpenCV's conversion. Of planes, rows over the height.
_PACKED: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, cv2.COLOR_GRAY2RGB),
    "8UC3": (3, cv2.COLOR_BGR2RGB),
    "8UC4": (4, cv2.COLOR_BGRA2RGB),
    "uyvy": (2, cv2.COLOR_YUV2RGB_UYVY),
    "yuyv": (2, cv2.COLOR_YUV2RGB_YUY2),
    "yuy2": (2, cv2.COLOR_YUV2RGB_YUY2),
    "yuv422": (2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2RGB_YUY2),
    **{f"{name}8": (1, code) for name, code in BAYER.items()},
    "rgb16": (3, None),
    "bgr16": (3, cv2.COLOR_BGR2RGB),
    "rgba16": (4, cv2.COLOR_RGBA2RGB),
    "bgra16": (4, cv2.COLOR_BGRA2RGB),
    "mono16": (1, cv2.COLOR_GRAY2RGB),
    "16UC1": (1, cv2.COLOR_GRAY2RGB),
    **{f"{name}16": (1, code) for name, code in BAYER.items()},
    "nv12": (1, cv2.COLOR_YUV2RGB_NV12),
    "nv21": (1, cv2.COLOR_YUV2RGB_NV21),
}
_LAYOUTS = ("tight", "padded rows", "big-endian")


def _message(pixels: NDArray[Any], encoding: str, layout: str) -> Any:
    big = layout == "big-endian"
    stored = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")))
    rows = stored.view(np.uint8).reshape(stored.shape[0], -1)
    if layout == "padded rows":
        rows = np.pad(rows, ((0, 0), (0, 62)), constant_values=99)
    return SimpleNamespace(
        data=rows.tobytes(),
        height=_HEIGHT,
        width=_WIDTH,
        encoding=encoding,
        is_bigendian=big,
        step=rows.shape[1],
    )


def compare(encoding: str, layout: str) -> int:
    """Largest difference of a sample from OpenCV's, of a random picture, in [0, 255]."""
    channels, code = _PACKED[encoding]
    rows = _HEIGHT * 3 // 2 if encoding.startswith("nv") else _HEIGHT
    shape = (rows, _WIDTH, channels) if channels > 1 else (rows, _WIDTH)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    expected = pixels if code is None else cv2.cvtColor(pixels, code)
    wide = "16" in encoding
    stored = pixels.astype(np.uint16) << 8 if wide else pixels
    found = images.to_rgb(_message(stored, encoding, layout), max_megapixels=1.0)
    return int(np.abs(found.astype(int) - expected).max())


def main() -> None:
    """Print a table."""
    print(f"| encoding | {' | '.join(_LAYOUTS)} |")
    print("|---" * (1 + len(_LAYOUTS)) + "|")
    for encoding in _PACKED:
        print(f"| `{encoding}` | {' | '.join(str(compare(encoding, x)) for x in _LAYOUTS)} |")
