# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""TF whose odometry comes from a topic: for robots that publish no odom -> base transform."""

from __future__ import annotations

from collections.abc import Callable

from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from mast3r_ros.geometry.frame_tree import TfBuffer
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.messages import conversions
from mast3r_ros.ros.host import Host
from mast3r_ros.ros.options import NodeOptions
from mast3r_ros.ros.tf.source import Tf, TransformError

_WARN_PERIOD = 10.0  # [s]


class TfWithOdometry(Tf):
    """Answers what is asked in the odometry's frame from `odometry`, all else from TF.

    The topic has the pose of its child frame; TF has the transform from there to the camera.
    """

    def __init__(self, node: Host, options: Callable[[], NodeOptions], inner: Tf) -> None:
        """Subscribe to `odometry` (nav_msgs/Odometry)."""
        self._node, self._options, self._inner = node, options, inner
        self._buffer = TfBuffer()
        self._child = ""
        self._subscription = node.create_subscription(
            Odometry,
            "odometry",
            self._take,
            50,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )

    def _take(self, message: Odometry) -> None:
        options = self._options()
        frame = message.header.frame_id.lstrip("/")
        try:
            if frame not in ("", options.odom_frame):
                raise ValueError(f"in frame '{frame}': `odom_frame` is '{options.odom_frame}'")
            pose = conversions.to_pose(message.pose.pose)
        except ValueError as error:
            self._node.get_logger().warning(
                f"{self._subscription.topic_name}: {error}: ignored",
                throttle_duration_sec=_WARN_PERIOD,
            )
            return
        child = message.child_frame_id.lstrip("/") or options.base_frame
        stamp = conversions.to_nanoseconds(message.header.stamp)
        self._buffer.insert(options.odom_frame, child, pose, stamp, False)
        self._child = child

    def find(self, target: str, source: str, stamp: int) -> Pose:
        """See `Tf.find`."""
        if target != self._options().odom_frame:
            return self._inner.find(target, source, stamp)
        child = self._known(source)
        odom_child = self._buffer.find(target, child, stamp)
        # The camera need not move on the robot: the latest is as good as that of the stamp.
        return odom_child if source == child else odom_child @ self._inner.find(child, source, 0)

    def latest(self, target: str, source: str) -> tuple[Pose, int]:
        """See `Tf.latest`."""
        if target != self._options().odom_frame:
            return self._inner.latest(target, source)
        child = self._known(source)
        odom_child, stamp = self._buffer.latest(target, child)
        if source != child:
            odom_child = odom_child @ self._inner.find(child, source, 0)
        return odom_child, stamp

    def _known(self, source: str) -> str:
        """The frame whose pose the topic tells."""
        if not self._child:
            raise TransformError(
                f"{self._subscription.topic_name} -> {source}: no odometry has come yet"
            )
        return self._child

    def send_message(self, message: TransformStamped) -> None:
        """See `Tf.send_message`."""
        self._inner.send_message(message)

    def restart(self) -> None:
        """See `Tf.restart`."""
        self._buffer.clear()
        self._inner.restart()

    def close(self) -> None:
        """See `Tf.close`."""
        self._node.destroy_subscription(self._subscription)
        self._inner.close()
