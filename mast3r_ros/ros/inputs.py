# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What comes in: images, and the calibration and depth that belong to them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mast3r_ros.common.size import ImageSize
from mast3r_ros.frame import Frame, read_mask
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.depth import fit_depth
from mast3r_ros.messages import conversions, images
from mast3r_ros.messages.samples import ImageError
from mast3r_ros.ros.host import Host
from mast3r_ros.ros.options import NodeOptions

# Deep enough that the executor sees every image and can count it.
_QUEUE = 5
# Calibrations and depth images kept: who asks, asks for one of the latest images.
_KEPT = 10
# How long an image waits for a calibration that fits it [s].
_CALIBRATION_TIMEOUT = 0.1

Message = TypeVar("Message")


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
        self._camera, within = camera, f"{camera}/" if camera else ""
        self._on_image = on_image
        self._arrived = threading.Condition()
        self._latest: Incoming | None = None
        self._latched: Any = None
        self._calibrations: deque[CameraInfo] = deque(maxlen=_KEPT)
        self._depths: deque[Image | CompressedImage] = deque(maxlen=_KEPT)
        now = options()
        self._mask = read_mask(now.mask.replace("{camera}", camera)) if now.mask else None
        compressed = now.image_transport == "compressed"
        topic = "image/compressed" if compressed else "image"
        packed = now.depth_transport == "compressedDepth"
        depth_topic = "depth/compressedDepth" if packed else "depth"
        group = MutuallyExclusiveCallbackGroup()
        self._subscriptions = [
            node.create_subscription(
                kind,
                f"{within}{name}",
                callback,
                # A profile for each: the overrides are written into it.
                QoSProfile(depth=_QUEUE, reliability=ReliabilityPolicy[now.reliability.upper()]),
                callback_group=group,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for kind, name, callback in (
                (CompressedImage if compressed else Image, topic, self._take_image),
                (CameraInfo, "camera_info", self._take_calibration),
                (CompressedImage if packed else Image, depth_topic, self._take_depth),
            )
        ]
        self.image_topic, self.calibration_topic, self.depth_topic = (
            s.topic_name for s in self._subscriptions
        )
        self._group = group

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in [*self._subscriptions, self._latched]:
            if subscription is not None:
                self._node.destroy_subscription(subscription)

    def _take_image(self, message: Any) -> None:
        incoming = Incoming(message, time.monotonic(), self._camera)
        with self._arrived:
            self._latest = incoming
            self._arrived.notify_all()
            calibrated = bool(self._calibrations)
        if not calibrated and self._latched is None:
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
            self._take_calibration,
            QoSProfile(depth=_QUEUE, durability=latched),
            callback_group=self._group,
        )

    def _take_calibration(self, message: CameraInfo) -> None:
        with self._arrived:
            self._calibrations.append(message)
            self._arrived.notify_all()

    def _take_depth(self, message: Image | CompressedImage) -> None:
        with self._arrived:
            self._depths.append(message)
            self._arrived.notify_all()

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
            calibration = self._nearest(self._calibrations, stamp)
            return calibration and conversions.to_camera(calibration, rectified)

        def fits() -> bool:
            found = camera()
            return found is not None and (found.width, found.height) == size

        with self._arrived:
            if self._calibrations or self._node.count_publishers(self.calibration_topic):
                self._arrived.wait_for(fits, _CALIBRATION_TIMEOUT)
            return camera()

    def frame_with_depth(self, incoming: Incoming) -> tuple[Frame, str]:
        """The frame of an image with its depth, and where there is none, why; waits for it.

        Raises:
            ImageError, CameraError, FrameError: one of the messages cannot be used.
        """
        frame, options = self.frame(incoming), self._options()
        if incoming.stamp == 0:
            return frame, "the image has stamp 0: no depth belongs to it"
        if not self._node.count_publishers(self.depth_topic):
            return frame, f"nobody publishes {self.depth_topic}"
        with self._arrived:
            self._arrived.wait_for(
                lambda: self._depth_of(incoming.stamp) is not None, options.depth_timeout
            )
            message = self._depth_of(incoming.stamp)
        if message is None:
            return frame, (
                f"no depth on {self.depth_topic} within `depth_tolerance`, "
                f"{options.depth_tolerance:g} s, of the image's stamp"
            )
        packed = isinstance(message, CompressedImage)
        convert = images.decompress_depth if packed else images.to_depth
        try:
            depth = convert(message, options.max_megapixels)
            depth = fit_depth(depth, ImageSize(*frame.size))
        except ImageError as error:
            raise ImageError(f"{self.depth_topic}: {error}") from error
        with_depth = replace(frame, depth=depth)
        if not (np.isfinite(depth) & (depth > 0)).any():
            return frame, f"the depth on {self.depth_topic} holds no value above zero"
        return with_depth, ""

    def _depth_of(self, stamp: int) -> Image | CompressedImage | None:
        """The depth image nearest to a stamp, if near enough."""
        nearest = self._nearest(self._depths, stamp)
        if nearest is None:
            return None
        apart = abs(conversions.to_nanoseconds(nearest.header.stamp) - stamp)
        return nearest if apart <= self._options().depth_tolerance * 1e9 else None

    @staticmethod
    def _nearest(messages: deque[Message], stamp: int) -> Message | None:
        """The message with the nearest stamp; of equals the newest."""
        return min(
            reversed(tuple(messages)),
            key=lambda m: abs(conversions.to_nanoseconds(m.header.stamp) - stamp),  # type: ignore[attr-defined]
            default=None,
        )
