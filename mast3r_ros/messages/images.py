# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Image messages to arrays and back.

Reading them needs no ROS: messages of rosbags will do.
"""

from __future__ import annotations

import array
import struct
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.errors import UserError

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image


class ImageError(UserError, ValueError):
    """An image message that cannot be used."""


# Encoding: (type of a sample, samples a pixel, OpenCV's conversion to RGB).
_COLOR: dict[str, tuple[str, int, int | None]] = {
    "rgb8": ("u1", 3, None),
    "bgr8": ("u1", 3, cv2.COLOR_BGR2RGB),
    "8UC3": ("u1", 3, cv2.COLOR_BGR2RGB),
    "rgba8": ("u1", 4, cv2.COLOR_RGBA2RGB),
    "bgra8": ("u1", 4, cv2.COLOR_BGRA2RGB),
    "8UC4": ("u1", 4, cv2.COLOR_BGRA2RGB),
    "mono8": ("u1", 1, cv2.COLOR_GRAY2RGB),
    "8UC1": ("u1", 1, cv2.COLOR_GRAY2RGB),
    "rgb16": ("u2", 3, None),
    "bgr16": ("u2", 3, cv2.COLOR_BGR2RGB),
    "rgba16": ("u2", 4, cv2.COLOR_RGBA2RGB),
    "bgra16": ("u2", 4, cv2.COLOR_BGRA2RGB),
    "mono16": ("u2", 1, cv2.COLOR_GRAY2RGB),
    "16UC1": ("u2", 1, cv2.COLOR_GRAY2RGB),
    "yuv422": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
}
# The letters are the first two rows' colors.
for _pattern in ("rggb", "bggr", "gbrg", "grbg"):
    _code = getattr(cv2, f"COLOR_Bayer{_pattern.upper()}2RGB")
    _COLOR[f"bayer_{_pattern}8"] = ("u1", 1, _code)
    _COLOR[f"bayer_{_pattern}16"] = ("u2", 1, _code)
# Luminance in full size, then color in rows of half the height.
_PLANAR = {"nv21": cv2.COLOR_YUV2RGB_NV21, "nv12": cv2.COLOR_YUV2RGB_NV12}
# Type of a sample and its length in metres.
_DEPTH = {"16UC1": ("u2", 1e-3), "mono16": ("u2", 1e-3), "32FC1": ("f4", 1.0)}


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


def _check_size(width: int, height: int, max_megapixels: float) -> None:
    if width == 0 or height == 0:
        raise ImageError(f"empty image of {width}x{height} pixels")
    if width * height > max_megapixels * 1e6:
        raise ImageError(
            f"image of {width}x{height} pixels: larger than `max_megapixels`, {max_megapixels:g}; "
            "publish smaller images, or raise the limit"
        )


def to_rgb(message: Image, max_megapixels: float) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a message; `rgb8` is not copied.

    Raises:
        ImageError: the encoding is not known, or size, step and data do not go together.
    """
    _check_size(message.width, message.height, max_megapixels)
    if message.encoding in _PLANAR:
        if message.width % 2 or message.height % 2:
            raise ImageError(
                f"'{message.encoding}' image of {message.width}x{message.height} pixels: "
                "both must be even"
            )
        samples = _samples(message, "u1", 1, message.height * 3 // 2)
        return np.asarray(cv2.cvtColor(samples, _PLANAR[message.encoding]), np.uint8)
    if message.encoding not in _COLOR:
        return _by_cv_bridge(message)
    kind, channels, code = _COLOR[message.encoding]
    if channels == 2 and message.width % 2:
        raise ImageError(f"'{message.encoding}' image {message.width} pixels wide: must be even")
    samples = _samples(message, kind, channels, message.height)
    if kind == "u2":
        samples = (samples >> 8).astype(np.uint8)
    image = samples if code is None else cv2.cvtColor(samples, code)
    return np.asarray(image, np.uint8)


def _by_cv_bridge(message: Image) -> NDArray[np.uint8]:
    """What this file does not know, cv_bridge may."""
    known = f"encoding '{message.encoding}': known are {', '.join([*_COLOR, *_PLANAR])}"
    try:
        import cv_bridge
    except ImportError:
        raise ImageError(known) from None
    try:
        return np.asarray(cv_bridge.CvBridge().imgmsg_to_cv2(message, "rgb8"), np.uint8)
    except Exception as error:  # cv_bridge lets OpenCV's and its own through
        raise ImageError(f"{known}; cv_bridge: {error}") from error


def decompress(message: CompressedImage, max_megapixels: float) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a JPEG or PNG.

    Raises:
        ImageError: neither of them, damaged, or too large: told before it is decoded.
    """
    data = np.frombuffer(message.data, np.uint8)
    _check_size(*_compressed_size(data.tobytes()), max_megapixels)
    # The camera is calibrated for the pixels as they are stored: no turning by EXIF.
    image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise ImageError(f"damaged {message.format or 'compressed'} image of {len(data)} bytes")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _compressed_size(data: bytes) -> tuple[int, int]:
    """(width, height) from the header of a JPEG or PNG."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    if data[:2] != b"\xff\xd8":
        raise ImageError(f"compressed image of {len(data)} bytes is neither a JPEG nor a PNG")
    if b"\xff\xd9" not in data[-1024:]:
        raise ImageError(f"JPEG of {len(data)} bytes has no end: it was cut off")
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise ImageError(f"JPEG of {len(data)} bytes has no header that tells its size")


def to_depth(message: Image, max_megapixels: float) -> NDArray[np.float32]:
    """(H, W) float32 [m] of a depth image.

    Raises:
        ImageError: not a depth encoding, or size, step and data do not go together.
    """
    _check_size(message.width, message.height, max_megapixels)
    if message.encoding not in _DEPTH:
        raise ImageError(f"depth with encoding '{message.encoding}': expected {', '.join(_DEPTH)}")
    kind, unit = _DEPTH[message.encoding]
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
