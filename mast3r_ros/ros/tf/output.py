# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the node tells TF."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.ros.gate import JumpGate
from mast3r_ros.ros.options import NodeOptions
from mast3r_ros.ros.tf.source import Tf, TransformError

# What each mode publishes.
_NAMES = {"map_odom": "map->odom", "map_camera": "map->camera"}


class TfOutput:
    """Turns metric answers into map -> odom or map -> camera, past the gate."""

    def __init__(self, tf: Tf, clock: Any, options: Callable[[], NodeOptions]) -> None:
        """Send by `tf`, dated by `clock`."""
        self._tf = tf
        self._clock = clock
        self._options = options
        self._gate = JumpGate()
        self._lock = threading.Lock()
        self._map_odom: Pose | None = None

    def reset(self) -> None:
        """Forget the last answers, and send nothing until new ones agree."""
        with self._lock:
            self._gate.reset()
            self._map_odom = None

    def take(
        self, map_camera: Pose, frame_id: str, stamp: int, odom_camera: Pose | TransformError
    ) -> str:
        """Follow an answer, or say why not.

        Args:
            map_camera: map <- camera, (4, 4), metric.
            frame_id: the camera's optical frame.
            stamp: of its image [ns].
            odom_camera: odom <- camera at that stamp, or why it is not known.
        """
        options = self._options()
        if options.tf_mode == "none":
            return ""
        answer = map_camera
        if options.tf_mode == "map_odom":
            if isinstance(odom_camera, TransformError):
                return f"map->odom not updated: {odom_camera}"
            answer = map_camera @ transforms.inverse(odom_camera)
        with self._lock:
            admitted = self._gate.admit(
                answer, options.gate_distance, options.gate_angle, options.gate_confirmations
            )
            if not admitted:
                return (
                    f"{_NAMES[options.tf_mode]} held back: {self._gate.agreeing} of "
                    f"{options.gate_confirmations} consistent poses"
                )
            if options.tf_mode == "map_odom":
                self._map_odom = answer
        if options.tf_mode == "map_camera":
            self._tf.send(options.map_frame, frame_id, answer, stamp)
        else:
            self.send_again()
        return ""

    def send_again(self) -> None:
        """Send map -> odom as it was last found, post-dated by `transform_tolerance`."""
        options = self._options()
        with self._lock:
            pose = self._map_odom
        if pose is not None:
            ahead = self._clock.now().nanoseconds + round(options.transform_tolerance * 1e9)
            self._tf.send(options.map_frame, options.odom_frame, pose, ahead)
