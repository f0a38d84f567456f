# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keeps a single odd answer from throwing TF about."""

from __future__ import annotations

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose


class JumpGate:
    """Lets small corrections through, and jumps only once several answers in a row agree.

    The first answer is a jump, too: from nowhere.
    """

    def __init__(self) -> None:
        """Nothing is trusted yet."""
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._trusted: Pose | None = None
        self._previous: Pose | None = None
        self.agreeing = 0

    def admit(
        self, pose: Pose, distance: float, angle: float, confirmations: int, fresh: bool = True
    ) -> bool:
        """Whether to follow an answer.

        Args:
            pose: what was answered, (4, 4).
            distance, angle: more than this is a jump [m, rad].
            confirmations: so many consecutive answers must agree on a jump.
            fresh: one that only confirms what odometry expects agrees with the last one in any
                case: it is followed where it is no jump, and speaks for none.
        """

        def near(other: Pose | None) -> bool:
            return (
                other is not None
                and transforms.distance(pose, other) <= distance
                and transforms.rotation_angle(pose, other) <= angle
            )

        if not fresh and not near(self._trusted):
            return False
        self.agreeing = self.agreeing + 1 if near(self._previous) else 1
        self._previous = pose
        if not near(self._trusted) and self.agreeing < confirmations:
            return False
        self._trusted = pose
        return True
