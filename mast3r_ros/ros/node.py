# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node's program: `ros2 run mast3r_ros relocalizer`, or `python3 -m mast3r_ros.ros.node`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from mast3r_ros.common.missing import remedy

# Services that wait, images, TF, the bond and lifecycle: none holds up the others.
_THREADS = 5
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# How long the executor waits at most before it looks whether a signal came [s].
_PATIENCE = 0.2


def main(args: list[str] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM.

    Ends with status 0 then, with 1 where the parameters are not allowed, or autostart fails and
    `exit_on_failed_autostart` says so. A second signal ends the process at once.
    """
    # rclpy's own handlers end its context wherever the signal strikes, such as amid a transition,
    # which then fails with errors in the log. Here the node goes down in order, its context alive.
    # While libraries load, there is nothing yet to be ended in order.
    ended: list[int] = []
    running = False

    def end(number: int, _frame: object) -> None:
        if not running:
            os._exit(0)
        ended.append(number)
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    for number in _SIGNALS:
        signal.signal(number, end)
    try:
        import rclpy
        from rclpy.exceptions import ParameterException
        from rclpy.signals import SignalHandlerOptions

        from mast3r_ros.ros.executor import Executor
        from mast3r_ros.ros.relocalizer_node import RelocalizerNode
    except ModuleNotFoundError as error:
        what = remedy(error)
        if what is None:
            raise
        sys.exit(f"relocalizer: {what}")

    running = True
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node, executor, status = None, Executor(_THREADS), 0
    try:
        try:
            node = RelocalizerNode()
        except (ParameterException, ValueError) as error:
            sys.exit(f"relocalizer: {error}")
        executor.add_node(node)
        if ended or (node.options.autostart and not _start(node)):
            status = int(not ended and node.options.exit_on_failed_autostart)
        while not ended and not status:
            executor.spin_once(timeout_sec=_PATIENCE)
    finally:
        if node is not None:
            node.close()  # services that wait are answered
        executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    sys.exit(status)


def _start(node: Any) -> bool:
    """Configure and activate; returns whether that succeeded."""
    from rclpy.lifecycle import TransitionCallbackReturn

    done = TransitionCallbackReturn.SUCCESS
    return node.trigger_configure() == done and node.trigger_activate() == done


if __name__ == "__main__":
    main()
