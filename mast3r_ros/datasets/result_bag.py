# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A bag of results: what the node would have published, beside what was recorded."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import TypesysError, get_types_from_msg

from mast3r_ros.datasets import definitions
from mast3r_ros.datasets.bag import Bag
from mast3r_ros.datasets.bag_reader import BagReader
from mast3r_ros.datasets.dataset import Dataset
from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.datasets.summary import IGNORED, RecordingError
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose

POSE, STATUS, RELATIVE_POSE = "/pose", "/relocalizer/status", "/relocalizer/relative_pose"
_POSE_KIND = "geometry_msgs/msg/PoseWithCovarianceStamped"
_TF, _TF_KIND = "/tf", "tf2_msgs/msg/TFMessage"
_FOREVER = QosTime(9223372036, 854775807)
# What late subscribers get, too: those of these topics listen to no other publisher.
_LATCHED = Qos(
    QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL,
    _FOREVER, _FOREVER, QosLiveliness.AUTOMATIC, _FOREVER, False,
)  # fmt: skip


@dataclass(frozen=True)
class RelativeResult:
    """The pose of a query camera relative to one keyframe; fields as in RelativePose.msg."""

    keyframe_id: int
    keyframe_stamp: int
    pose: Pose
    covariance: NDArray[np.float64] | None
    metric: bool
    confidence: float
    matches: int
    inliers: int


@dataclass(frozen=True)
class Result:
    """What came of one image; fields as in RelocalizationStatus.msg.

    Attributes:
        state: its name in RelocalizationStatus.msg, as "localized" or "not_localized".
        reason: in words.
        pose: map <- camera, (4, 4), where localized.
        covariance: (6, 6) of the pose [m, rad].
    """

    state: str
    reason: str = ""
    pose: Pose | None = None
    covariance: NDArray[np.float64] | None = None
    confidence: float = 0.0
    inliers: int = 0
    keyframe_ids: Sequence[int] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    relative: Sequence[RelativeResult] = ()
    map_keyframes: int = 0
    front_end: str = ""
    engine: str = ""
    intrinsics_estimated: bool = False
    protection_position: float = float("inf")
    protection_rotation: float = float("inf")


