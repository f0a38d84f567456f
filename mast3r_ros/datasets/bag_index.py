# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a bag knows about its images, read in one pass: all but the pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mast3r_ros.datasets.bag_reader import BagReader, Raw, deserialize, header
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.datasets.summary import IGNORED, ReadSummary, RecordingError
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.messages import conversions

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO, TF = "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage"
POSES = {
    "geometry_msgs/msg/PoseStamped": lambda m: m.pose,
    "geometry_msgs/msg/PoseWithCovarianceStamped": lambda m: m.pose.pose,
    "nav_msgs/msg/Odometry": lambda m: m.pose.pose,
}


class Stamped(NamedTuple):
    """When a message was recorded and stamped [ns], and the frame that it names."""

    record: int
    stamp: int
    frame_id: str


class Transform(NamedTuple):
    """T_parent_child of TF or of the pose topic, recorded and stamped [ns]."""

    record: int
    stamp: int
    parent: str
    child: str
    pose: Pose
    static: bool


class Topics(NamedTuple):
    """The topics that are read, empty where there is none."""

    image: str
    depth: str
    pose: str
    tf: str
    tf_static: str
    camera_infos: tuple[str, ...]

    @staticmethod
    def of(reader: BagReader, options: SourceOptions) -> Topics:
        """By their options, or because there is no other.

        Raises:
            RecordingError: a topic is missing, or there are several.
        """
        kinds = {topic: kind for topic, (kind, _) in reader.topics.items()}

        def find(
            topic: str | None, wanted: tuple[str, ...], but: str | None = None, option: str = ""
        ) -> str:
            fitting = sorted(
                t
                for t, kind in kinds.items()
                if kind in wanted and not (topic is None and (t == but or _is_depth(t)))
            )
            if topic in fitting or (topic is None and len(fitting) == 1):
                return topic or fitting[0]
            words = " or ".join(kind.rpartition("/")[2] for kind in wanted)
            there = ", ".join(fitting) or "none"
            if topic is None:
                raise RecordingError(f"which topic? Of {words} the bag has {there}: give {option}")
            raise RecordingError(f"no topic {topic} of {words}; there is {there}")

        depth = options.right_topic or options.depth_topic
        image = find(options.image_topic, (IMAGE, COMPRESSED), depth, "--image-topic")
        infos = tuple(sorted(t for t, kind in kinds.items() if kind == CAMERA_INFO))
        if options.camera is not None:
            infos = ()
        elif options.camera_info_topic is not None:
            infos = (find(options.camera_info_topic, (CAMERA_INFO,)),)
        if options.right_topic is not None:
            infos = tuple(sorted({*infos, beside(options.right_topic)} & set(kinds)))
        tf = options.tf_topic or _nearest(image, "tf", kinds)
        return Topics(
            image,
            find(depth, (IMAGE, COMPRESSED)) if depth else "",
            find(options.pose_topic, tuple(POSES)) if options.pose_topic else "",
            find(tf, (TF,)) if options.tf_topic else tf,
            find(options.tf_static_topic, (TF,))
            if options.tf_static_topic
            else _nearest(image, "tf_static", kinds),
            infos,
        )


def beside(image_topic: str) -> str:
    """The camera_info topic that belongs to an image topic by ROS' convention."""
    head, _, last = image_topic.rpartition("/")
    images = head if last in conversions.TRANSPORTS else image_topic
    return f"{images.rpartition('/')[0]}/camera_info"


def _is_depth(topic: str) -> bool:
    return topic.endswith("/compressedDepth")


def _nearest(image: str, name: str, kinds: dict[str, str]) -> str:
    """The topic of a name in the nearest namespace above the images, as namespaced robots have."""
    parts = image.strip("/").split("/")
    spaces = ["/" + "/".join([*parts[:count], name]) for count in range(len(parts), -1, -1)]
    return next((topic for topic in spaces if kinds.get(topic) == TF), "")


