# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The latest messages of a topic, to be asked for by their stamps."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from mast3r_ros.messages import conversions
from mast3r_ros.ros.host import Host

# Deep enough that the executor sees every message and can count it.
QUEUE = 5
# Messages kept: who asks, asks for what belongs to one of the latest images.
_KEPT = 10

Message = TypeVar("Message")


def subscribe(
    node: Host,
    kind: type[Message],
    topic: str,
    callback: Callable[[Message], None],
    reliability: str,
    group: Any,
) -> Any:
    """Subscribe to what a sensor sends; `qos_overrides.*` of the topic take precedence."""
    return node.create_subscription(
        kind,
        topic,
        callback,
        # A profile for each: the overrides are written into it.
        QoSProfile(depth=QUEUE, reliability=ReliabilityPolicy[reliability.upper()]),
        callback_group=group,
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )


class Recent(Generic[Message]):
    """Keeps the latest messages, whose `header` has a stamp; many threads may ask."""

    def __init__(self) -> None:
        """Begin with none."""
        self._arrived = threading.Condition()
        self._messages: deque[Message] = deque(maxlen=_KEPT)

    def __bool__(self) -> bool:
        """Whether there has been any."""
        return bool(self._messages)

    def take(self, message: Message) -> None:
        """A message, in the executor's thread."""
        with self._arrived:
            self._messages.append(message)
            self._arrived.notify_all()

    def nearest(self, stamp: int, tolerance: float = float("inf")) -> Message | None:
        """The message nearest to a stamp [ns] within a tolerance [s]; of equals the newest."""

        def away(message: Any) -> int:
            return abs(conversions.to_nanoseconds(message.header.stamp) - stamp)

        found = min(reversed(tuple(self._messages)), key=away, default=None)
        return None if found is None or away(found) > tolerance * 1e9 else found

    def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Whether a condition on the messages holds now or within a time [s]."""
        with self._arrived:
            return self._arrived.wait_for(condition, timeout)
