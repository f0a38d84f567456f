# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What does not make a frame is named."""

import cv2
import numpy as np
import pytest

from mast3r_ros.common.size import ImageSize
from mast3r_ros.frame import Frame, FrameError, read_mask
from mast3r_ros.geometry.camera import Camera

_IMAGE = np.zeros((48, 64, 3), np.uint8)
_CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)


def test_a_whole_frame():
    frame = Frame(_IMAGE, _CAMERA, 5, "optical", np.ones((48, 64), np.float32))

    assert frame.size == ImageSize(width=64, height=48)


def test_only_the_image_is_needed():
    frame = Frame(_IMAGE)

    assert (frame.camera, frame.depth, frame.stamp) == (None, None, 0)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((48, 64, 3), np.float32),
        np.zeros((0, 64, 3), np.uint8),
    ],
)
def test_other_images_are_refused(image):
    with pytest.raises(FrameError, match=r"expected \(height, width, 3\) uint8"):
        Frame(image)


def test_the_camera_of_another_size_is_refused():
    with pytest.raises(FrameError, match=r"calibrated for 128x96, image is 64x48.*resized"):
        Frame(_IMAGE, _CAMERA.resized(128, 96))


@pytest.mark.parametrize(
    ("depth", "said"),
    [
        (np.ones((48, 64), np.uint16), "uint16: expected float32"),
        (np.ones((24, 32), np.float32), r"\(24, 32\), image is \(48, 64\): register"),
        (np.ones((48, 64, 1), np.float32), "register"),
    ],
)
def test_other_depth_is_refused(depth, said):
    with pytest.raises(FrameError, match=said):
        Frame(_IMAGE, _CAMERA, depth=depth)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.ones((48, 64), np.float32), "mask of type float32: expected bool or uint8"),
        (np.ones((64, 48), bool), r"mask of shape \(64, 48\), image is \(48, 64\)"),
        (np.ones((48, 64, 3), np.uint8), r"mask of shape \(48, 64, 3\)"),
    ],
)
def test_other_masks_are_refused(mask, said):
    with pytest.raises(FrameError, match=said):
        Frame(_IMAGE, mask=mask)


def _painted(path, values, used=255):
    """A file whose lower third is covered."""
    values[:32] = used
    assert cv2.imwrite(str(path), values)
    return path


@pytest.mark.parametrize(
    ("name", "values", "used"),
    [
        ("gray.png", np.zeros((48, 64), np.uint8), 255),
        ("labels.png", np.zeros((48, 64), np.uint8), 1),
        ("deep.png", np.zeros((48, 64), np.uint16), 3),
        ("color.png", np.zeros((48, 64, 3), np.uint8), (0, 0, 200)),
        ("alpha.png", np.full((48, 64, 4), (0, 0, 0, 255), np.uint8), 255),
        ("lossy.jpg", np.zeros((48, 64), np.uint8), 255),
    ],
)
def test_masks_are_read_from_files(tmp_path, name, values, used):
    mask = read_mask(_painted(tmp_path / name, values, used), ImageSize(64, 48))

    assert mask.dtype == np.uint8
    assert (mask[:32] == 255).all()
    assert (mask[32:] == 0).all()
    assert Frame(_IMAGE, mask=mask).mask is mask


def test_the_home_folder_of_a_mask(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    _painted(tmp_path / "mask.png", np.zeros((48, 64), np.uint8))

    assert read_mask("~/mask.png").shape == (48, 64)


def test_masks_that_do_not_fit_are_named(tmp_path):
    whole = _painted(tmp_path / "mask.png", np.zeros((48, 64), np.uint8))
    black = _painted(tmp_path / "black.png", np.zeros((48, 64), np.uint8), 0)
    (tmp_path / "text.png").write_text("hello")

    with pytest.raises(FrameError, match=r"mask\.png is 64x48, the images are 640x480"):
        read_mask(whole, ImageSize(640, 480))
    with pytest.raises(FrameError, match=r"black\.png is black: it covers the whole image"):
        read_mask(black)
    with pytest.raises(FrameError, match=r"text\.png is not an image that OpenCV reads"):
        read_mask(tmp_path / "text.png")
    with pytest.raises(FrameError, match=r"none\.png does not exist"):
        read_mask(tmp_path / "none.png")


def test_what_is_visible_has_the_mean_color_where_it_is_covered():
    image = _IMAGE.copy()
    image[:10], image[10:20], image[20:] = (10, 20, 30), (20, 40, 60), (255, 0, 9)
    mask = np.zeros(image.shape[:2], bool)
    mask[:20] = True

    visible = Frame(image, mask=mask).visible

    np.testing.assert_array_equal(visible[:20], image[:20])
    assert (visible[20:] == (15, 30, 45)).all()
    assert Frame(image).visible is image
    assert (Frame(image, mask=np.zeros_like(mask)).visible == 0).all()
