# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The photographs as a rosbag2, keyframes first; every image with its calibration and truth."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from mast3r_ros.demo.scenes import Scene
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose

_TYPES = get_typestore(Stores.ROS2_HUMBLE)
# As drivers and the launch file name them.
_IMAGE = "/camera/image_raw"
_CALIBRATION = "/camera/camera_info"
_DEPTH = "/camera/depth/image_raw"
_TRUTH = "/truth"
_TOPICS = {
    _IMAGE: "sensor_msgs/msg/Image",
    _CALIBRATION: "sensor_msgs/msg/CameraInfo",
    _DEPTH: "sensor_msgs/msg/Image",
    _TRUTH: "geometry_msgs/msg/PoseStamped",
}
# The node's inputs.
_INPUTS = {_IMAGE: "image", _CALIBRATION: "camera_info", _DEPTH: "depth"}


def write_bag(path: Path, scenes: Iterable[Scene]) -> None:
    """Write a bag (mcap) in the place of the one that was there.

    Topics: `/camera/image_raw`, `/camera/camera_info`, `/camera/depth/image_raw` of the keyframes,
    and `/truth`, the camera's pose.
    """
    # The name is in the bag's files.
    staging = path.with_name(path.name + ".part")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    with Writer(staging / path.name, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            topic: writer.add_connection(topic, kind, typestore=_TYPES)
            for topic, kind in _TOPICS.items()
        }

        def write(topic: str, frame: Frame, message: Any) -> None:
            data = _TYPES.serialize_cdr(message, _TOPICS[topic])
            writer.write(connections[topic], frame.stamp, data)

        queries = []
        for scene in scenes:
            _write_frame(write, scene.keyframe, scene.keyframe_pose)
            queries.append((scene.query, scene.query_pose))
        for frame, pose in queries:
            _write_frame(write, frame, pose)
    shutil.rmtree(path, ignore_errors=True)
    (staging / path.name).rename(path)
    staging.rmdir()


def play(path: Path) -> Iterator[tuple[int, dict[str, bytes]]]:
    """Each image's stamp [ns], and its messages as they were recorded, by the node's inputs."""
    with AnyReader([path]) as reader:
        messages: dict[str, bytes] = {}
        for connection, time, data in reader.messages():
            if connection.topic in _INPUTS:
                messages[_INPUTS[connection.topic]] = data
            if connection.topic == _IMAGE:
                yield time, messages
                messages = {}


def _write_frame(write: Any, frame: Frame, pose: Pose) -> None:
    header = _header(frame.stamp, frame.frame_id)
    write(_CALIBRATION, frame, _camera_info(frame, header))
    if frame.depth is not None:
        write(_DEPTH, frame, _image(frame.depth, "32FC1", header))
    write(_TRUTH, frame, _pose(pose, _header(frame.stamp, "map")))
    write(_IMAGE, frame, _image(frame.image, "rgb8", header))


def _make(kind: str, **fields: Any) -> Any:
    return _TYPES.types[kind](**fields)


def _header(stamp: int, frame_id: str) -> Any:
    seconds, rest = divmod(stamp, 1_000_000_000)
    time = _make("builtin_interfaces/msg/Time", sec=seconds, nanosec=rest)
    return _make("std_msgs/msg/Header", stamp=time, frame_id=frame_id)


def _image(pixels: NDArray[Any], encoding: str, header: Any) -> Any:
    return _make(
        "sensor_msgs/msg/Image",
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels[0].nbytes,
        data=np.frombuffer(pixels.tobytes(), np.uint8),
    )


def _camera_info(frame: Frame, header: Any) -> Any:
    assert frame.camera is not None
    matrix = frame.camera.matrix
    roi = _make(
        "sensor_msgs/msg/RegionOfInterest",
        x_offset=0,
        y_offset=0,
        height=0,
        width=0,
        do_rectify=False,
    )
    return _make(
        "sensor_msgs/msg/CameraInfo",
        header=header,
        height=frame.camera.height,
        width=frame.camera.width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=matrix.ravel(),
        r=np.eye(3).ravel(),
        p=np.column_stack([matrix, np.zeros(3)]).ravel(),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def _pose(pose: Pose, header: Any) -> Any:
    position, (x, y, z, w) = transforms.to_quaternion(pose)
    point = _make("geometry_msgs/msg/Point", **dict(zip("xyz", position.tolist(), strict=True)))
    quaternion = _make(
        "geometry_msgs/msg/Quaternion", x=float(x), y=float(y), z=float(z), w=float(w)
    )
    message = _make("geometry_msgs/msg/Pose", position=point, orientation=quaternion)
    return _make("geometry_msgs/msg/PoseStamped", header=header, pose=message)
