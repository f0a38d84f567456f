# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The demo's side of the conversation with the node: plays images, asks, and listens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from mast3r_ros.common.errors import UserError
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.messages import conversions
from mast3r_ros.msg import Correspondences, RelocalizationStatus
from mast3r_ros.srv import AddKeyframe

_TYPES = {"image": Image, "camera_info": CameraInfo, "depth": Image}
# Calibration and depth travel by topics of their own; once received, they still have to be read.
_HEAD_START = 0.05
# What is sent while connections come up is sent again seconds later: ask again until it is there.
_ASK_AGAIN = 0.5


class NoAnswerError(UserError, RuntimeError):
    """A node that does not do what it was asked."""


@dataclass(frozen=True)
class Matched:
    """Pixels of a keyframe and a query, (N, 2) each, and which of them agree with the pose."""

    keyframe: int
    keyframe_pixels: NDArray[np.float32]
    query_pixels: NDArray[np.float32]
    inliers: NDArray[np.bool_]


@dataclass(frozen=True)
class Answer:
    """What the node made of an image.

    Attributes:
        reason: why there is no pose; empty where there is one.
        pose, covariance: map <- camera, (4, 4), and (6, 6) of it; None where not localized.
        matches: the keyframe with the most inliers first.
        timings: seconds by stage.
    """

    reason: str
    pose: Pose | None
    covariance: NDArray[np.float64] | None
    inliers: int
    matches: tuple[Matched, ...]
    timings: dict[str, float]


@dataclass
class _Heard:
    """The messages about one image."""

    status: RelocalizationStatus | None = None
    pose: PoseWithCovarianceStamped | None = None
    correspondences: list[Correspondences] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether everything that belongs to the status has come."""
        if self.status is None:
            return False
        localized = self.status.state == RelocalizationStatus.STATE_LOCALIZED
        return not localized or (self.pose is not None and bool(self.correspondences))


class DemoClient:
    """Talks to a node `relocalizer` in a namespace."""

    def __init__(self, namespace: str) -> None:
        """Join the ROS network; `close` leaves it."""
        self._context = rclpy.Context()
        self._context.init()
        self._node = rclpy.create_node("demo", namespace=namespace, context=self._context)
        self._heard: dict[int, _Heard] = {}
        self._arrived = threading.Condition()
        self._publishers = {
            topic: self._node.create_publisher(kind, topic, 10) for topic, kind in _TYPES.items()
        }
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        subscribe = self._node.create_subscription
        subscribe(RelocalizationStatus, "relocalizer/status", self._hear("status"), latched)
        subscribe(PoseWithCovarianceStamped, "pose", self._hear("pose"), 10)
        subscribe(Correspondences, "relocalizer/correspondences", self._hear("all"), 50)
        self._add = self._node.create_client(AddKeyframe, "relocalizer/add_keyframe")
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the ROS network."""
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()
        self._context.try_shutdown()

    def wait_until_ready(self, alive: Callable[[], bool], timeout: float) -> None:
        """Wait until the node takes images and offers its services.

        Raises:
            NoAnswerError: it has ended, or does not in time.
        """
        deadline = time.monotonic() + timeout
        while not (
            self._add.service_is_ready()
            and all(p.get_subscription_count() for p in self._publishers.values())
            and self._heard  # its status before the first image
        ):
            if not alive():
                raise NoAnswerError("the node has ended")
            if time.monotonic() > deadline:
                raise NoAnswerError(f"the node is not ready after {timeout:g} s")
            time.sleep(0.05)

    def show(self, messages: Mapping[str, bytes], stamp: int, timeout: float = 30.0) -> Answer:
        """Publish an image and what belongs to it, by topic; wait for what the node makes of it.

        Raises:
            NoAnswerError: it says nothing in time.
        """
        for topic, data in messages.items():
            if topic != "image":
                self._publishers[topic].publish(data)
        for topic in messages:
            if not self._publishers[topic].wait_for_all_acked(Duration(seconds=timeout)):
                raise NoAnswerError(f"{topic} is not received in {timeout:g} s")
        time.sleep(_HEAD_START)
        self._publishers["image"].publish(messages["image"])
        with self._arrived:
            if not self._arrived.wait_for(lambda: self._entry(stamp).complete, timeout):
                raise NoAnswerError(f"no answer to the image of stamp {stamp} in {timeout:g} s")
            return _answer(self._entry(stamp))

    def add_keyframe(self, pose: Pose, timeout: float = 15.0) -> int:
        """Make the image that was shown last a keyframe; returns its id.

        Raises:
            NoAnswerError: the service refuses, or does not answer in time.
        """
        request = AddKeyframe.Request(
            pose_source=AddKeyframe.Request.POSE_GIVEN, pose=conversions.from_pose(pose)
        )
        deadline = time.monotonic() + timeout
        while not (response := self._call(request, timeout)).success:
            if time.monotonic() > deadline:
                raise NoAnswerError(f"add_keyframe: {response.message}")
            time.sleep(_ASK_AGAIN)
        if not response.has_depth:
            raise NoAnswerError(f"add_keyframe: {response.message}")
        return int(response.keyframe_id)

    def _call(self, request: AddKeyframe.Request, timeout: float) -> AddKeyframe.Response:
        done = threading.Event()
        future = self._add.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout):
            raise NoAnswerError(f"add_keyframe does not answer in {timeout:g} s")
        return future.result()

    def _entry(self, stamp: int) -> _Heard:
        return self._heard.setdefault(stamp, _Heard())

    def _hear(self, what: str) -> Callable[[Any], None]:
        def hear(message: Any) -> None:
            with self._arrived:
                heard = self._entry(conversions.to_nanoseconds(message.header.stamp))
                if what == "all":
                    heard.correspondences.append(message)
                else:
                    setattr(heard, what, message)
                self._arrived.notify_all()

        return hear


def _answer(heard: _Heard) -> Answer:
    status, pose = heard.status, heard.pose
    assert status is not None
    matches = [
        Matched(
            message.keyframe_id,
            np.array(message.reference_pixels, np.float32).reshape(-1, 2),
            np.array(message.query_pixels, np.float32).reshape(-1, 2),
            np.array(message.inlier, bool),
        )
        for message in heard.correspondences
    ]
    return Answer(
        status.reason,
        None if pose is None else conversions.to_pose(pose.pose.pose),
        None if pose is None else conversions.to_covariance(pose.pose.covariance),
        status.inliers,
        tuple(sorted(matches, key=lambda m: -int(m.inliers.sum()))),
        {latency.stage: latency.seconds for latency in status.latency},
    )
