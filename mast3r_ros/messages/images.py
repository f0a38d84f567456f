# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Image messages to arrays and back.

Reading them needs no ROS: messages of rosbags will do.
"""

from __future__ import annotations

import array
import functools
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.messages.compressed import compressed_size as compressed_size
from mast3r_ros.messages.compressed import decompress as decompress
from mast3r_ros.messages.compressed import decompress_depth as decompress_depth
from mast3r_ros.messages.samples import BAYER, check_size, to_eight_bits
from mast3r_ros.messages.samples import ImageError as ImageError

if TYPE_CHECKING:
    from sensor_msgs.msg import Image

# Encoding: (type of a sample, samples a pixel, OpenCV's conversion to RGB). Drivers write these
# names in either case; no two of them differ in it alone.
_COLOR: dict[str, tuple[str, int, int | None]] = {
    "rgb8": ("u1", 3, None),
    "bgr8": ("u1", 3, cv2.COLOR_BGR2RGB),
    "8uc3": ("u1", 3, cv2.COLOR_BGR2RGB),
    "rgba8": ("u1", 4, cv2.COLOR_RGBA2RGB),
    "bgra8": ("u1", 4, cv2.COLOR_BGRA2RGB),
    "8uc4": ("u1", 4, cv2.COLOR_BGRA2RGB),
    "mono8": ("u1", 1, cv2.COLOR_GRAY2RGB),
    "8uc1": ("u1", 1, cv2.COLOR_GRAY2RGB),
    "rgb16": ("u2", 3, None),
    "bgr16": ("u2", 3, cv2.COLOR_BGR2RGB),
    "rgba16": ("u2", 4, cv2.COLOR_RGBA2RGB),
    "bgra16": ("u2", 4, cv2.COLOR_BGRA2RGB),
    "mono16": ("u2", 1, cv2.COLOR_GRAY2RGB),
    "16uc1": ("u2", 1, cv2.COLOR_GRAY2RGB),
    "yuv422": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuy2": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
}
for _pattern, _code in BAYER.items():
    _COLOR[f"{_pattern}8"] = ("u1", 1, _code)
    _COLOR[f"{_pattern}16"] = ("u2", 1, _code)
# Luminance in full size, then color in rows of half the height.
_PLANAR = {"nv21": cv2.COLOR_YUV2RGB_NV21, "nv12": cv2.COLOR_YUV2RGB_NV12}
# Type of a sample and its length in meters.
_DEPTH = {"16uc1": ("u2", 1e-3), "mono16": ("u2", 1e-3), "32fc1": ("f4", 1.0)}


def _samples(message: Image, kind: str, channels: int, rows: int) -> NDArray[Any]:
    """(rows, width, channels) view of the message's bytes, whatever the padding of its rows."""
    dtype = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    needed = message.width * channels * dtype.itemsize
    if message.step < needed:
        raise ImageError(
            f"step {message.step} of a {message.width} pixels wide '{message.encoding}' image: "
            f"a row takes at least {needed} bytes"
        )
    total = message.step * (rows - 1) + needed
    if len(message.data) < total:
        raise ImageError(
            f"{len(message.data)} bytes of data for {rows} rows of {message.step} bytes: "
            f"the image needs {total}"
        )
    strides = (message.step, channels * dtype.itemsize, dtype.itemsize)
    return np.ndarray((rows, message.width, channels), dtype, message.data, strides=strides)


def to_rgb(message: Image, max_megapixels: float) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a message; `rgb8` is not copied.

    Raises:
        ImageError: the encoding is not known, or size, step and data do not go together.
    """
    check_size(message.width, message.height, max_megapixels)
    encoding = message.encoding.lower()
    if encoding in _PLANAR:
        if message.width % 2 or message.height % 2:
            raise ImageError(
                f"'{message.encoding}' image of {message.width}x{message.height} pixels: "
                "both must be even"
            )
        samples = _samples(message, "u1", 1, message.height * 3 // 2)
        return np.asarray(cv2.cvtColor(samples, _PLANAR[encoding]), np.uint8)
    if encoding not in _COLOR:
        return _by_cv_bridge(message)
    kind, channels, code = _COLOR[encoding]
    if channels == 2 and message.width % 2:
        raise ImageError(f"'{message.encoding}' image {message.width} pixels wide: must be even")
    samples = _samples(message, kind, channels, message.height)
    if kind == "u2":
        samples = to_eight_bits(samples)
    image = samples if code is None else cv2.cvtColor(samples, code)
    return np.asarray(image, np.uint8)


def _names(*encodings: str) -> str:
    """Encodings as ROS writes them."""
    return ", ".join(e.upper() if e[0].isdigit() else e for e in encodings)


@functools.cache
def _cv_bridge() -> Any:
    """cv_bridge's converter, made once; None where it is not installed."""
    try:
        import cv_bridge
    except ImportError:
        return None
    return cv_bridge.CvBridge()


def _by_cv_bridge(message: Image) -> NDArray[np.uint8]:
    """What this file does not know, cv_bridge may."""
    known = f"encoding '{message.encoding}': known are {_names(*_COLOR, *_PLANAR)}"
    bridge = _cv_bridge()
    if bridge is None:
        raise ImageError(known)
    try:
        return np.asarray(bridge.imgmsg_to_cv2(message, "rgb8"), np.uint8)
    except Exception as error:  # cv_bridge lets OpenCV's and its own through
        raise ImageError(f"{known}; cv_bridge: {error}") from error


def to_depth(message: Image, max_megapixels: float) -> NDArray[np.float32]:
    """(H, W) float32 [m] of a depth image.

    Raises:
        ImageError: not a depth encoding, or size, step and data do not go together.
    """
    check_size(message.width, message.height, max_megapixels)
    encoding = message.encoding.lower()
    if encoding not in _DEPTH:
        raise ImageError(f"depth with encoding '{message.encoding}': expected {_names(*_DEPTH)}")
    kind, unit = _DEPTH[encoding]
    samples = _samples(message, kind, 1, message.height)[..., 0]
    if unit == 1.0:
        return np.asarray(samples, np.float32)
    return np.asarray(samples * np.float32(unit), np.float32)


def from_rgb(image: NDArray[np.uint8], header: Any) -> Image:
    """An `rgb8` message of an (H, W, 3) image."""
    from sensor_msgs.msg import Image

    height, width = image.shape[:2]
    message = Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width)
    message.data = array.array("B", image.tobytes())
    return message
