# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bags as recordings: rosbag2, sqlite3 or mcap, read without ROS (by rosbags)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.typesys import Stores, get_typestore

from mast3r_ros.datasets.dataset import Dataset
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.datasets.summary import WITHOUT_POSE, RecordingError
from mast3r_ros.frame import Frame
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.frame_tree import TfBuffer, TransformError
from mast3r_ros.messages import conversions, images

_IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_POSES = {
    "geometry_msgs/msg/PoseStamped": lambda m: m.pose,
    "geometry_msgs/msg/PoseWithCovarianceStamped": lambda m: m.pose.pose,
    "nav_msgs/msg/Odometry": lambda m: m.pose.pose,
}
# Depth of an image is what was taken within so much of it [ns].
_MAX_DIFFERENCE = 20_000_000
# What is recorded has been taken; no image is too large to be read.
_NO_LIMIT = float("inf")
# Bags of ROS before Iron do not tell how their messages are made.
_TYPES = get_typestore(Stores.ROS2_HUMBLE)


class Bag(Dataset):
    """The images of a bag whose true poses it tells.

    Poses come from TF, or from a topic of PoseStamped, PoseWithCovarianceStamped or Odometry. They
    are those of the camera, unless the message (Odometry) or `pose_frame` names another frame that
    TF connects with it. Between two poses is interpolated.
    """

    def __init__(self, path: Path, options: SourceOptions) -> None:
        """Open a bag and read what belongs to its images.

        Raises:
            RecordingError: not a bag, or a topic is missing.
            CameraError: a calibration describes no camera.
        """
        super().__init__(str(path), options)
        image_topic, depth_topic, pose_topic = (
            options.image_topic,
            options.depth_topic,
            options.pose_topic,
        )
        camera_file = options.camera
        self._path, self._map_frame = path, options.map_frame
        self._truth = TfBuffer(kept=float("inf"))
        # The frame to look up: that of each image, or what a pose topic without names speaks of.
        self._source: str | None = None
        self._cameras: list[tuple[int, Camera]] = []
        self._depth_times: list[tuple[int, int]] = []
        with self._open() as reader:
            self._image = _find(reader, image_topic, _IMAGES, path)
            self._depth = depth_topic and _find(reader, depth_topic, _IMAGES[:1], path)
            self.summary.images = sum(
                c.msgcount for c in reader.connections if c.topic == self._image
            )
            if pose_topic is not None:
                _find(reader, pose_topic, tuple(_POSES), path)
            if camera_file is not None:
                self._cameras.append((0, Camera.from_yaml(camera_file)))
            else:
                self._read_calibrations(reader)
            self._read_truth(reader, pose_topic, options.pose_frame)
            if self._depth:
                for _, time, message in _messages(reader, self._depth):
                    self._depth_times.append((_stamp(message), time))
                self._depth_times.sort()

    def __len__(self) -> int:
        """How many images there are, with and without a pose."""
        return self.summary.images

    def __iter__(self) -> Iterator[PosedImage]:
        """All images, in the order in which they were recorded."""
        with self._open() as reader:
            for kind, _, message in _messages(reader, self._image):
                stamp, frame_id = _stamp(message), message.header.frame_id
                source = frame_id if self._source is None else self._source
                name, pose = f"{stamp / 1e9:.3f}", None
                try:
                    pose = self._truth.find(self._map_frame, source, stamp)
                except TransformError as error:
                    self.summary.note(WITHOUT_POSE, name, str(error))
                load = partial(self._load, reader, kind, message)
                yield PosedImage(name, pose, load, stamp, self.summary)

    @contextmanager
    def _open(self) -> Iterator[AnyReader]:
        try:
            with AnyReader([self._path], default_typestore=_TYPES) as reader:
                yield reader
        except (AnyReaderError, OSError) as error:
            raise RecordingError(f"{self._path} is not a bag that can be read: {error}") from error

    def _load(self, reader: AnyReader, kind: str, message: Any, with_depth: bool) -> Frame:
        convert = images.to_rgb if kind == _IMAGES[0] else images.decompress
        stamp = _stamp(message)
        return Frame(
            convert(message, _NO_LIMIT),
            self._camera_at(stamp),
            stamp,
            message.header.frame_id or "camera",
            self._depth_at(reader, stamp) if with_depth else None,
        )

    def _camera_at(self, stamp: int) -> Camera:
        """The calibration that held then."""
        times = [time for time, _ in self._cameras]
        return self._cameras[max(bisect_right(times, stamp) - 1, 0)][1]

    def _depth_at(self, reader: AnyReader, stamp: int) -> Any:
        at = bisect_left(self._depth_times, (stamp, 0))
        near = self._depth_times[max(at - 1, 0) : at + 1]
        best = min(near, key=lambda entry: abs(entry[0] - stamp), default=(0, 0))
        if not near or abs(best[0] - stamp) > _MAX_DIFFERENCE:
            return None
        for _, _, message in _messages(reader, str(self._depth), best[1], best[1] + 1):
            if _stamp(message) == best[0]:
                return images.to_depth(message, _NO_LIMIT)
        return None

    def _read_calibrations(self, reader: AnyReader) -> None:
        topic = next(
            (
                c.topic
                for c in sorted(reader.connections, key=lambda c: not _beside(c.topic, self._image))
                if c.msgtype == "sensor_msgs/msg/CameraInfo"
            ),
            None,
        )
        if topic is None:
            raise RecordingError(f"{self._path} has no sensor_msgs/CameraInfo: give --camera")
        for _, _, message in _messages(reader, topic):
            camera = conversions.to_camera(message, rectified=False)
            # Most cameras say the same with every image.
            if not self._cameras or self._cameras[-1][1] != camera:
                self._cameras.append((_stamp(message), camera))

    def _read_truth(
        self, reader: AnyReader, pose_topic: str | None, pose_frame: str | None
    ) -> None:
        for topic in ("/tf", "/tf_static"):
            for _, _, message in _messages(reader, topic):
                for entry in message.transforms:
                    self._truth.insert(
                        entry.header.frame_id,
                        entry.child_frame_id,
                        conversions.from_transform(entry.transform),
                        _stamp(entry),
                        static=topic == "/tf_static",
                    )
        if pose_topic is None:
            return
        for kind, _, message in _messages(reader, pose_topic):
            child: str = pose_frame or str(getattr(message, "child_frame_id", ""))
            pose = conversions.to_pose(_POSES[kind](message))
            self._truth.insert(self._map_frame, child, pose, _stamp(message), static=False)
            if not child:
                self._source = ""


