# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The action `~/localize`: goes on until an image is localized as exactly as wanted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup

from mast3r_ros.action import Localize
from mast3r_ros.common.errors import UserError
from mast3r_ros.msg import RelocalizationStatus
from mast3r_ros.ros.host import Host
from mast3r_ros.ros.prior import Prior
from mast3r_ros.ros.session import Answered, Session

# How often a goal that waits for an image looks whether it was canceled or replaced [s].
_POLL = 0.05


class GoalError(UserError, RuntimeError):
    """Why a goal is not reached, and what to do about it."""


class _Canceled(Exception):
    """The client has canceled the goal."""


@dataclass
class _Progress:
    """What a goal has seen so far.

    Attributes:
        images: looked at.
        best: the most exact pose, with its standard deviations of position and orientation.
        reason: why the goal is not reached yet.
    """

    images: int = 0
    best: PoseWithCovarianceStamped | None = None
    sigmas: tuple[float, float] = (math.inf, math.inf)
    reason: str = "no image yet"

    def take(self, answered: Answered, goal: Localize.Goal, filtering: bool) -> bool:
        """What became of another image; returns whether the goal is reached."""
        self.images += 1
        if answered.pose is None:
            self.reason = answered.status.reason
            return False
        sigmas = sigmas_of(answered.pose)
        if self.best is None or sigmas[0] < self.sigmas[0]:
            self.best, self.sigmas = answered.pose, sigmas
        for sigma, wanted, unit in zip(
            sigmas, (goal.position_sigma, goal.rotation_sigma), ("m", "rad"), strict=True
        ):
            if wanted and sigma > wanted:
                self.reason = f"{sigma:.3g} {unit} of standard deviation, {wanted:.3g} wanted"
                return False
        if filtering and answered.status.filter_state != RelocalizationStatus.FILTER_LOCALIZED:
            self.reason = answered.status.reason or "map->odom is not sent yet"
            return False
        return True


def sigmas_of(pose: PoseWithCovarianceStamped) -> tuple[float, float]:
    """Standard deviations of position [m] and orientation [rad], over all axes."""
    variances = np.diag(np.asarray(pose.pose.covariance).reshape(6, 6))
    return float(np.sqrt(variances[:3].sum())), float(np.sqrt(variances[3:].sum()))


class LocalizeAction:
    """Serves `~/localize`, one goal at a time: a newer one replaces it."""

    def __init__(self, node: Host, session: Callable[[], Session | None]) -> None:
        """Offer it; `session` is there from configure to cleanup."""
        self._node = node
        self._current = session
        self._newest: Any = None
        self._server = ActionServer(
            node,
            Localize,
            "~/localize",
            self._execute,
            handle_accepted_callback=self._accept,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
        )

    def destroy(self) -> None:
        """Offer it no more."""
        self._server.destroy()

    def _accept(self, handle: Any) -> None:
        self._newest = handle
        handle.execute()

    def _execute(self, handle: Any) -> Localize.Result:
        """Always ends the goal, with the reason where it fails."""
        result, progress = Localize.Result(), _Progress()
        try:
            result.message = self._pursue(handle, result, progress)
            result.success = True
            handle.succeed()
        except _Canceled:
            result.message = f"canceled after {progress.images} images: {progress.reason}"
            handle.canceled()
        except (UserError, CancelledError) as error:
            result.message = str(error) or "the node was deactivated meanwhile"
            handle.abort()
        if self._node.context.ok():
            self._node.get_logger().info(f"localize: {result.message}")
        return result

    def _pursue(self, handle: Any, result: Localize.Result, progress: _Progress) -> str:
        """Look at image after image; returns what was found."""
        goal, options = handle.request, self._node.options
        timeout, prior = self._checked(goal)
        deadline = time.monotonic() + timeout
        while True:
            session = self._current()
            if session is None or session.inputs is None:
                raise GoalError("the node takes no images: configure and activate it first")
            answered = self._wait(handle, session.ask_next(prior), deadline)
            if answered is None:
                raise GoalError(
                    f"not localized within {timeout:g} s, {progress.images} images of "
                    f"{session.inputs.image_topic}: {progress.reason}"
                )
            reached = progress.take(answered, goal, options.tf_mode == "map_odom")
            result.status = answered.status
            if reached:
                assert answered.pose is not None
                result.pose = answered.pose
                sigmas = sigmas_of(answered.pose)
                return (
                    f"localized after {progress.images} images, {sigmas[0]:.3g} m, "
                    f"{sigmas[1]:.3g} rad"
                )
            feedback = Localize.Feedback(
                images=progress.images,
                views=answered.views,
                position_sigma=progress.sigmas[0],
                rotation_sigma=progress.sigmas[1],
                reason=progress.reason,
                status=answered.status,
            )
            if progress.best is not None:
                feedback.best = progress.best
            handle.publish_feedback(feedback)

    def _checked(self, goal: Localize.Goal) -> tuple[float, Prior | None]:
        """The timeout [s] and the prior of a goal.

        Raises:
            GoalError: one of its fields is out of range.
        """
        for name in ("timeout", "position_sigma", "rotation_sigma"):
            value = getattr(goal, name)
            if not 0.0 <= value < math.inf:
                raise GoalError(f"{name} {value}: must be 0 (the default) or more")
        options, prior = self._node.options, None
        if goal.use_prior:
            try:
                prior = Prior.from_message(goal.prior, options.map_frame, options.base_frame)
            except ValueError as error:
                raise GoalError(str(error)) from error
        return goal.timeout or options.service_timeout, prior

    def _wait(self, handle: Any, future: Future[Answered], deadline: float) -> Answered | None:
        """What became of an image; None where the time is over.

        Raises:
            GoalError: a newer goal has come.
            CancelledError: the node was deactivated.
        """
        while True:
            if handle.is_cancel_requested:
                future.cancel()
                raise _Canceled
            if self._newest is not handle:
                future.cancel()
                raise GoalError("replaced by a newer goal")
            left = deadline - time.monotonic()
            try:
                return future.result(min(max(left, 0.0), _POLL))
            except FutureTimeoutError:
                if left <= _POLL:
                    future.cancel()
                    return None
