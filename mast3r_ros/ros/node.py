# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node `relocalizer`: a lifecycle node around a `Relocalizer`."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from mast3r_ros import frontends
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import FrontEndError
from mast3r_ros.frontends.mast3r.options import Mast3rOptions
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.store import MapError
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.ros import parameters
from mast3r_ros.ros.diagnostics import Diagnostics
from mast3r_ros.ros.outputs import Outputs
from mast3r_ros.ros.parameters import NodeOptions
from mast3r_ros.ros.prior import Prior
from mast3r_ros.ros.services import Services
from mast3r_ros.ros.session import Session
from mast3r_ros.ros.tf import source as tf

# A service that waits, images, TF and lifecycle: none holds up the others.
_THREADS = 4


def _logged(transition: Callable) -> Callable:
    """A transition whose exceptions are told: rclpy passes over them in silence."""

    @functools.wraps(transition)
    def attempt(self: RelocalizerNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except Exception as error:
            self.get_logger().error(f"{transition.__name__}: {error!r}")
            return TransitionCallbackReturn.ERROR

    return attempt


class RelocalizerNode(LifecycleNode):
    """Thin: parameters, transitions and timers; what happens to an image is in `Session`."""

    def __init__(self) -> None:
        """Declare parameters and services.

        Raises:
            ValueError: a parameter's value is not allowed.
        """
        super().__init__("relocalizer")
        parameters.declare(self)
        self.options = parameters.read(self, NodeOptions)
        self.relocalizer_options = parameters.read(self, RelocalizerOptions)
        self.add_on_set_parameters_callback(self._on_parameters)
        self.session: Session | None = None
        self._outputs = Outputs(self)
        # (rclpy keeps lists of its own in `_services` and the like.)
        self._map_services = Services(self)
        group = MutuallyExclusiveCallbackGroup()
        self.create_subscription(
            PoseWithCovarianceStamped, "initialpose", self._on_initial_pose, 1, callback_group=group
        )
        self.create_timer(1.0 / self.options.tf_rate, self._on_tf_timer, callback_group=group)
        self._diagnostics = Diagnostics(self)

    @_logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the front end and the map, and warm up."""
        try:
            chosen: dict[str, Any] = {}
            if self.options.front_end == "mast3r":
                chosen["options"] = parameters.read(self, Mast3rOptions)
            front_end = frontends.create(self.options.front_end, **chosen)
            path = self.options.map
            keyframes = KeyframeMap.load(path, front_end) if path else KeyframeMap(front_end)
        except (FrontEndError, MapError) as error:
            self.get_logger().error(f"not configured: {error}")
            return TransitionCallbackReturn.FAILURE
        self.session = Session(self, keyframes, tf.create(self), self._outputs)
        size = (640, 480)
        camera = Camera(*size, 500.0, 500.0, 319.5, 239.5)
        self.session.warm_up(Frame(np.zeros((size[1], size[0], 3), np.uint8), camera))
        weights = getattr(front_end, "details", {}).get("weights")
        by = f"{front_end.name} ({weights})" if weights else front_end.name
        self.get_logger().info(f"configured: front end {by}, {len(keyframes)} keyframes")
        return TransitionCallbackReturn.SUCCESS

    @_logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take images."""
        assert self.session is not None
        self.session.activate()
        return super().on_activate(state)

    @_logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take no more images; the map stays."""
        assert self.session is not None
        self.session.deactivate()
        return super().on_deactivate(state)

    @_logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the map and the front end."""
        self.close()
        return super().on_cleanup(state)

    @_logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As cleanup, for good."""
        self.close()
        return super().on_shutdown(state)

    @_logged
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured."""
        self.close()
        return super().on_error(state)

    def close(self) -> None:
        """End the session, if there is one."""
        session, self.session = self.session, None
        if session is not None:
            session.close()

    def _on_parameters(self, proposed: list[Parameter]) -> SetParametersResult:
        try:
            options = parameters.changed(self.options, proposed)
            relocalizer_options = parameters.changed(self.relocalizer_options, proposed)
        except (TypeError, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.options, self.relocalizer_options = options, relocalizer_options
        if self.session is not None:
            self.session.relocalizer.options = relocalizer_options
        return SetParametersResult(successful=True)

    def _on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        if self.session is None:
            return
        try:
            prior = Prior.from_message(message, self.options.map_frame, self.options.base_frame)
        except ValueError as error:
            self.get_logger().warning(f"initialpose not taken: {error}")
            return
        self.session.reset()
        self.session.believe(prior)

    def _on_tf_timer(self) -> None:
        if self.session is not None:
            self.session.tf_output.send_again()


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted."""
    # An interrupt ends the context, by rclpy's own handler, and with it `spin`. Python's handler
    # would raise KeyboardInterrupt wherever it strikes, such as amid the executor's bookkeeping.
    signal.signal(signal.SIGINT, lambda *_: None)
    rclpy.init(args=args)
    try:
        node = RelocalizerNode()
    except Exception as error:  # rclpy has many for a parameter of the wrong type or value
        rclpy.try_shutdown()
        sys.exit(f"relocalizer: {error}")
    executor = MultiThreadedExecutor(_THREADS)
    executor.add_node(node)
    try:
        if node.options.autostart and _succeeded(node.trigger_configure()):
            node.trigger_activate()
        executor.spin()
    except ExternalShutdownException:
        pass
    except RuntimeError:  # rclpy's RCLError, among others
        # A callback was about to publish when the context was taken away from under it.
        if rclpy.ok():
            raise
    finally:
        node.close()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


def _succeeded(result: Any) -> bool:
    return result == TransitionCallbackReturn.SUCCESS


if __name__ == "__main__":
    main()