class Index:
    """All messages but the pixels.

    Attributes:
        images, depths: one entry a message, in the order of recording; right images are depths.
        infos: (entry, message) by camera_info topic.
        transforms: of TF.
        poses: of the pose topic; their child is empty where it is the camera.
    """

    def __init__(
        self, reader: BagReader, topics: Topics, options: SourceOptions, summary: ReadSummary
    ) -> None:
        """Read all messages.

        Raises:
            RecordingError: a message is damaged.
        """
        self._topics, self._options, self._summary = topics, options, summary
        self.images: list[Stamped] = []
        self.depths: list[Stamped] = []
        self.infos: dict[str, list[tuple[Stamped, Any]]] = defaultdict(list)
        self.transforms: list[Transform] = []
        self.poses: list[Transform] = []
        wanted = {topics.image, topics.depth, topics.pose, topics.tf, topics.tf_static} - {""}
        for raw in reader.messages(wanted | set(topics.camera_infos)):
            self._take(raw)

    def _take(self, raw: Raw) -> None:
        topics = self._topics
        if raw.topic == topics.image:
            self.images.append(self._stamped(raw))
        elif raw.topic == topics.depth:
            entry = self._stamped(raw)
            if self._has_stamp(raw, entry.stamp, f"depth image {len(self.depths)}"):
                self.depths.append(entry)
        elif raw.topic == topics.pose:
            self._take_pose(raw)
        elif raw.topic in (topics.tf, topics.tf_static):
            self.transforms.extend(self._transforms(raw))
        else:
            self.infos[raw.topic].append((self._stamped(raw), deserialize(raw)))

    def _stamped(self, raw: Raw) -> Stamped:
        stamp, frame_id = header(raw)
        return Stamped(raw.time, raw.time if self._options.use_record_times else stamp, frame_id)

    def _has_stamp(self, raw: Raw, stamp: int, thing: str) -> bool:
        if stamp == 0:
            reason = "stamp 0: no time; --use-record-times takes the times of recording"
            self._summary.note(IGNORED, f"{thing} on {raw.topic} recorded at {raw.time} ns", reason)
        return stamp != 0

    def _take_pose(self, raw: Raw) -> None:
        message = deserialize(raw)
        entry = self._stamped(raw)
        child = self._options.pose_frame or str(getattr(message, "child_frame_id", ""))
        if not self._has_stamp(raw, entry.stamp, "pose"):
            return
        parent = entry.frame_id or self._options.map_frame
        try:
            pose = conversions.to_pose(POSES[raw.kind](message))
        except ValueError:
            self._not_a_pose(raw, f"{parent} -> {child or 'camera'}")
            return
        self.poses.append(Transform(raw.time, entry.stamp, parent, child, pose, False))

    def _transforms(self, raw: Raw) -> Iterator[Transform]:
        static = raw.topic == self._topics.tf_static
        for entry in deserialize(raw).transforms:
            parent, child = entry.header.frame_id, entry.child_frame_id
            stamp = conversions.to_nanoseconds(entry.header.stamp)
            if self._options.use_record_times:
                stamp = raw.time
            if not static and not self._has_stamp(raw, stamp, f"{parent} -> {child}"):
                continue
            if not conversions.joins_frames(entry):
                reason = "a transform needs two frames, and a frame is not its own parent"
                thing = f"'{parent}' -> '{child}' on {raw.topic} recorded at {raw.time} ns"
                self._summary.note(IGNORED, thing, reason)
                continue
            try:
                pose = conversions.from_transform(entry.transform)
            except ValueError:
                self._not_a_pose(raw, f"{parent} -> {child}")
                continue
            yield Transform(raw.time, stamp, parent, child, pose, static)

    def _not_a_pose(self, raw: Raw, thing: str) -> None:
        reason = "not a pose (NaN, or a quaternion of zeros)"
        self._summary.note(IGNORED, f"{thing} on {raw.topic} recorded at {raw.time} ns", reason)


def nearest(times: np.ndarray[Any, np.dtype[np.int64]], time: int, most: int) -> int | None:
    """Row of the nearest of sorted times, at most so far away [ns]."""
    if not len(times):
        return None
    at = int(np.searchsorted(times, time))
    rows = [row for row in (at - 1, at) if 0 <= row < len(times)]
    best = min(rows, key=lambda row: abs(int(times[row]) - time))
    return best if abs(int(times[best]) - time) <= most else None
