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


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted.

    Ends with status 0 at an interrupt, with 1 where the parameters are not allowed, or autostart
    fails and `exit_on_failed_autostart` says so.
    """
    # Once rclpy runs, an interrupt ends its context, by its own handler, and with it `spin`.
    # Python's handler would raise KeyboardInterrupt wherever it strikes, such as amid the
    # executor's bookkeeping. While libraries load, there is nothing yet to be ended in order.
    running = False
    signal.signal(signal.SIGINT, lambda *_: None if running else os._exit(0))
    try:
        import rclpy
        from rclpy.exceptions import ParameterException
        from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor

        from mast3r_ros.ros.relocalizer_node import RelocalizerNode
    except ModuleNotFoundError as error:
        what = remedy(error)
        if what is None:
            raise
        sys.exit(f"relocalizer: {what}")

    rclpy.init(args=args)
    running = True
    node, executor, status = None, MultiThreadedExecutor(_THREADS), 0
    try:
        try:
            node = RelocalizerNode()
        except (ParameterException, ValueError) as error:
            sys.exit(f"relocalizer: {error}")
        executor.add_node(node)
        if node.options.autostart and not _start(node) and node.options.exit_on_failed_autostart:
            status = 1
        else:
            executor.spin()
    except ExternalShutdownException:
        pass
    except RuntimeError:  # rclpy's RCLError, among others
        # A callback was about to publish when the context was taken away from under it.
        if rclpy.ok():
            raise
    finally:
        interrupted = not rclpy.ok()
        if node is not None:
            node.close()  # services that wait are answered
        executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    sys.exit(0 if interrupted else status)


def _start(node: Any) -> bool:
    """Configure and activate; returns whether that succeeded."""
    from rclpy.lifecycle import TransitionCallbackReturn

    done = TransitionCallbackReturn.SUCCESS
    return node.trigger_configure() == done and node.trigger_activate() == done


if __name__ == "__main__":
    main()
