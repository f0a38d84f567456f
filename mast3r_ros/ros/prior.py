# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A pose that somebody believes in, from `initialpose` or with a request."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.retrieval import PosePrior
from mast3r_ros.messages import conversions
from mast3r_ros.ros.tf.source import Tf, TransformError

# REP-103: the body looks along x with z up, the optical frame along z with y down.
_BODY_OPTICAL = transforms.make([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], [0, 0, 0])


@dataclass(frozen=True)
class Prior:
    """Where the robot is believed to be.

    Attributes:
        pose: map <- base, (4, 4).
        covariance: (6, 6) [m, rad].
        base_frame: the robot's frame.
        since: when it was said, on the monotonic clock [s].
    """

    pose: Pose
    covariance: NDArray[np.float64]
    base_frame: str
    since: float

    @staticmethod
    def from_message(message: PoseWithCovarianceStamped, map_frame: str, base_frame: str) -> Prior:
        """Take a message.

        Raises:
            ValueError: it speaks of another frame, or is not a pose.
        """
        frame = message.header.frame_id.lstrip("/")
        if frame not in ("", map_frame):
            raise ValueError(f"prior in frame '{frame}': expected '{map_frame}'")
        pose = conversions.to_pose(message.pose.pose)
        covariance = conversions.to_covariance(message.pose.covariance)
        return Prior(pose, covariance, base_frame, time.monotonic())

    @property
    def age(self) -> float:
        """How long ago it was said [s]."""
        return time.monotonic() - self.since

    def for_camera(self, camera_frame: str, tf: Tf) -> PosePrior:
        """The same of the camera.

        Without TF from the robot's frame to the camera's, the camera is taken to sit at its origin
        and look ahead: near enough for a prior, which only orders the search.
        """
        try:
            base_camera = tf.find(self.base_frame, camera_frame, 0)
        except TransformError:
            base_camera = _BODY_OPTICAL
        return PosePrior(self.pose @ base_camera, self.covariance)