class ResultBag:
    """Writes results to a new bag (mcap). Use as a context, or close it.

    Of a bag, all recorded topics are copied with their QoS, but not earlier results. TF connects
    the map with the root of the recorded tree of frames, as the node does; without recorded TF, or
    where it holds the map already, with the camera (then under the name `<camera>_localized`).
    """

    def __init__(self, path: Path, source: Dataset, map_frame: str = "map") -> None:
        """Create the bag, and copy what was recorded.

        Raises:
            RecordingError: there is such a folder already, or it cannot be written.
        """
        self._path, self._source, self._map_frame = path, source, map_frame
        self._types = definitions.types()
        self._connections: dict[tuple[str, str], Connection] = {}
        self._seen = self._localized = 0
        self._tf_topic = (source.tf_topic if isinstance(source, Bag) else "") or _TF
        try:
            self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except (WriterError, OSError) as error:
            raise RecordingError(f"cannot write the bag {path}: {error}") from error
        if isinstance(source, Bag):
            self._copy(source)

    def _copy(self, source: Bag) -> None:
        with BagReader(source.path) as reader:
            for topic, (kind, _) in reader.topics.items():
                if topic in (POSE, STATUS, RELATIVE_POSE):
                    reason = "results that were recorded: replaced by those of this run"
                    source.summary.note(IGNORED, topic, reason)
                    continue
                if kind not in self._types.fielddefs:
                    self._register(kind, reader.definition(kind))
                if kind in self._types.fielddefs:
                    self._connect(topic, kind, reader.qos(topic))
                else:
                    reason = f"its type {kind} comes without a definition: not copied"
                    source.summary.note(IGNORED, topic, reason)
            copied = {topic for topic, _ in self._connections}
            for raw in reader.messages(copied):
                self._writer.write(self._connections[raw.topic, raw.kind], raw.time, raw.data)

    def _register(self, kind: str, definition: str) -> None:
        """Take a type as the bag defines it; a definition that cannot be read is none."""
        with contextlib.suppress(TypesysError):
            self._types.register(get_types_from_msg(definition, kind))

    def _connect(self, topic: str, kind: str, qos: Sequence[Qos] = ()) -> None:
        if not qos and (topic == STATUS or topic.endswith("/tf_static")):
            qos = (_LATCHED,)
        connection = self._writer.add_connection(
            topic, kind, typestore=self._types, offered_qos_profiles=qos
        )
        self._connections[topic, kind] = connection

    def add(self, image: PosedImage, frame_id: str, result: Result) -> None:
        """Write the result of one image.

        Args:
            image: of the source.
            frame_id: of its frame, the camera.
            result: what came of it.
        """
        self._seen += 1
        time = image.recorded or image.stamp
        if result.pose is not None:
            self._localized += 1
            covariance = _covariance(result.covariance)
            pose = self._make("geometry_msgs/msg/PoseWithCovariance",
                              pose=self._pose(result.pose), covariance=covariance)  # fmt: skip
            header = self._header(image.stamp, self._map_frame)
            self._write(POSE, _POSE_KIND, time, header=header, pose=pose)
            self._write_tf(image, frame_id, result.pose, time)
        for relative in result.relative:
            self._write_relative(relative, image.stamp, time)
        self._write_status(image.stamp, frame_id, result, time)

    def _write_tf(self, image: PosedImage, frame_id: str, pose: Pose, time: int) -> None:
        child, found = frame_id, pose
        if isinstance(self._source, Bag):
            child, root_camera = self._source.root(image, frame_id)
            found = pose @ transforms.inverse(root_camera)
            if child.lstrip("/") == self._map_frame.lstrip("/"):
                child, found = f"{frame_id}_localized", pose
        translation, quaternion = transforms.to_quaternion(found)
        vector = dict(zip("xyz", translation.tolist(), strict=True))
        rotation = dict(zip("xyzw", quaternion.tolist(), strict=True))
        transform = self._make(
            "geometry_msgs/msg/Transform",
            translation=self._make("geometry_msgs/msg/Vector3", **vector),
            rotation=self._make("geometry_msgs/msg/Quaternion", **rotation),
        )
        stamped = self._make(
            "geometry_msgs/msg/TransformStamped",
            header=self._header(image.stamp, self._map_frame),
            child_frame_id=child,
            transform=transform,
        )
        self._write(self._tf_topic, _TF_KIND, time, transforms=[stamped])

    def _write_relative(self, relative: RelativeResult, stamp: int, time: int) -> None:
        pose = self._make(
            "geometry_msgs/msg/PoseWithCovariance",
            pose=self._pose(relative.pose),
            covariance=_covariance(relative.covariance),
        )
        self._write(
            RELATIVE_POSE,
            definitions.RELATIVE_POSE,
            time,
            header=self._header(stamp, f"keyframe_{relative.keyframe_id}"),
            camera="",
            keyframe_id=relative.keyframe_id,
            keyframe_stamp=self._time(relative.keyframe_stamp),
            pose=pose,
            metric=relative.metric,
            confidence=relative.confidence,
            matches=relative.matches,
            inliers=relative.inliers,
        )

    def _write_status(self, stamp: int, frame_id: str, result: Result, time: int) -> None:
        kind = self._types.types[definitions.STATUS]
        latency = [
            self._make(definitions.STAGE_LATENCY, stage=stage, seconds=float(seconds))
            for stage, seconds in result.timings.items()
        ]
        self._write(
            STATUS,
            definitions.STATUS,
            time,
            header=self._header(stamp, frame_id),
            cameras=[],
            silent_cameras=[],
            state=getattr(kind, f"STATE_{result.state.upper()}"),
            reason=result.reason,
            latency=latency,
            total_seconds=float(sum(result.timings.values())),
            frames_seen=self._seen,
            frames_dropped=0,
            frames_localized=self._localized,
            map_keyframes=result.map_keyframes,
            keyframe_ids=np.array(result.keyframe_ids, np.uint32),
            inliers=result.inliers,
            confidence=result.confidence,
            protection_position=result.protection_position,
            protection_rotation=result.protection_rotation,
            front_end=result.front_end,
            engine=result.engine,
            intrinsics_estimated=result.intrinsics_estimated,
            filter_state=0,  # FILTER_OFF: images are localized one by one
            distance_since_fix=0.0,
            seconds_since_fix=0.0,
            predicted_scale=1.0,  # nobody drives
            predicted_scale_sigma=math.inf,
        )

    def _write(self, topic: str, kind: str, time: int, **fields: Any) -> None:
        if (topic, kind) not in self._connections:
            self._connect(topic, kind)
        data = self._types.serialize_cdr(self._make(kind, **fields), kind)
        self._writer.write(self._connections[topic, kind], time, data)

    def _make(self, kind: str, **fields: Any) -> Any:
        return self._types.types[kind](**fields)

    def _time(self, stamp: int) -> Any:
        seconds, rest = divmod(stamp, 1_000_000_000)
        return self._make("builtin_interfaces/msg/Time", sec=seconds, nanosec=rest)

    def _header(self, stamp: int, frame_id: str) -> Any:
        return self._make("std_msgs/msg/Header", stamp=self._time(stamp), frame_id=frame_id)

    def _pose(self, pose: Pose) -> Any:
        translation, quaternion = transforms.to_quaternion(pose)
        position = dict(zip("xyz", translation.tolist(), strict=True))
        orientation = dict(zip("xyzw", quaternion.tolist(), strict=True))
        return self._make(
            "geometry_msgs/msg/Pose",
            position=self._make("geometry_msgs/msg/Point", **position),
            orientation=self._make("geometry_msgs/msg/Quaternion", **orientation),
        )

    def close(self) -> None:
        """Finish the bag."""
        self._writer.close()

    def __enter__(self) -> ResultBag:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the bag."""
        self.close()


def _covariance(covariance: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """As messages have it: zeros where it is not known."""
    return np.zeros(36) if covariance is None else np.asarray(covariance, np.float64).ravel()
