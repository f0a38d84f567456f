# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Compressed depth, sample depths, mosaics and the habits of cameras, from bytes to arrays."""

import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from compressed_depth import rvl_bytes
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mast3r_ros.datasets.images import read_rgb
from mast3r_ros.messages import images, rvl
from mast3r_ros.messages.compressed import image_size
from mast3r_ros.messages.samples import BAYER, ImageError

LIMIT = 24.0


def _compressed(data, form="jpeg"):
    return SimpleNamespace(data=np.frombuffer(data, np.uint8), format=form)


def _raw(pixels, encoding, big_endian=False):
    pixels = np.ascontiguousarray(pixels)
    return SimpleNamespace(
        data=pixels.tobytes(), height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
        is_bigendian=big_endian, step=pixels[0].nbytes,
    )  # fmt: skip


def _scene():
    """(48, 64, 3) RGB, smooth, with all colors."""
    y, x = np.mgrid[:48, :64]
    return np.dstack([4 * x, 5 * y, 255 - 2 * (x + y)]).clip(0, 255).astype(np.uint8)


# ---- depth ------------------------------------------------------------------------------------
@given(arrays(np.uint16, st.integers(1, 60), elements=st.sampled_from([0, 0, 1, 700, 65535])))
def test_rvl_is_that_of_the_paper(pixels):
    np.testing.assert_array_equal(rvl.decompress(rvl_bytes(pixels), len(pixels)), pixels)


def test_rvl_of_known_bytes():
    # 1 zero; 2 others: 5 (zigzag 10: nibbles 10, 1), 4 (-1: zigzag 1).
    data = bytes.fromhex("12a11000")[::-1]

    np.testing.assert_array_equal(rvl.decompress(data, 3), [0, 5, 4])


@pytest.mark.parametrize("data", [b"", bytes(4), b"\xff" * 64, rvl_bytes(np.ones(3, np.uint16))])
def test_rvl_that_does_not_fill_the_image_is_told(data):
    with pytest.raises(ValueError, match=r"^its? "):
        rvl.decompress(data, 1000)


def _depth():
    depth = np.linspace(0.5, 6.0, 48 * 64).reshape(48, 64)
    depth[10:20, 10:20] = 0
    return depth


@pytest.mark.parametrize("kind", ["png", "rvl"])
def test_compressed_depth_in_millimeters(kind):
    millimeters = np.rint(_depth() * 1000).astype(np.uint16)
    body = bytes(cv2.imencode(".png", millimeters)[1])
    if kind == "rvl":
        body = struct.pack("<II", 64, 48) + rvl_bytes(millimeters)
    data = struct.pack("<iff", 1, 0, 0) + body

    for form in (f"16UC1; compressedDepth {kind}", f"16uc1; compresseddepth {kind}"):
        found = images.decompress_depth(_compressed(data, form), LIMIT)

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, millimeters / 1000, rtol=1e-6)


@pytest.mark.parametrize("kind", ["png", "rvl"])
def test_compressed_depth_in_meters_is_quantized_by_its_inverse(kind):
    quantization, farthest = 100.0, 10.0
    a = quantization * (quantization + 1)
    b = 1 - a / farthest
    depth = _depth()
    depth[0, 0] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where((depth > 0) & (depth < farthest), a / depth + b, 0).astype(np.uint16)
    body = bytes(cv2.imencode(".png", inverse)[1])
    if kind == "rvl":
        body = struct.pack("<II", 64, 48) + rvl_bytes(inverse)
    data = struct.pack("<iff", 1, a, b) + body

    found = images.decompress_depth(_compressed(data, f"32FC1; compressedDepth {kind}"), LIMIT)

    known = depth > 0
    # One step of the inverse is d^2 / a.
    assert (np.abs(found - depth)[known] <= depth[known] ** 2 / a * 1.01).all()
    assert np.isnan(found[~known]).all()


def test_a_plain_png_is_depth_in_millimeters():
    millimeters = np.rint(_depth() * 1000).astype(np.uint16)
    message = _compressed(bytes(cv2.imencode(".png", millimeters)[1]), "16UC1; png compressed ")

    np.testing.assert_allclose(images.decompress_depth(message, LIMIT), millimeters / 1000, 1e-6)


@pytest.mark.parametrize(
    ("data", "form", "said"),
    [
        (b"", "16UC1; compressedDepth", "too short"),
        (bytes(12) + struct.pack("<II", 10**6, 10**6), "16UC1; compressedDepth rvl", "max_mega"),
        (bytes(12) + struct.pack("<II", 64, 48) + b"\xff" * 8, "16UC1", "32 bits|ends|number"),
        (bytes(12) + bytes(cv2.imencode(".png", _scene())[1]), "16UC1", "must be 16-bit"),
        (bytes(12) + bytes(cv2.imencode(".png", np.ones((9, 9), np.uint16))[1]), "32FC1", "quanti"),
    ],
)
def test_what_is_no_compressed_depth(data, form, said):
    with pytest.raises(ImageError, match=said):
        images.decompress_depth(_compressed(data, form), LIMIT)