def _messages(
    reader: AnyReader, topic: str, start: int | None = None, stop: int | None = None
) -> Iterator[tuple[str, int, Any]]:
    """Type, time of recording [ns] and message."""
    connections = [c for c in reader.connections if c.topic == topic]
    if connections:
        for connection, time, data in reader.messages(connections, start, stop):
            yield connection.msgtype, time, reader.deserialize(data, connection.msgtype)


def _find(reader: AnyReader, topic: str | None, kinds: tuple[str, ...], path: Path) -> str:
    """The topic of these types, by its name or because there is no other."""
    fitting = sorted({c.topic for c in reader.connections if c.msgtype in kinds})
    if topic in fitting or (topic is None and len(fitting) == 1):
        return topic or fitting[0]
    wanted = " or ".join(kind.rpartition("/")[2] for kind in kinds)
    there = ", ".join(fitting) or "none"
    if topic is None:
        raise RecordingError(f"{path}: which topic? Of {wanted} it has {there}")
    raise RecordingError(f"{path} has no topic {topic} of {wanted}; there is {there}")


def _beside(information: str, image: str) -> bool:
    """Whether a camera_info topic stands in an image topic's namespace."""
    return image.startswith(information.rpartition("/")[0] + "/")


def _stamp(message: Any) -> int:
    return conversions.to_nanoseconds(message.header.stamp)
