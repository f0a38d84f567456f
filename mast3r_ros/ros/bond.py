# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The bond with a nav2 lifecycle manager: heartbeats both ways on the topic `bond`.

The protocol is that of ROS's bond_core: both ends publish `bond/msg/Status` with the same id and
instance ids of their own. An end that closes the bond, or hears nothing for the heartbeat timeout,
publishes `active: false`, which the other end acknowledges once.
"""

from __future__ import annotations

import importlib.util
import time
import uuid
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType

from mast3r_ros.ros.host import Host

# As in nav2_util's lifecycle nodes.
_TOPIC = "bond"
_HEARTBEAT_TIMEOUT = 4.0
_DEPTH = 10


def installed() -> bool:
    """Whether the messages of bond are there: the package `bond` of ROS."""
    return importlib.util.find_spec("bond") is not None


class Bond:
    """One end of a bond, from activation to deactivation."""

    def __init__(self, node: Host, period: float) -> None:
        """Publish heartbeats every `period` seconds."""
        from bond.msg import Status

        self._node = node
        self._type = Status
        self._id = node.get_name()
        self._instance = str(uuid.uuid4())
        self._period = period
        self._last_heard: float | None = None
        self.broken = False
        self._publisher = node.create_publisher(Status, _TOPIC, _DEPTH)
        group = MutuallyExclusiveCallbackGroup()
        self._subscription = node.create_subscription(
            Status, _TOPIC, self._take, _DEPTH, callback_group=group
        )
        # Heartbeats do not stop with simulated time.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(period, self._beat, callback_group=group, clock=steady)

    def close(self) -> None:
        """Break the bond: the manager need not wait for the timeout."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)
        if not self.broken and self._node.context.ok():
            self._publish(active=False)
        self._node.destroy_publisher(self._publisher)

    def _beat(self) -> None:
        if self.broken:
            return
        silence = 0.0 if self._last_heard is None else time.monotonic() - self._last_heard
        if silence > _HEARTBEAT_TIMEOUT:
            self._break(f"no heartbeat of the lifecycle manager for {silence:.1f} s")
        else:
            self._publish(active=True)

    def _take(self, message: Any) -> None:
        if message.id != self._id or message.instance_id == self._instance or self.broken:
            return
        if message.active:
            if self._last_heard is None:
                self._node.get_logger().info("bond with the lifecycle manager formed")
            self._last_heard = time.monotonic()
        elif self._last_heard is not None:
            self._break("the lifecycle manager has closed the bond")

    def _break(self, reason: str) -> None:
        self.broken = True
        self._node.get_logger().warning(f"bond broken: {reason}")
        self._publish(active=False)

    def _publish(self, active: bool) -> None:
        message = self._type(
            id=self._id,
            instance_id=self._instance,
            active=active,
            heartbeat_timeout=_HEARTBEAT_TIMEOUT,
            heartbeat_period=self._period,
        )
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