def test_depth_is_no_picture():
    with pytest.raises(ImageError, match="give it as depth"):
        images.decompress(_compressed(b"", "16UC1; compressedDepth png"), LIMIT)


# ---- sample depths ----------------------------------------------------------------------------
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("encoding", ["mono16", "bayer_rggb16", "rgb16"])
def test_samples_are_scaled_by_their_real_range(bits, encoding):
    eight = _scene() if encoding == "rgb16" else _scene()[..., 0]
    wide = (eight.astype(np.float64) * ((1 << bits) - 1) / 255).astype("<u2")

    found = images.to_rgb(_raw(wide, encoding), LIMIT)

    code = BAYER["bayer_rggb"] if "bayer" in encoding else cv2.COLOR_GRAY2RGB
    expected = eight if encoding == "rgb16" else cv2.cvtColor(eight, code)
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_narrow_range_as_of_a_thermal_camera_is_stretched():
    kelvin = (29_000 + 2 * _scene()[..., 0].astype(np.uint16)).astype("<u2")

    found = images.to_rgb(_raw(kelvin, "mono16"), LIMIT)

    assert len(np.unique(found)) > 50
    assert found.max() - found.min() == 255
    flat = images.to_rgb(_raw(np.full((9, 9), 40_000, "<u2"), "mono16"), LIMIT)
    np.testing.assert_array_equal(flat, 40_000 >> 8)


def test_a_png_of_12_bits_is_scaled_too():
    wide = (_scene()[..., 0].astype(np.uint32) * 4095 // 255).astype(np.uint16)

    found = images.decompress(_compressed(bytes(cv2.imencode(".png", wide)[1]), "mono16"), LIMIT)

    assert np.abs(found[..., 0].astype(int) - _scene()[..., 0]).max() <= 1


# ---- encodings against OpenCV -----------------------------------------------------------------
_CARD = np.kron(
    np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8),
    np.ones((8, 8, 1), np.uint8),
)
_GRAY = cv2.cvtColor(_CARD, cv2.COLOR_RGB2GRAY)
_PLANES = cv2.cvtColor(_CARD, cv2.COLOR_RGB2YUV_I420)
_NV12 = np.vstack(
    [
        _PLANES[:64],
        np.dstack([_PLANES[64:80].reshape(32, 48), _PLANES[80:].reshape(32, 48)]).reshape(32, 96),
    ]
)
_PACKED = np.random.default_rng(1).integers(0, 256, (64, 96, 2)).astype(np.uint8)


@pytest.mark.parametrize(
    ("encoding", "pixels", "code"),
    [
        ("rgb8", _CARD, None),
        ("bgr8", _CARD, cv2.COLOR_BGR2RGB),
        ("rgba8", np.dstack([_CARD, _GRAY]), cv2.COLOR_RGBA2RGB),
        ("bgra8", np.dstack([_CARD, _GRAY]), cv2.COLOR_BGRA2RGB),
        ("mono8", _GRAY, cv2.COLOR_GRAY2RGB),
        ("8UC1", _GRAY, cv2.COLOR_GRAY2RGB),
        ("16UC1", _GRAY.astype("<u2") << 8, cv2.COLOR_GRAY2RGB),
        ("mono16", _GRAY.astype("<u2") << 8, cv2.COLOR_GRAY2RGB),
        ("nv12", _NV12, cv2.COLOR_YUV2RGB_NV12),
        ("nv21", _NV12, cv2.COLOR_YUV2RGB_NV21),
        ("yuyv", _PACKED, cv2.COLOR_YUV2RGB_YUY2),
        ("yuv422_yuy2", _PACKED, cv2.COLOR_YUV2RGB_YUY2),
        ("uyvy", _PACKED, cv2.COLOR_YUV2RGB_UYVY),
        ("yuv422", _PACKED, cv2.COLOR_YUV2RGB_UYVY),
        ("RGB8", _CARD, None),
        ("BGRA8", np.dstack([_CARD, _GRAY]), cv2.COLOR_BGRA2RGB),
        ("Mono16", _GRAY.astype("<u2") << 8, cv2.COLOR_GRAY2RGB),
        ("8uc1", _GRAY, cv2.COLOR_GRAY2RGB),
        ("NV12", _NV12, cv2.COLOR_YUV2RGB_NV12),
        ("YUYV", _PACKED, cv2.COLOR_YUV2RGB_YUY2),
        ("YUY2", _PACKED, cv2.COLOR_YUV2RGB_YUY2),
        *((f"{name}8", _GRAY, code) for name, code in BAYER.items()),
        *((f"{name}16", _GRAY.astype("<u2") << 8, code) for name, code in BAYER.items()),
    ],
)
@pytest.mark.parametrize("layout", ["tight", "padded", "big-endian"])
def test_encodings_are_those_of_opencv(encoding, pixels, code, layout):
    eight = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    expected = eight if code is None else cv2.cvtColor(eight, code)
    message = _raw(pixels, encoding, layout == "big-endian")
    if layout == "big-endian":
        message.data = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    if layout == "padded":
        rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
        rows = np.pad(rows, ((0, 0), (0, 6)), constant_values=99)
        message.data, message.step = rows.tobytes(), rows.shape[1]
    message.height = 64

    np.testing.assert_array_equal(images.to_rgb(message, LIMIT), expected)


