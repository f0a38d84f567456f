# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A textured wall, and what a camera in front of it sees: images, depth and truth."""

from __future__ import annotations

import array

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from mast3r_ros.geometry import transforms

WIDTH, HEIGHT, FOCAL = 320, 240, 300.0
FRAME = "camera_optical"
_WALL = 2.0  # [m] in front of the map's origin, across its z axis
_SCALE = 200.0  # texture pixels a metre


def _make_texture() -> np.ndarray:
    """(800, 800, 3) of blobs of all sizes."""
    random = np.random.default_rng(7)
    texture = np.zeros((800, 800, 3), np.float32)
    for side in (20, 50, 100, 200, 400):
        noise = random.uniform(0, 1, (side, side, 3)).astype(np.float32)
        texture += cv2.resize(noise, (800, 800), interpolation=cv2.INTER_CUBIC)
    low, high = texture.min(), texture.max()
    return np.uint8((texture - low) / (high - low) * 255)


_TEXTURE = _make_texture()


def camera_pose(x: float = 0.0, y: float = 0.0, z: float = 0.0, turn: float = 0.0) -> np.ndarray:
    """map <- camera, looking at the wall, turned about its vertical [m, rad]."""
    return transforms.make(transforms.rotation_from_vector([0.0, turn, 0.0]), [x, y, z])


def render(pose: np.ndarray, width: int = WIDTH, height: int = HEIGHT):
    """RGB image and depth [m] from a pose."""
    focal = FOCAL * width / WIDTH
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    rays = np.stack(
        [(u - (width - 1) / 2) / focal, (v - (height - 1) / 2) / focal, np.ones_like(u)], -1
    )
    directions = rays @ pose[:3, :3].T
    depth = (_WALL - pose[2, 3]) / directions[..., 2]
    hit = directions * depth[..., None] + pose[:3, 3]
    where = (hit[..., :2] * _SCALE + 400).astype(np.float32)
    image = cv2.remap(
        _TEXTURE, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return image, depth.astype(np.float32)


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
