# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What comes in: images, and the calibration and depth that belong to them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mast3r_ros.frame import Frame, read_mask
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.messages import conversions, images
from mast3r_ros.ros.depths import make_depth_source
from mast3r_ros.ros.host import Host
from mast3r_ros.ros.options import NodeOptions
from mast3r_ros.ros.recent import QUEUE, Recent, subscribe

# How long an image waits for a calibration that fits it [s].
_CALIBRATION_TIMEOUT = 0.1


@dataclass(frozen=True)
class Incoming:
    """An image as it came.

    Attributes:
        message: Image or CompressedImage.
        arrival: when, on the monotonic clock [s].
        camera: the name of a rig's camera, else empty.
    """

    message: Any
    arrival: float
    camera: str = ""

    @property
    def stamp(self) -> int:
        """Time of exposure [ns]."""
        return conversions.to_nanoseconds(self.message.header.stamp)


class Inputs:
    """Subscriptions of one camera; turns a message into a `Frame` when asked, not before."""

    def __init__(
        self,
        node: Host,
        options: Callable[[], NodeOptions],
        on_image: Callable[[Incoming], None],
        camera: str = "",
    ) -> None:
        """Subscribe; `on_image` is called with every image, in the executor's thread.

        Args:
            node: to subscribe with.
            options: as they now stand.
            on_image: called with every image, in the executor's thread.
            camera: namespace of the topics; empty for the node's own.

        Raises:
            FrameError: the mask cannot be read.
        """
        self._node = node
        self._options = options
        self._camera = camera
        self._on_image = on_image
        self._arrived = threading.Condition()
        self._latest: Incoming | None = None
        self._latched: Any = None
        self._calibrations: Recent[CameraInfo] = Recent()
        now = options()
        self._mask = read_mask(now.mask.replace("{camera}", camera)) if now.mask else None
        self._group = MutuallyExclusiveCallbackGroup()
        self._subscriptions: list[Any] = []
        if now.image_transport == "compressed":
            self.image_topic = self._subscribe(CompressedImage, "image/compressed", self._take)
        else:
            self.image_topic = self._subscribe(Image, "image", self._take)
        self.calibration_topic = self._subscribe(CameraInfo, "camera_info", self._calibrations.take)
        self._depths = make_depth_source(now, self._subscribe)

    def _subscribe(self, kind: type, name: str, callback: Callable[[Any], None]) -> str:
        topic = f"{self._camera}/{name}" if self._camera else name
        subscription = subscribe(
            self._node, kind, topic, callback, self._options().reliability, self._group
        )
        self._subscriptions.append(subscription)
        return str(subscription.topic_name)

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in [*self._subscriptions, self._latched]:
            if subscription is not None:
                self._node.destroy_subscription(subscription)

    def _take(self, message: Any) -> None:
        incoming = Incoming(message, time.monotonic(), self._camera)
        with self._arrived:
            self._latest = incoming
            self._arrived.notify_all()
        if not self._calibrations and self._latched is None:
            self._latched = self._find_latched_calibration()
        self._on_image(incoming)

    def _find_latched_calibration(self) -> Any:
        """Subscribe to a camera_info that was published once, before the node started, if any is.

        Only a transient local subscription gets it. It is not made without need: a publisher that
        keeps nothing for late subscribers would warn of it.
        """
        offers = self._node.get_publishers_info_by_topic(self.calibration_topic)
        latched = DurabilityPolicy.TRANSIENT_LOCAL
        if all(offer.qos_profile.durability != latched for offer in offers):
            return None
        return self._node.create_subscription(
            CameraInfo,
            self.calibration_topic,
            self._calibrations.take,
            QoSProfile(depth=QUEUE, durability=latched),
            callback_group=self._group,
        )

    def wait_for_image(self, next_one: bool, timeout: float) -> Incoming | None:
        """The latest image, or the next; None if none comes in time."""
        with self._arrived:
            before = self._latest if next_one else None
            self._arrived.wait_for(lambda: self._latest is not before, timeout)
            return None if self._latest is before else self._latest

    def frame(self, incoming: Incoming) -> Frame:
        """The frame of an image, without depth.

        Raises:
            ImageError, CameraError, FrameError: the image or its calibration cannot be used.
        """
        options, message = self._options(), incoming.message
        convert = images.decompress if isinstance(message, CompressedImage) else images.to_rgb
        image = convert(message, options.max_megapixels)
        height, width = image.shape[:2]
        rectified = options.rectified or conversions.is_rectified(self.image_topic)
        camera = self._camera_of(incoming.stamp, (width, height), rectified)
        frame_id = options.camera_frame or message.header.frame_id or "camera"
        return Frame(image, camera, incoming.stamp, frame_id, mask=self._mask)

    def _camera_of(self, stamp: int, size: tuple[int, int], rectified: bool) -> Camera | None:
        """The intrinsics at a stamp, None where nobody publishes any.

        An image may overtake its camera_info: where there is none yet, or of another size, it is
        given a moment.

        Raises:
            CameraError: the calibration describes no camera.
        """

        def camera() -> Camera | None:
            calibration = self._calibrations.nearest(stamp)
            return calibration and conversions.to_camera(calibration, rectified)

        def fits() -> bool:
            found = camera()
            return found is not None and (found.width, found.height) == size

        if self._calibrations or self._node.count_publishers(self.calibration_topic):
            self._calibrations.wait_for(fits, _CALIBRATION_TIMEOUT)
        return camera()

    def frame_with_depth(self, incoming: Incoming) -> tuple[Frame, str]:
        """The frame of an image with its depth, and where there is none, why; waits for it.

        Raises:
            ImageError, CameraError, FrameError, StereoError: a message cannot be used.
        """
        frame, options, topic = self.frame(incoming), self._options(), self._depths.topic
        if incoming.stamp == 0:
            return frame, "the image has stamp 0: no depth belongs to it"
        if not self._node.count_publishers(topic):
            return frame, f"nobody publishes {topic}"
        if not self._depths.wait(incoming.stamp, options):
            return frame, (
                f"no depth on {topic} within `depth_tolerance`, {options.depth_tolerance:g} s, of "
                "the image's stamp"
            )
        depth = self._depths.depth(frame, options)
        if not (np.isfinite(depth) & (depth > 0)).any():
            return frame, f"the depth on {topic} holds no value above zero"
        return replace(frame, depth=depth), ""
