# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a camera in front of the textured wall of `synthetic` sends."""

from __future__ import annotations

import array

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from synthetic import FOCAL, HEIGHT, WIDTH, camera_pose, render

FRAME = "camera_optical"


def header(stamp: float) -> Header:
    """A header of the camera's frame at a stamp [s]."""
    nanoseconds = round(stamp * 1e9)
    time = Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
    return Header(stamp=time, frame_id=FRAME)


def image_message(image: np.ndarray, stamp: float, encoding: str = "rgb8") -> Image:
    """A message of an image or depth image of any type."""
    message = Image(header=header(stamp), height=image.shape[0], width=image.shape[1])
    message.encoding = encoding
    message.step = image.strides[0]
    message.data = array.array("B", image.tobytes())
    return message


def jpeg_message(image: np.ndarray, stamp: float) -> CompressedImage:
    """A JPEG message of an RGB image."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return CompressedImage(header=header(stamp), format="jpeg", data=array.array("B", bytes(data)))


def calibration(stamp: float, width: int = WIDTH, height: int = HEIGHT) -> CameraInfo:
    """The camera's CameraInfo."""
    focal = FOCAL * width / WIDTH
    message = CameraInfo(header=header(stamp), width=width, height=height)
    message.distortion_model = "plumb_bob"
    message.k = [focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0]
    message.p = [
        *message.k[:3], 0.0,
        *message.k[3:6], 0.0,
        *message.k[6:], 0.0,
    ]  # fmt: skip
    return message


__all__ = [
    "FRAME",
    "HEIGHT",
    "WIDTH",
    "calibration",
    "camera_pose",
    "header",
    "image_message",
    "jpeg_message",
    "render",
]
