# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Image messages to arrays: every encoding, and every way in which they do not add up."""

import array
import struct
import zlib

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from sensor_msgs.msg import CompressedImage, Image

from mast3r_ros.messages import images
from mast3r_ros.messages.images import ImageError

pytestmark = pytest.mark.ros
LIMIT = 24.0


def _message(array_, encoding, width, height, step=None, big_endian=False):
    message = Image(height=height, width=width, encoding=encoding, is_bigendian=big_endian)
    message.step = array_.nbytes // array_.shape[0] if step is None else step
    message.data = array.array("B", array_.tobytes())
    return message


def _scene():
    """(12, 16, 3): four quarters in saturated colors, so that no two channels can be mistaken."""
    image = np.zeros((12, 16, 3), np.uint8)
    image[:6, :8] = (255, 0, 0)
    image[:6, 8:] = (0, 255, 0)
    image[6:, :8] = (0, 0, 255)
    image[6:, 8:] = (200, 100, 50)
    return image


def _near(image, scene, tolerance):
    """Compares the quarters' middles: chroma and mosaics blur their borders."""
    for rows in (slice(2, 4), slice(8, 10)):
        for columns in (slice(3, 5), slice(11, 13)):
            np.testing.assert_allclose(
                image[rows, columns].astype(int), scene[rows, columns], atol=tolerance
            )


def test_rgb8_is_seen_in_place():
    scene = _scene()
    message = _message(scene, "rgb8", 16, 12)

    image = images.to_rgb(message, LIMIT)

    np.testing.assert_array_equal(image, scene)
    assert np.shares_memory(image, np.frombuffer(message.data, np.uint8))


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "8UC3", "rgba8", "bgra8", "8UC4"])
@pytest.mark.parametrize("padding", [0, 5])
def test_color_in_any_order_and_padding(encoding, padding):
    scene = _scene()
    order = [2, 1, 0] if encoding[0] in "b8" else [0, 1, 2]
    pixels = scene[..., order]
    if encoding in ("rgba8", "bgra8", "8UC4"):
        pixels = np.dstack([pixels, np.full((12, 16), 255, np.uint8)])
    rows = np.pad(pixels.reshape(12, -1), ((0, 0), (0, padding)), constant_values=77)

    image = images.to_rgb(_message(rows, encoding, 16, 12), LIMIT)

    np.testing.assert_array_equal(image, scene)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1", "mono16", "16UC1"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_gray(encoding, big_endian):
    gray = np.arange(192, dtype=np.uint8).reshape(12, 16)
    wide = gray.astype(">u2" if big_endian else "<u2") * 257
    pixels = wide if "16" in encoding else gray
    pixels = pixels.astype(pixels.dtype, copy=False)

    image = images.to_rgb(_message(pixels, encoding, 16, 12, big_endian=big_endian), LIMIT)

    np.testing.assert_array_equal(image, np.dstack([gray] * 3))


@pytest.mark.parametrize("encoding", ["rgb16", "bgr16", "rgba16", "bgra16"])
def test_sixteen_bit_color(encoding):
    scene = _scene()
    pixels = scene[..., ::-1] if encoding[0] == "b" else scene
    if "a16" in encoding:
        pixels = np.dstack([pixels, np.full((12, 16), 255, np.uint8)])
    wide = (pixels.astype(np.uint16) * 257).astype("<u2")

    np.testing.assert_array_equal(images.to_rgb(_message(wide, encoding, 16, 12), LIMIT), scene)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer_letters_name_the_first_two_rows(pattern, bits):
    scene = _scene()
    mosaic = np.empty((12, 16), np.uint8)
    for i, letter in enumerate(pattern):
        row, column = divmod(i, 2)
        mosaic[row::2, column::2] = scene[row::2, column::2, "rgb".index(letter)]
    pixels = mosaic if bits == 8 else (mosaic.astype(np.uint16) * 257).astype("<u2")

    image = images.to_rgb(_message(pixels, f"bayer_{pattern}{bits}", 16, 12), LIMIT)

    _near(image, scene, 2)


