# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""map -> odom without steps: what is published follows the filter's estimate."""

from __future__ import annotations

import math

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.map_odom import Belief


class Smoothing:
    """Follows the estimate exponentially; where the robot was found elsewhere, at once."""

    def __init__(self) -> None:
        """Nothing was published yet."""
        self.reset()

    def reset(self) -> None:
        """The next estimate is taken as it is."""
        self._map_odom: Pose | None = None
        self._moves = 0

    def follow(self, belief: Belief, moves: int, seconds: float, time_constant: float) -> Pose:
        """map <- odom to be published.

        The robot moves on a straight line toward where it is: its own pose is what is smoothed, as
        odometry's origin may be far away.

        Args:
            belief: the estimate.
            moves: how often the robot was found elsewhere.
            seconds: since the last call.
            time_constant: in which a correction is made to 1 - 1/e [s]; 0: at once.
        """
        if self._map_odom is None or moves != self._moves or time_constant <= 0:
            self._map_odom = belief.map_odom
        else:
            shown = self._map_odom @ belief.odom_body
            part = -math.expm1(-max(seconds, 0.0) / time_constant)
            step = part * transforms.difference(belief.pose, shown)
            self._map_odom = transforms.perturb(shown, step) @ transforms.inverse(belief.odom_body)
        self._moves = moves
        return self._map_odom
