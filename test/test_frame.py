# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What does not make a frame is named."""

import numpy as np
import pytest

from mast3r_ros.frame import Frame, FrameError
from mast3r_ros.geometry.camera import Camera

_IMAGE = np.zeros((48, 64, 3), np.uint8)
_CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)


def test_a_whole_frame():
    frame = Frame(_IMAGE, _CAMERA, 5, "optical", np.ones((48, 64), np.float32))

    assert frame.size == (64, 48)


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