def _yuv(scene):
    """Full-size planes in OpenCV's (BT.601, limited range) convention."""
    r, g, b = (scene[..., i].astype(float) for i in range(3))
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u = 128 - 0.148 * r - 0.291 * g + 0.439 * b
    v = 128 + 0.439 * r - 0.368 * g - 0.071 * b
    return (np.uint8(np.rint(p)) for p in (y, u, v))


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv"])
def test_packed_yuv(encoding):
    scene = _scene()
    y, u, v = _yuv(scene)
    first = 1 if encoding in ("yuv422", "uyvy") else 0
    packed = np.empty((12, 16, 2), np.uint8)
    packed[..., first] = y
    packed[:, ::2, 1 - first], packed[:, 1::2, 1 - first] = u[:, ::2], v[:, ::2]

    image = images.to_rgb(_message(packed, encoding, 16, 12), LIMIT)

    _near(image, scene, 4)


@pytest.mark.parametrize("encoding", ["nv21", "nv12"])
def test_planar_yuv(encoding):
    scene = _scene()
    y, u, v = _yuv(scene)
    color = np.empty((6, 16), np.uint8)
    first = encoding == "nv21"
    color[:, int(first) :: 2], color[:, int(not first) :: 2] = u[::2, ::2], v[::2, ::2]
    planes = np.vstack([y, color])

    _near(images.to_rgb(_message(planes, encoding, 16, 12), LIMIT), scene, 4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"encoding": "secret7"}, "encoding 'secret7': known are rgb8"),
        ({"encoding": ""}, "encoding ''"),
        ({"step": 47}, "step 47"),
        ({"step": 0}, "step 0"),
        ({"step": 4800}, "the image needs"),
        ({"height": 13}, "the image needs"),
        ({"data": array.array("B")}, "0 bytes of data"),
        ({"width": 0}, "empty image of 0x12"),
        ({"height": 0}, "empty image of 16x0"),
        ({"height": 7000, "width": 7200}, "max_megapixels"),
        ({"encoding": "yuyv", "width": 15}, "must be even"),
        ({"encoding": "nv21", "height": 11}, "must be even"),
    ],
)
def test_messages_that_do_not_add_up(changes, told):
    message = _message(_scene(), "rgb8", 16, 12)
    for name, value in changes.items():
        setattr(message, name, value)

    with pytest.raises(ImageError, match=told):
        images.to_rgb(message, LIMIT)


def test_a_last_row_without_padding_is_enough():
    scene = _scene()
    rows = np.pad(scene.reshape(12, -1), ((0, 0), (0, 5)))
    message = _message(rows, "rgb8", 16, 12)
    message.data = message.data[:-5]

    np.testing.assert_array_equal(images.to_rgb(message, LIMIT), scene)


def test_cv_bridge_is_asked_for_what_is_not_known(monkeypatch):
    import sys
    from types import SimpleNamespace

    made = []

    class Bridge:
        def __init__(self):
            made.append(self)

        def imgmsg_to_cv2(self, message, encoding):
            assert (message.encoding, encoding) == ("secret7", "rgb8")
            if message.width == 1:
                raise RuntimeError("not even I")
            return _scene()

    monkeypatch.setitem(sys.modules, "cv_bridge", SimpleNamespace(CvBridge=Bridge))
    images._cv_bridge.cache_clear()
    message = Image(height=12, width=16, encoding="secret7")

    np.testing.assert_array_equal(images.to_rgb(message, LIMIT), _scene())
    message.width = 1
    with pytest.raises(ImageError, match="not even I"):
        images.to_rgb(message, LIMIT)
    assert len(made) == 1
    images._cv_bridge.cache_clear()


def _encode(kind, image):
    return bytes(cv2.imencode(kind, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])


def _compressed(data):
    return CompressedImage(format="test", data=array.array("B", data))


