# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node `relocalizer`: a lifecycle node around a `Relocalizer`."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from mast3r_ros import frontends
from mast3r_ros.common.errors import UserError
from mast3r_ros.frame import Frame
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.map_odom import FilterOptions
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.window import WindowOptions
from mast3r_ros.ros import bond, parameters
from mast3r_ros.ros.diagnostics import Diagnostics
from mast3r_ros.ros.localize_action import LocalizeAction
from mast3r_ros.ros.memory import give_back
from mast3r_ros.ros.options import NodeOptions
from mast3r_ros.ros.outputs import Outputs
from mast3r_ros.ros.prior import Prior
from mast3r_ros.ros.rig import Instant
from mast3r_ros.ros.services import Services
from mast3r_ros.ros.session import Session
from mast3r_ros.ros.tf import choose as tf
from mast3r_ros.ros.worker import Worker


def _reported(transition: Callable) -> Callable:
    """A transition that logs why it fails: rclpy discards exceptions.

    What a user can put right makes it fail; any other exception is a bug, is logged with its
    traceback, and takes the node through `on_error` to unconfigured. /diagnostics shows either.
    """

    @functools.wraps(transition)
    def attempt(self: RelocalizerNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            result = transition(self, state)
        except Exception as error:
            known = isinstance(error, UserError)
            self.failure = str(error) if known else repr(error)
            details = "" if known else f"\n{traceback.format_exc()}"
            self.get_logger().error(f"{transition.__name__}: {self.failure}{details}")
            return TransitionCallbackReturn.FAILURE if known else TransitionCallbackReturn.ERROR
        return result

    return attempt


class RelocalizerNode(LifecycleNode):
    """Thin: parameters and transitions; what happens to an image is in `Session`."""

    def __init__(self) -> None:
        """Declare parameters and services.

        Raises:
            ValueError: a parameter's value is not allowed.
        """
        # First: where a parameter is not allowed, rclpy destroys the node as far as it is made.
        self.session: Session | None = None
        self.failure = ""
        self._configured = False
        self._bond: bond.Bond | None = None
        self._action: LocalizeAction | None = None
        self._worker: Worker[Instant] = Worker()
        super().__init__("relocalizer")
        parameters.declare(self)
        self.options = parameters.read(self, NodeOptions)
        self.relocalizer_options = parameters.read(self, RelocalizerOptions)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._outputs = Outputs(self)
        # (rclpy keeps lists of its own in `_services` and the like.)
        self._map_services = Services(self, lambda: self.session)
        self._action = LocalizeAction(self, lambda: self.session)
        self.create_subscription(
            PoseWithCovarianceStamped,
            "initialpose",
            self._on_initial_pose,
            1,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )
        self._diagnostics = Diagnostics(self, lambda: self.session, lambda: self.failure)

    @_reported
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the front end and the map, and warm up."""
        self._configured = True
        try:
            parameters.require_consistent(self.options, self.relocalizer_options)
            # The thread that will run the network makes it, too.
            keyframes = self._worker.submit(self._load).result()
            window = parameters.read(self, WindowOptions)
            filtering = parameters.read(self, FilterOptions)
            self.session = Session(
                self, self._worker, keyframes, tf.create(self), self._outputs, window, filtering
            )
            size = (640, 480)
            camera = Camera(*size, 500.0, 500.0, 319.5, 239.5)
            self.session.warm_up(Frame(np.zeros((size[1], size[0], 3), np.uint8), camera))
        except BaseException:
            self.close()
            raise
        self.failure = ""
        front_end = keyframes.front_end
        weights = getattr(front_end, "details", {}).get("weights")
        by = f"{front_end.name} ({weights})" if weights else front_end.name
        self.get_logger().info(f"configured: front end {by}, {len(keyframes)} keyframes")
        return TransitionCallbackReturn.SUCCESS

    def _load(self) -> KeyframeMap:
        name, path = self.options.front_end, self.options.map
        front_end = frontends.create(name, parameters.read(self, frontends.OPTIONS[name]))
        cache = self.options.map_cache
        if not path:
            return KeyframeMap(front_end, cache)
        return KeyframeMap.load(path, front_end, cache)

    @_reported
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take images."""
        assert self.session is not None
        self.session.activate()
        period = self.options.bond_heartbeat_period
        if period and bond.installed():
            self._bond = bond.Bond(self, period)
        elif period:
            self.get_logger().info(
                "no bond with a lifecycle manager: the package bond is not installed (a nav2 "
                "lifecycle manager then needs bond_timeout: 0.0)"
            )
        return super().on_activate(state)

    @_reported
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take no more images; the map stays."""
        assert self.session is not None
        self._close_bond()
        self.session.deactivate()
        return super().on_deactivate(state)

    @_reported
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the map and the front end."""
        self.close()
        return super().on_cleanup(state)

    @_reported
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As cleanup, for good."""
        self.close()
        return super().on_shutdown(state)

    @_reported
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """End the worker thread, too."""
        self.close()
        self._worker.close()
        if self._action is not None:
            self._action.destroy()
        super().destroy_node()

    def close(self) -> None:
        """End the session, if there is one."""
        self._close_bond()
        session, self.session = self.session, None
        if session is not None:
            session.close()
            del session
            give_back()
        self._configured = False

    def _close_bond(self) -> None:
        closing, self._bond = self._bond, None
        if closing is not None:
            closing.close()

    def _on_parameters(self, proposed: list[Parameter]) -> SetParametersResult:
        fixed = [p.name for p in proposed if p.name in parameters.FIXED]
        if fixed and self._configured:
            reason = (
                f"{', '.join(fixed)}: read when the node is configured; clean it up first "
                "(ros2 lifecycle set), then set and configure again"
            )
            return SetParametersResult(successful=False, reason=reason)
        try:
            options = parameters.changed(self.options, proposed)
            relocalizer_options = parameters.changed(self.relocalizer_options, proposed)
            for kind in (WindowOptions, FilterOptions, *frontends.OPTIONS.values()):
                parameters.changed(parameters.read(self, kind), proposed)
            if self._configured:
                parameters.require_consistent(options, relocalizer_options)
        except (TypeError, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.options, self.relocalizer_options = options, relocalizer_options
        if self.session is not None:
            self.session.relocalizer.options = relocalizer_options
        return SetParametersResult(successful=True)

    def _on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        session = self.session
        if session is None:
            return
        try:
            prior = Prior.from_message(message, self.options.map_frame, self.options.base_frame)
        except ValueError as error:
            self.get_logger().warning(f"initialpose rejected: {error}")
            return
        session.reset()
        session.believe(prior)
