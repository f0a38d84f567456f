# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which calibration belongs to the images of a bag: by frame_id, size and topic."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mast3r_ros.common.size import ImageSize
from mast3r_ros.datasets.bag_index import Stamped
from mast3r_ros.datasets.bag_runs import Runs
from mast3r_ros.datasets.summary import IGNORED, ReadSummary, RecordingError
from mast3r_ros.geometry.camera import Camera, CameraError
from mast3r_ros.messages import conversions


@dataclass
class Calibrations:
    """What was recorded on one camera_info topic.

    Attributes:
        topic: its name.
        frame_id: of the first message.
        cameras: (run, stamp [ns]) and camera, where it changes, in order.
        count: number of messages.
        problem: why the first message that is no calibration is none.
    """

    topic: str
    frame_id: str = ""
    cameras: list[tuple[tuple[int, int], Camera]] = field(default_factory=list)
    count: int = 0
    problem: str = ""

    @property
    def size(self) -> ImageSize | None:
        """Of the images; None if no message is a calibration."""
        if not self.cameras:
            return None
        camera = self.cameras[0][1]
        return ImageSize(camera.width, camera.height)

    def at(self, run: int, stamp: int) -> Camera:
        """The camera at a stamp: the last before it, or the first."""
        times = [time for time, _ in self.cameras]
        return self.cameras[max(bisect_right(times, (run, stamp)) - 1, 0)][1]

    def __str__(self) -> str:
        size = self.size or f"no calibration, {self.problem}"
        return f"{self.topic} (frame_id '{self.frame_id}', {size})"


def read_calibrations(
    infos: Mapping[str, Sequence[tuple[Stamped, Any]]],
    runs: Runs,
    rectified: bool,
    summary: ReadSummary,
) -> list[Calibrations]:
    """The cameras of all camera_info topics; messages that are no calibration are noted.

    Args:
        infos: (entry, message) by topic, in the order of recording.
        runs: of the bag.
        rectified: whether the images are rectified.
        summary: where messages are noted that are no calibration.
    """
    found = []
    for topic, entries in infos.items():
        one = Calibrations(topic, count=len(entries))
        # Without stamps, the times of recording are compared with the images.
        stamped = all(entry.stamp for entry, _ in entries)
        for number, (entry, message) in enumerate(entries):
            one.frame_id = one.frame_id or entry.frame_id
            try:
                camera = conversions.to_camera(message, rectified)
            except CameraError as error:
                one.problem = one.problem or str(error)
                summary.note(IGNORED, f"message {number} on {topic}", str(error))
                continue
            # Most cameras say the same with every image.
            if not one.cameras or one.cameras[-1][1] != camera:
                time = entry.stamp if stamped else entry.record
                one.cameras.append(((runs.of(topic, entry.record), time), camera))
        found.append(one)
    return found


def choose(
    image_topic: str, frame_id: str, size: ImageSize, found: Sequence[Calibrations]
) -> Calibrations:
    """The calibrations of an image topic.

    The size must fit. Of those, the same frame_id decides; then the topic beside the images, as
    ROS' convention has it. Without the same frame_id, a topic must stand beside the images or, if
    the frame_id is not known, above or below them.

    Raises:
        RecordingError: none fits, or several do and differ.
    """
    usable = [c for c in found if c.size == size]
    same_frame = [c for c in usable if c.frame_id and _same(c.frame_id, frame_id)]
    unnamed = [
        c for c in usable if not (c.frame_id and frame_id) and _related(c.topic, image_topic)
    ]
    beside = [c for c in usable if _beside(c.topic, image_topic)]
    for candidates in (
        [c for c in same_frame if c in beside],
        same_frame,
        beside,
        unnamed,
    ):
        if len({tuple(camera for _, camera in c.cameras) for c in candidates}) == 1:
            return candidates[0]
        if candidates:
            break
    listed = ", ".join(map(str, found)) or "none"
    problem = "several camera_info topics fit" if candidates else "no camera_info topic fits"
    raise RecordingError(
        f"{problem} the images of {image_topic} (frame_id '{frame_id}', {size}): there is "
        f"{listed}; give --camera-info-topic, or a calibration file with --camera"
    )


def _same(a: str, b: str) -> bool:
    return a.lstrip("/") == b.lstrip("/")


def _namespace(topic: str) -> str:
    return topic.rpartition("/")[0]


def _beside(info: str, image: str) -> bool:
    """Whether a topic is a sibling of the raw images, as image_transport's convention has it."""
    head, _, last = image.rpartition("/")
    return _namespace(info) == _namespace(head if last in conversions.TRANSPORTS else image)


def _related(info: str, image: str) -> bool:
    """Whether a topic stands beside, above or below the images."""
    return image.startswith(_namespace(info) + "/") or info.startswith(image + "/")