@pytest.mark.parametrize(("kind", "tolerance"), [(".png", 0), (".jpg", 40)])
def test_compressed(kind, tolerance):
    image = images.decompress(_compressed(_encode(kind, _scene())), LIMIT)

    _near(image, _scene(), tolerance)


def test_gray_jpeg_becomes_rgb():
    data = bytes(cv2.imencode(".jpg", np.full((12, 16), 90, np.uint8))[1])

    assert images.decompress(_compressed(data), LIMIT).shape == (12, 16, 3)


def test_exif_does_not_turn_the_image():
    tiff = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    app1 = b"Exif\0\0" + tiff
    data = _encode(".jpg", _scene())
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + data[2:]

    assert images.decompress(_compressed(data), LIMIT).shape == (12, 16, 3)


def _png_header(width, height):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


_JPEG = _encode(".jpg", _scene())


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "neither a JPEG nor a PNG"),
        (b"garbage" * 100, "neither a JPEG nor a PNG"),
        (b"\xff\xd8\xff\xd9", "no header"),
        (b"\xff\xd8" + bytes(200) + b"\xff\xd9", "no header"),
        (_JPEG[: len(_JPEG) // 2], "cut off"),
        (_JPEG[:170] + bytes(len(_JPEG) - 172) + b"\xff\xd9", "damaged|no header"),
        (_png_header(60_000, 60_000), "max_megapixels"),
        (_png_header(16, 12), "damaged"),
    ],
)
def test_what_is_no_picture(data, told):
    with pytest.raises(ImageError, match=told):
        images.decompress(_compressed(data), LIMIT)


def test_a_jpeg_bomb_is_refused_by_its_header():
    at = _JPEG.index(b"\xff\xc0")
    data = _JPEG[: at + 5] + struct.pack(">HH", 60_000, 60_000) + _JPEG[at + 9 :]

    with pytest.raises(ImageError, match="60000x60000"):
        images.decompress(_compressed(data), LIMIT)


def test_a_header_with_more_pixels_than_the_data_can_hold_is_refused():
    data = _encode(".png", _scene())
    data = data[:16] + struct.pack(">II", 4000, 4000) + data[24:]

    with pytest.raises(ImageError, match="bytes cannot hold its 4000x4000 pixels"):
        images.decompress(_compressed(data), LIMIT)


def test_fill_bytes_before_a_marker_are_skipped():
    at = _JPEG.index(b"\xff\xc0")

    assert images.decompress(_compressed(_JPEG[:at] + b"\xff" + _JPEG[at:]), LIMIT).shape[1] == 16


def test_depth_in_millimeters_and_meters():
    millimeters = np.array([[0, 1000], [2500, 65535]], "<u2")
    meters = np.array([[np.nan, 1.0], [2.5, np.inf]], "<f4")

    a = images.to_depth(_message(millimeters, "16uc1", 2, 2), LIMIT)
    b = images.to_depth(_message(meters, "32FC1", 2, 2), LIMIT)
    c = images.to_depth(_message(meters.astype(">f4"), "32FC1", 2, 2, big_endian=True), LIMIT)

    assert a.dtype == b.dtype == c.dtype == np.float32
    np.testing.assert_allclose(a, [[0, 1], [2.5, 65.535]])
    np.testing.assert_array_equal(b, meters)
    np.testing.assert_array_equal(c, meters)


def test_depth_of_another_encoding():
    with pytest.raises(
        ImageError, match="depth with encoding 'rgb8': expected 16UC1, mono16, 32FC1"
    ):
        images.to_depth(_message(_scene(), "rgb8", 16, 12), LIMIT)


def test_back_to_a_message():
    from std_msgs.msg import Header

    message = images.from_rgb(_scene(), Header(frame_id="camera"))

    np.testing.assert_array_equal(images.to_rgb(message, LIMIT), _scene())
    assert message.header.frame_id == "camera"