# ---- compressed images as cameras send them ---------------------------------------------------
def _encode(suffix, *flags):
    return bytes(cv2.imencode(suffix, _scene()[..., ::-1], flags)[1])


_JPEG = _encode(".jpg")


@pytest.mark.parametrize(
    "data",
    [
        _JPEG + bytes(512),
        _JPEG + bytes(65536),
        bytes(4) + _JPEG,
        _JPEG[:-2] + b"\xff\xff\xff\xd9",
        _JPEG + b"\xff\xd9",
        _JPEG[:2] + b"\xff\xe0\x00\x10AVI1" + bytes(10) + _JPEG[2:],
        _encode(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        _encode(".webp"),
        _encode(".tiff"),
        _encode(".bmp"),
        _encode(".png"),
    ],
)
def test_images_as_cameras_send_them(data):
    found = images.decompress(_compressed(data), LIMIT)

    assert np.abs(found.astype(int) - _scene()).mean() < 4


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".bmp"])
def test_the_size_is_read_from_the_header(suffix):
    assert image_size(_encode(suffix)) == (64, 48)


def test_a_jpeg_that_ends_inside_a_thumbnail_was_cut_off():
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + 40) + bytes(38) + b"\xff\xd9"
    data = (_JPEG[:2] + thumbnail + _JPEG[2:])[: len(_JPEG) // 2 + 60]

    with pytest.raises(ImageError, match="cut off"):
        images.decompress(_compressed(data), LIMIT)


@pytest.mark.parametrize("name", BAYER)
def test_a_mosaic_in_a_jpeg_becomes_color(name):
    scene = np.full((48, 64, 3), (200, 100, 50), np.uint8)
    mosaic = np.empty((48, 64), np.uint8)
    for i, letter in enumerate(name.removeprefix("bayer_")):
        row, column = divmod(i, 2)
        mosaic[row::2, column::2] = scene[row::2, column::2, "rgb".index(letter)]
    data = bytes(cv2.imencode(".png", mosaic)[1])

    found = images.decompress(_compressed(data, f"{name}8; jpeg compressed "), LIMIT)
    gray = images.decompress(_compressed(data, "mono8; jpeg compressed mono8"), LIMIT)

    np.testing.assert_array_equal(found[8:-8, 8:-8], scene[8:-8, 8:-8])
    assert (gray[..., 0] == gray[..., 2]).all()


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_pixels_are_taken_as_they_are_stored_whatever_exif_says(tmp_path, orientation):
    """The calibration is of the pixels as they are stored; files and messages are alike."""
    tiff = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    data = _JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + _JPEG[2:]
    (tmp_path / "turned.jpg").write_bytes(data)

    from_file, plain = (
        read_rgb(tmp_path / "turned.jpg"),
        images.decompress(_compressed(_JPEG), LIMIT),
    )

    np.testing.assert_array_equal(from_file, plain)
    np.testing.assert_array_equal(images.decompress(_compressed(data), LIMIT), plain)
    turned = images.decompress(_compressed(_tiff(orientation)), LIMIT)
    np.testing.assert_array_equal(turned, _scene())


def _tiff(orientation):
    """A TIFF with one tag more, in a new list of tags behind its pixels."""
    data = bytearray(_encode(".tiff"))
    order = "<" if data[:1] == b"I" else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    entries = [bytes(data[i : i + 12]) for i in range(at + 2, at + 2 + 12 * count, 12)]
    entries.append(struct.pack(f"{order}HHIHH", 274, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack_from(f"{order}H", entry))
    struct.pack_into(f"{order}I", data, 4, len(data))
    return bytes(data) + struct.pack(f"{order}H", count + 1) + b"".join(entries) + bytes(4)
