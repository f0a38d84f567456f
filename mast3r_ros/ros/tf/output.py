# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the node tells TF."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.rig import move_covariance
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.map_odom import (
    Belief,
    FilterOptions,
    FilterState,
    MapOdomFilter,
    planar,
)
from mast3r_ros.localization.result import Localization
from mast3r_ros.localization.smoothing import Smoothing
from mast3r_ros.ros.gate import JumpGate
from mast3r_ros.ros.options import NodeOptions
from mast3r_ros.ros.tf.source import NO_STAMP, Tf, TransformError


@dataclass(frozen=True)
class Filtered:
    """What the filter says of the robot.

    Attributes:
        state: how far it may be trusted; None where map -> odom is not published.
        driven, age: since the last fix that was believed [m, s].
    """

    state: FilterState | None
    driven: float = 0.0
    age: float = 0.0


class TfOutput:
    """Turns metric answers into map -> odom by a filter, or into map -> camera past a gate."""

    def __init__(
        self,
        tf: Tf,
        clock: Any,
        options: Callable[[], NodeOptions],
        filtering: FilterOptions,
        publish: Callable[[Belief, int], None],
        jumped: Callable[[Pose, float], bool],
    ) -> None:
        """Send by `tf`, dated by `clock`.

        Args:
            tf: reads and sends transforms.
            clock: the node's.
            options: the node's, as they now stand.
            filtering: those of the filter.
            publish: called with the robot's pose and its stamp [ns], at `tf_rate`.
            jumped: whether a motion by odometry in so many seconds is none.
        """
        self._tf = tf
        self._clock = clock
        self._options = options
        self._publish = publish
        self._jumped = jumped
        # Where odometry last said that the robot was, and when [ns].
        self._reckoned: tuple[Pose, int] | None = None
        self._gate = JumpGate()
        self._filter = MapOdomFilter(filtering)
        self._smoothing = Smoothing()
        self._sent = 0  # when map -> odom was sent last [ns]
        self._lock = threading.Lock()

    def reset(self) -> None:
        """Forget the last answers, and send nothing until new ones agree."""
        with self._lock:
            self._gate.reset()
            self._filter.reset()
            self._smoothing.reset()
            self._reckoned = None

    @property
    def filtered(self) -> Filtered:
        """What the filter says now."""
        if self._options().tf_mode != "map_odom":
            return Filtered(None)
        with self._lock:
            return Filtered(self._filter.state, self._filter.driven, self._filter.age)

    def take(
        self,
        answer: Localization,
        frame_id: str,
        stamp: int,
        odom_camera: Pose | TransformError,
    ) -> str:
        """Follow an answer, or say why not.

        Args:
            answer: with a pose map <- camera.
            frame_id: the camera's optical frame.
            stamp: of its image [ns].
            odom_camera: odom <- camera at that stamp, or why it is not known.
        """
        assert answer.pose is not None
        assert answer.covariance is not None
        options = self._options()
        if options.tf_mode == "map_camera":
            if stamp == 0:
                return f"map->camera not sent: {NO_STAMP}"
            return self._send_camera(answer.pose, frame_id, stamp, answer.fresh > 0)
        if options.tf_mode == "none":
            return ""
        if isinstance(odom_camera, TransformError):
            return f"map->odom not updated: {odom_camera}"
        lever = self._camera_base(frame_id)
        with self._lock:
            believed = self._filter.correct(
                answer.pose @ lever,
                move_covariance(answer.covariance, answer.pose, lever),
                odom_camera @ lever,
                stamp,
                options.gate_confirmations,
                fresh=answer.fresh,
                bump_shown=answer.bump_shown,
            )
            agreeing = self._filter.agreeing
        if not believed and not agreeing:
            return "map->odom not corrected: the newest images see too little of the map"
        if not believed:
            return _held_back("map->odom", agreeing, options)
        self.send_again()
        return ""

    def miss(self, frame_id: str, stamp: int, odom_camera: Pose | TransformError) -> None:
        """An image that was not localized: the robot has driven on."""
        if isinstance(odom_camera, TransformError) or self._options().tf_mode != "map_odom":
            return
        lever = self._camera_base(frame_id)
        with self._lock:
            self._filter.predict(odom_camera @ lever, stamp)

    def send_again(self) -> None:
        """Send map -> odom, post-dated by `transform_tolerance`, and the robot's pose."""
        options = self._options()
        with self._lock:
            belief, filtering = self._filter.belief, self._filter.options
        if belief is None or options.tf_mode != "map_odom":
            return
        shown, now = planar(belief) if options.planar else belief, self._clock.now().nanoseconds
        with self._lock:
            passed, self._sent = (now - self._sent) / 1e9, now
            map_odom = self._smoothing.follow(
                shown, self._filter.moves, passed, filtering.smoothing
            )
        ahead = now + round(options.transform_tolerance * 1e9)
        self._tf.send(options.map_frame, options.odom_frame, map_odom, ahead)
        try:
            odom_base, stamp = self._tf.latest(options.odom_frame, options.base_frame)
        except TransformError:
            return
        if self._has_jumped(odom_base, stamp):
            self.reset()
            return
        here = belief.moved(odom_base, filtering)
        self._publish(planar(here) if options.planar else here, stamp)

    def _has_jumped(self, odom_base: Pose, stamp: int) -> bool:
        """Whether odometry was reset since it was asked last."""
        with self._lock:
            before, self._reckoned = self._reckoned, (odom_base, stamp)
        if before is None or stamp < before[1]:  # time that goes back is the session's to judge
            return False
        return self._jumped(transforms.inverse(before[0]) @ odom_base, (stamp - before[1]) / 1e9)

    def _send_camera(self, map_camera: Pose, frame_id: str, stamp: int, fresh: bool) -> str:
        options = self._options()
        with self._lock:
            admitted = self._gate.admit(
                map_camera,
                options.gate_distance,
                options.gate_angle,
                options.gate_confirmations,
                fresh,
            )
            agreeing = self._gate.agreeing
        if not admitted:
            return _held_back("map->camera", agreeing, options)
        self._tf.send(options.map_frame, frame_id, map_camera, stamp)
        return ""

    def _camera_base(self, frame_id: str) -> Pose:
        """camera <- base; the camera itself is filtered where TF has no base."""
        try:
            return self._tf.find(frame_id, self._options().base_frame, 0)
        except TransformError:
            return np.eye(4)


def _held_back(name: str, agreeing: float, options: NodeOptions) -> str:
    return f"{name} held back: {agreeing:.2g} of {options.gate_confirmations} consistent poses"
