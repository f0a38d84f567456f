# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""TF without tf2_ros: the topics /tf and /tf_static into a buffer, and back."""

from __future__ import annotations

from functools import partial

from geometry_msgs.msg import TransformStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from mast3r_ros.geometry.frame_tree import TfBuffer
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.messages import conversions
from mast3r_ros.ros.host import Host
from mast3r_ros.ros.tf.source import Tf


class OwnTf(Tf):
    """`TfBuffer` with its subscriptions, and a publisher."""

    def __init__(self, node: Host) -> None:
        """Listen in the node's executor."""
        self._node = node
        self._buffer = TfBuffer()
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        group = MutuallyExclusiveCallbackGroup()
        self._subscriptions = [
            node.create_subscription(
                TFMessage, topic, partial(self._take, static), qos, callback_group=group
            )
            for topic, static, qos in (("/tf", False, 100), ("/tf_static", True, latched))
        ]
        self._publisher = node.create_publisher(TFMessage, "/tf", 100)

    def _take(self, static: bool, message: TFMessage) -> None:
        for entry in message.transforms:
            try:
                if not conversions.joins_frames(entry):
                    raise ValueError("needs two frames, and a frame is not its own parent: ignored")
                pose = conversions.from_transform(entry.transform)
            except ValueError as error:
                self._node.get_logger().warning(
                    f"TF {entry.header.frame_id} -> {entry.child_frame_id}: {error}",
                    throttle_duration_sec=10.0,
                )
                continue
            stamp = conversions.to_nanoseconds(entry.header.stamp)
            self._buffer.insert(entry.header.frame_id, entry.child_frame_id, pose, stamp, static)

    def find(self, target: str, source: str, stamp: int) -> Pose:
        """See `Tf.find`."""
        return self._buffer.find(target, source, stamp)

    def latest(self, target: str, source: str) -> tuple[Pose, int]:
        """See `Tf.latest`."""
        return self._buffer.latest(target, source)

    def send_message(self, message: TransformStamped) -> None:
        """See `Tf.send_message`."""
        self._publisher.publish(TFMessage(transforms=[message]))

    def restart(self) -> None:
        """See `Tf.restart`; static transforms stay."""
        self._buffer.clear()

    def close(self) -> None:
        """See `Tf.close`."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._node.destroy_publisher(self._publisher)
