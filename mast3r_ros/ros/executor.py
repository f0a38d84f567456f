# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The executor of the node: rclpy's, for nodes whose subscriptions come and go."""

from __future__ import annotations

from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import MultiThreadedExecutor


class Executor(MultiThreadedExecutor):
    """Several threads, and transitions in any of them.

    Deactivation destroys subscriptions while this thread may be listing what to wait for. rclpy
    leaves out those that are gone, except for their QoS events, for which `InvalidHandle` ends the
    program. Here the list is made again.
    """

    def wait_for_ready_callbacks(self, *arguments: Any, **options: Any) -> Any:
        """As rclpy's; what callbacks raise comes through as before."""
        while True:
            try:
                return super().wait_for_ready_callbacks(*arguments, **options)
            except InvalidHandle:
                continue
