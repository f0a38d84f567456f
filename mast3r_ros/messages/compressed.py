# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Compressed images and depth images, of messages and of files.

Sizes are read from the headers, so that a damaged or hostile image is refused before memory is
allocated. Images are not turned by EXIF: cameras are calibrated for the pixels as they are stored.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.messages import rvl
from mast3r_ros.messages.samples import ImageError, check_size, to_rgb

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*")
# Tags of a TIFF: its sides, and how a viewer should turn it.
_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274
# compressed_depth_image_transport: a format number, and two floats for depth in meters.
_DEPTH_HEADER = struct.Struct("<iff")
# Pixels in a byte of the emptiest JPEG or PNG: deflate makes 1 of 1032 bytes, of 8 pixels each.
_MOST_PER_BYTE = 10_000
_MILLIMETER = np.float32(1e-3)


def decompress(message: CompressedImage, max_megapixels: float) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a compressed image; a mosaic, as its format says, becomes color.

    Raises:
        ImageError: no image, damaged, or too large.
    """
    _check_not_depth(message)
    encoding, _, target = str(message.format).lower().partition(";")
    # image_transport names what it converted to behind `compressed`; a mosaic is left as it is.
    mosaic = encoding.strip()[: len("bayer_rggb")] if "8" not in target else ""
    return to_rgb(decode(bytes(message.data), max_megapixels), mosaic)


def compressed_size(message: CompressedImage) -> ImageSize:
    """The size of a compressed image, from its header.

    Raises:
        ImageError: it has none that is known.
    """
    _check_not_depth(message)
    return image_size(bytes(message.data).lstrip(b"\0"))


def _check_not_depth(message: CompressedImage) -> None:
    if "compresseddepth" in str(message.format).lower():
        raise ImageError(f"'{message.format}' is a depth image: give it as depth")


def decode(data: bytes, max_megapixels: float) -> NDArray[Any]:
    """Pixels as they are stored: (H, W) or (H, W, channels), BGR, of 8 or 16 bits.

    Raises:
        ImageError: no image, damaged, or too large.
    """
    # Buffers of cameras may begin with zeros.
    data = data.lstrip(b"\0")
    size = image_size(data)
    check_size(*size, max_megapixels)
    if size.width * size.height > _MOST_PER_BYTE * len(data) and data[8:12] != b"WEBP":
        raise ImageError(f"damaged image: {len(data)} bytes cannot hold its {size} pixels")
    if data.startswith(_PNG):
        _check_png(data)
    elif data[:4] in _TIFF:
        data = _not_turned(data)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"damaged image of {len(data)} bytes: {error}") from error
    if pixels is None:
        raise ImageError(f"damaged image of {len(data)} bytes: look at its driver, or record anew")
    check_size(pixels.shape[1], pixels.shape[0], max_megapixels)
    return np.asarray(pixels)


def decompress_depth(message: CompressedImage, max_megapixels: float) -> NDArray[np.float32]:
    """(H, W) float32 [m] of a message of compressed_depth_image_transport, PNG or RVL.

    Raises:
        ImageError: no such message, damaged, or too large.
    """
    data, encoding = bytes(message.data), str(message.format).lower().partition(";")[0].strip()
    if data.startswith(_PNG):  # plain PNG of another publisher
        data = bytes(_DEPTH_HEADER.size) + data
    if len(data) < _DEPTH_HEADER.size + 8:
        raise ImageError(f"compressed depth of {len(data)} bytes is too short")
    _, a, b = _DEPTH_HEADER.unpack_from(data)
    data = data[_DEPTH_HEADER.size :]
    if data.startswith(_PNG):
        raw = decode(data, max_megapixels)
    else:
        width, height = struct.unpack_from("<II", data)
        check_size(width, height, max_megapixels)
        try:
            raw = rvl.decompress(data[8:], width * height).reshape(height, width)
        except ValueError as error:
            raise ImageError(f"'{message.format}' of {len(data)} bytes: {error}") from error
    if raw.dtype != np.uint16 or raw.ndim != 2:
        raise ImageError(f"'{message.format}': depth must be 16-bit, one channel")
    if encoding != "32fc1":
        return np.asarray(raw * _MILLIMETER, np.float32)
    if not (np.isfinite([a, b]).all() and a > 0):
        raise ImageError(f"'{message.format}': its header has no quantization, but {a}, {b}")
    with np.errstate(divide="ignore"):
        depth = np.float32(a) / (raw.astype(np.float32) - np.float32(b))
    return np.where(raw == 0, np.float32(np.nan), depth)


def image_size(data: bytes) -> ImageSize:
    """The size of an image from the header of its file.

    Raises:
        ImageError: it is none of the known formats, or cut off.
    """
    try:
        if data.startswith(_PNG):
            return ImageSize(*struct.unpack(">II", data[16:24]))
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", data, 18)
            return ImageSize(width, abs(height))
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data[:4] in _TIFF:
            return _tiff_size(data)
    except (struct.error, IndexError) as error:
        raise ImageError(f"image of {len(data)} bytes was cut off in its header") from error
    raise ImageError(
        f"compressed image of {len(data)} bytes is neither a JPEG nor a PNG, WebP, TIFF or BMP: "
        "publish it as one of these, or raw"
    )


def _check_png(data: bytes) -> None:
    """Check that all chunks lie within the data: decoders allocate what their lengths say.

    Raises:
        ImageError: one does not, or there is no end.
    """
    at = len(_PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if kind == b"IEND":
            return
    raise ImageError(f"damaged PNG of {len(data)} bytes: it has no end")


def _jpeg_size(data: bytes) -> ImageSize:
    at, size = 2, None
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xFF:  # fill bytes
            at += 1
        elif marker == 0xDA:  # start of scan: pixels, until the end of the image
            break
        else:
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
                height, width = struct.unpack_from(">HH", data, at + 5)
                size = ImageSize(width, height)
            # Markers without contents have no length.
            alone = marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD9
            at += 2 if alone else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    if size is None:
        raise ImageError(f"JPEG of {len(data)} bytes has no header that tells its size")
    if b"\xff\xd9" not in data[at:]:
        raise ImageError(
            f"JPEG of {len(data)} bytes has no end: it was cut off; give the driver a larger "
            "buffer, or take smaller images"
        )
    return size


def _webp_size(data: bytes) -> ImageSize:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageSize(width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return ImageSize((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    wide, high = data[24:27], data[27:30]
    if len(high) < 3:
        raise IndexError
    return ImageSize(int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1)


def _tiff_size(data: bytes) -> ImageSize:
    values = {tag: struct.unpack_from(form, data, at)[0] for tag, form, at in _tiff_values(data)}
    if not {_WIDTH, _HEIGHT} <= set(values):
        raise IndexError
    return ImageSize(values[_WIDTH], values[_HEIGHT])


def _tiff_values(data: bytes) -> Iterator[tuple[int, str, int]]:
    """Tag, struct's format and place of each value of the first image."""
    order = "<" if data[:1] == b"I" else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        yield tag, f"{order}{'H' if kind == 3 else 'I'}", entry + 8


def _not_turned(data: bytes) -> bytes:
    """A TIFF whose pixels OpenCV gives as they are stored: it heeds the orientation in no flag."""
    changed = bytearray(data)
    for tag, form, at in _tiff_values(data):
        if tag == _ORIENTATION:
            struct.pack_into(form, changed, at, 1)
    return bytes(changed)
