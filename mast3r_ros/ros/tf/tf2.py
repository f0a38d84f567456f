# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""TF by tf2_ros."""

from __future__ import annotations

import tf2_ros
from geometry_msgs.msg import TransformStamped
from rclpy.time import Time

from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.messages import conversions
from mast3r_ros.ros.host import Host
from mast3r_ros.ros.tf.hints import with_hint
from mast3r_ros.ros.tf.source import Tf, TransformError


class Tf2(Tf):
    """A tf2_ros buffer with its listener, and a broadcaster."""

    def __init__(self, node: Host) -> None:
        """Listen in the node's executor."""
        self._node = node
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)
        self._broadcaster = tf2_ros.TransformBroadcaster(node)

    def find(self, target: str, source: str, stamp: int) -> Pose:
        """See `Tf.find`."""
        return self._look_up(target, source, stamp)[0]

    def latest(self, target: str, source: str) -> tuple[Pose, int]:
        """See `Tf.latest`."""
        return self._look_up(target, source, 0)

    def _look_up(self, target: str, source: str, stamp: int) -> tuple[Pose, int]:
        try:
            found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp))
            when = conversions.to_nanoseconds(found.header.stamp)
            return conversions.from_transform(found.transform), when
        except (tf2_ros.TransformException, ValueError) as error:
            raise TransformError(with_hint(str(error))) from error

    def send_message(self, message: TransformStamped) -> None:
        """See `Tf.send_message`."""
        self._broadcaster.sendTransform(message)

    def restart(self) -> None:
        """See `Tf.restart`."""
        self._buffer.clear()

    def close(self) -> None:
        """See `Tf.close`; tf2_ros leaves the broadcaster's publisher to the node."""
        self._listener.unregister()
        self._node.destroy_publisher(self._broadcaster.pub_tf)
