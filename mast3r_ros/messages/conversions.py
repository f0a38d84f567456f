# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Small things between ROS messages and the core: stamps, poses, cameras.

Reading messages needs no ROS: those of rosbags will do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.calibration import Calibration
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time
    from geometry_msgs.msg import Pose as PoseMessage
    from geometry_msgs.msg import Transform, TransformStamped
    from sensor_msgs.msg import CameraInfo

# Ways in which image_transport sends images: the last part of the topic's name.
TRANSPORTS = ("compressed", "zstd", "theora", "ffmpeg")


def to_nanoseconds(stamp: Time) -> int:
    """A stamp in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def to_stamp(nanoseconds: int) -> Time:
    """Nanoseconds as a stamp."""
    from builtin_interfaces.msg import Time

    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def to_pose(message: PoseMessage) -> Pose:
    """(4, 4) of a pose message.

    Raises:
        ValueError: not finite, or a quaternion without direction.
    """
    p, q = message.position, message.orientation
    return transforms.from_quaternion([p.x, p.y, p.z], [q.x, q.y, q.z, q.w])


def from_pose(pose: Pose) -> PoseMessage:
    """The message of a (4, 4) pose."""
    from geometry_msgs.msg import Pose as PoseMessage

    message = PoseMessage()
    _fill(message.position, message.orientation, pose)
    return message


def to_transform(pose: Pose) -> Transform:
    """The transform message of a (4, 4) pose."""
    from geometry_msgs.msg import Transform

    message = Transform()
    _fill(message.translation, message.rotation, pose)
    return message


def joins_frames(message: TransformStamped) -> bool:
    """Whether a transform is between two frames, as tf2 demands."""
    parent, child = (
        str(name).lstrip("/") for name in (message.header.frame_id, message.child_frame_id)
    )
    return bool(parent) and bool(child) and parent != child


def from_transform(message: Transform) -> Pose:
    """(4, 4) of a transform message.

    Raises:
        ValueError: as `to_pose`.
    """
    t, q = message.translation, message.rotation
    return transforms.from_quaternion([t.x, t.y, t.z], [q.x, q.y, q.z, q.w])


def _fill(vector: Any, quaternion: Any, pose: Pose) -> None:
    translation, xyzw = transforms.to_quaternion(pose)
    vector.x, vector.y, vector.z = translation.tolist()
    quaternion.x, quaternion.y, quaternion.z, quaternion.w = xyzw.tolist()


def to_covariance(values: Any) -> NDArray[np.float64]:
    """(6, 6) of a message's 36 values.

    Raises:
        ValueError: not finite, or a negative variance.
    """
    covariance = np.asarray(values, np.float64).reshape(6, 6)
    if not np.isfinite(covariance).all() or (np.diag(covariance) < 0).any():
        raise ValueError(f"covariance {covariance.ravel().tolist()}: not finite, or negative")
    return covariance


def is_rectified(topic: str) -> bool:
    """Whether images are rectified by their topic's name, as image_proc has it: image_rect..."""
    head, _, last = topic.rpartition("/")
    return (head.rpartition("/")[2] if last in TRANSPORTS else last).startswith("image_rect")


def to_camera(message: CameraInfo, rectified: bool) -> Camera:
    """The camera of the images that a CameraInfo belongs to, its binning and window applied.

    Args:
        message: the calibration.
        rectified: whether the images are rectified, so that P holds and there is no distortion.

    Raises:
        CameraError: it describes no camera.
    """
    window = message.roi
    found = Calibration(
        int(message.width),
        int(message.height),
        tuple(map(float, message.k)),
        tuple(map(float, message.d)),
        message.distortion_model,
        tuple(map(float, message.p)),
        (int(message.binning_x), int(message.binning_y)),
        (int(window.x_offset), int(window.y_offset), int(window.width), int(window.height)),
    )
    return Camera.from_calibration(found, rectified)
