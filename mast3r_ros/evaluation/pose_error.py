# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How far an estimated pose is from the true one: the one measure of every evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose


class Bound(NamedTuple):
    """A distance and an angle that an error is compared with."""

    translation_m: float
    rotation_rad: float

    @staticmethod
    def of(meters: float, degrees: float) -> Bound:
        """A bound whose angle is given in degrees."""
        return Bound(meters, float(np.deg2rad(degrees)))

    @property
    def key(self) -> str:
        """The name of its figure, as within_25cm_5deg."""
        return f"within_{100 * self.translation_m:.0f}cm_{np.rad2deg(self.rotation_rad):.0f}deg"

    @property
    def label(self) -> str:
        """The same for people."""
        return f"{100 * self.translation_m:.0f} cm, {np.rad2deg(self.rotation_rad):.0f}°"


@dataclass(frozen=True)
class PoseError:
    """The error of a pose; without a pose it is infinite.

    Attributes:
        translation_m: distance to the true position.
        rotation_rad: angle to the true orientation.
        direction_rad: angle between the true and the estimated translation; infinite where one of
            them is zero.
        delta: (6,) [m, rad], in the sense of `transforms.difference`; None without a pose.
    """

    translation_m: float = np.inf
    rotation_rad: float = np.inf
    direction_rad: float = np.inf
    delta: NDArray[np.float64] | None = None

    @staticmethod
    def of(pose: Pose | None, truth: Pose) -> PoseError:
        """The error of an estimate; both are poses in one frame."""
        if pose is None:
            return PoseError()
        return PoseError(
            transforms.distance(pose, truth),
            transforms.rotation_angle(pose, truth),
            _angle(pose[:3, 3], truth[:3, 3]),
            transforms.difference(pose, truth),
        )

    @property
    def rotation_deg(self) -> float:
        """`rotation_rad` in degrees."""
        return float(np.rad2deg(self.rotation_rad))

    @property
    def direction_deg(self) -> float:
        """`direction_rad` in degrees."""
        return float(np.rad2deg(self.direction_rad))

    def within(self, bound: Bound) -> bool:
        """Whether both errors lie within a bound."""
        return self.translation_m <= bound.translation_m and self.rotation_rad <= bound.rotation_rad

    def excess(self, bound: Bound) -> float:
        """The error as a multiple of a bound, the greater one of both."""
        return max(self.translation_m / bound.translation_m, self.rotation_rad / bound.rotation_rad)

    def nees(self, covariance: NDArray[np.float64] | None) -> float:
        """Normalized estimation error squared: the squared Mahalanobis distance of the error.

        Chi-square with 6 degrees of freedom where the (6, 6) covariance is exact: 6 in the mean,
        5.35 in the median, below 12.59 in 95 % of all cases. NaN without pose or covariance.
        """
        if self.delta is None or covariance is None:
            return float("nan")
        return float(self.delta @ np.linalg.solve(covariance, self.delta))


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Between two vectors [rad]; infinite where one of them has no direction."""
    if not (np.any(a) and np.any(b)):
        return np.inf
    return float(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b))
