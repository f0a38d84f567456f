# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the calibration of a rectified right camera tells of a stereo pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mast3r_ros.common.errors import UserError
from mast3r_ros.geometry.camera import Camera

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo

# Rectified cameras have one focal length and one principal point, up to rounding [pixels].
_ROUNDING = 0.5


class StereoError(UserError, ValueError):
    """Two cameras that are no rectified stereo pair."""


def focal_baseline(right: CameraInfo, left: Camera, topic: str, remedy: str) -> float:
    """Focal length [pixels] times baseline [m] of a rectified pair.

    Args:
        right: of the right camera; its P holds the baseline.
        left: the left camera.
        topic: of `right`, for messages.
        remedy: how rectified images are given.

    Raises:
        StereoError: there is no baseline, or the two are not a rectified pair.
    """
    p = np.asarray(right.p, np.float64).reshape(3, 4)
    if not p[0, 3] < 0:
        raise StereoError(
            f"{topic}: P[3] is {p[0, 3]:g}, that of a right camera is negative (minus focal length "
            "times baseline); is it the left one?"
        )
    same = np.allclose((p[0, 0], p[0, 2]), (left.fx, left.cx), atol=_ROUNDING)
    if not same or left.distortion:
        raise StereoError(
            f"{topic}: the left and right images are not rectified to one another: {remedy}"
        )
    return -float(p[0, 3])
