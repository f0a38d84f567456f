# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""map -> odom as an estimate: fixes from images, odometry in between, and what is not believed.

A Kalman filter on the robot's pose in the map (Barfoot and Furgale, IEEE T-RO 2014). Odometry moves
it, and adds noise for each meter and each radian driven; a fix corrects it where it passes a
chi-square gate. Fixes elsewhere are kept apart: where enough in a row agree with
each other, the robot is there, as when it was carried away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.options import check, option
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.rig import move_covariance
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.result import Localization

Array = NDArray[np.float64]

# Fixes where the robot is believed to be must add so much together to be one: of the images of one
# with all that an answer needs, a bump shows more than not.
_ENOUGH = 0.5


class FilterState(Enum):
    """How far the filter's pose may be trusted."""

    INITIALIZING = "no pose yet"
    LOCALIZED = "localized"
    DEAD_RECKONING = "by odometry since the last fix"
    LOST = "too uncertain since the last fix"


@dataclass(frozen=True)
class FilterOptions:
    """How map -> odom is estimated."""

    distance_noise: float = option(
        0.02, "Standard deviation of odometry's position after a meter driven [m]", 0.0, 10.0
    )
    turn_noise: float = option(
        0.02, "Standard deviation of odometry's orientation after a radian turned [rad]", 0.0, 10.0
    )
    distance_turn_noise: float = option(
        0.01, "Standard deviation of odometry's orientation after a meter driven [rad]", 0.0, 10.0
    )
    gate_probability: float = option(
        0.999, "Probability of the chi-square gate: a pose outside of it is held back", 0.5, 1.0
    )
    shared_fixes: float = option(
        5.0,
        "This many consecutive poses count as one, because they share errors (the same "
        "keyframes and images)",
        1.0,
        1000.0,
    )
    reckoning_distance: float = option(
        1.0,
        "The state is DEAD_RECKONING after this distance since the last accepted pose [m]",
        0.0,
        1e4,
    )
    reckoning_time: float = option(
        2.0,
        "The state is DEAD_RECKONING after this time since the last accepted pose [s]",
        0.0,
        1e4,
    )
    lost_position_sigma: float = option(
        1.0,
        "The state is LOST if the standard deviation of the position is larger than this [m]",
        0.0,
        1e4,
    )
    lost_rotation_sigma: float = option(
        0.35,
        "The state is LOST if the standard deviation of the orientation is larger than this [rad]",
        0.0,
        6.3,
    )

    smoothing: float = option(
        0.0,
        "Time constant with which the published map -> odom follows a correction [s]; 0: at "
        "once. A move to another place is not smoothed",
        0.0,
        60.0,
    )

    def __post_init__(self) -> None:
        check(self)

    def motion_covariance(self, moved: Pose) -> Array:
        """(6, 6) of odometry's motion, about the axes of the body before it [m, rad].

        Variances grow with the way, so that it makes no difference in how many parts it is driven.
        """
        way = float(np.linalg.norm(moved[:3, 3]))
        turned = transforms.rotation_angle(np.eye(4), moved)
        position = self.distance_noise**2 * way
        rotation = self.turn_noise**2 * turned + self.distance_turn_noise**2 * way
        return np.diag([position] * 3 + [rotation] * 3)


@dataclass(frozen=True)
class Belief:
    """The robot's pose at one instant.

    Attributes:
        pose: map <- body, (4, 4).
        covariance: (6, 6) [m, rad], in the sense of `transforms.perturb`.
        odom_body: odom <- body at that instant.
    """

    pose: Pose
    covariance: Array
    odom_body: Pose

    @property
    def map_odom(self) -> Pose:
        """map <- odom."""
        return self.pose @ transforms.inverse(self.odom_body)

    def moved(self, odom_body: Pose, options: FilterOptions, noise: Array | None = None) -> Belief:
        """The belief after odometry has moved on.

        Args:
            odom_body: odom <- body now.
            options: say how noisy the motion is,
            noise: unless its (6, 6) covariance is known, about the axes of the body before it.
        """
        motion = transforms.inverse(self.odom_body) @ odom_body
        if noise is None:
            noise = options.motion_covariance(motion)
        added = transforms.rotate_covariance(noise, self.pose)
        covariance = move_covariance(self.covariance + added, self.pose, motion)
        return Belief(self.pose @ motion, covariance, odom_body)

    def distance(self, other: Belief) -> float:
        """Squared Mahalanobis distance of two independent beliefs at one instant."""
        delta = transforms.difference(other.pose, self.pose)
        return float(delta @ np.linalg.solve(self.covariance + other.covariance, delta))


class MapOdomFilter:
    """Estimates map -> odom from fixes and odometry.

    Attributes:
        driven: the way since the last fix that was believed [m].
        agreeing: consecutive fixes elsewhere that agree with each other; each counts for what its
            images add to those of the fixes before it.
        moves: how often the robot was found elsewhere, the start included.
    """

    def __init__(self, options: FilterOptions | None = None) -> None:
        """Nothing is known yet."""
        self.options = options or FilterOptions()
        self.moves = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after time was set back."""
        self._belief: Belief | None = None
        self._elsewhere: Belief | None = None
        self._fixed: int = 0
        self._stamp: int = 0
        self._added = 0.0
        self.driven = 0.0
        self.agreeing = 0.0

    @property
    def belief(self) -> Belief | None:
        """The pose at the last instant that the filter was told of; None before the first fix."""
        return self._belief

    @property
    def age(self) -> float:
        """Time since the last fix that was believed [s]."""
        return (self._stamp - self._fixed) / 1e9

    @property
    def state(self) -> FilterState:
        """How far the pose may be trusted."""
        if self._belief is None:
            return FilterState.INITIALIZING
        options, covariance = self.options, self._belief.covariance
        sigmas = [float(np.sqrt(np.trace(covariance[i : i + 3, i : i + 3]))) for i in (0, 3)]
        if sigmas[0] > options.lost_position_sigma or sigmas[1] > options.lost_rotation_sigma:
            return FilterState.LOST
        reckoned = self.driven > options.reckoning_distance or self.age > options.reckoning_time
        return FilterState.DEAD_RECKONING if reckoned else FilterState.LOCALIZED

    def predict(self, odom_body: Pose, stamp: int, noise: Array | None = None) -> None:
        """Odometry at an instant.

        Args:
            odom_body: odom <- body.
            stamp: [ns].
            noise: (6, 6) of the motion since the instant before, where odometry knows it; else
                `FilterOptions.motion_covariance` is taken.
        """
        self._stamp = max(stamp, self._stamp)
        if self._belief is not None:
            self.driven += transforms.distance(self._belief.odom_body, odom_body)
            self._belief = self._belief.moved(odom_body, self.options, noise)
        if self._elsewhere is not None:
            self._elsewhere = self._elsewhere.moved(odom_body, self.options, noise)

    def follow(
        self, answer: Localization, odom_body: Pose, stamp: int, noise: Array | None = None
    ) -> bool:
        """An answer of a window: a fix if it has a pose, else odometry alone; see `correct`."""
        if answer.pose is None or answer.covariance is None:
            self.predict(odom_body, stamp, noise)
            return False
        return self.correct(
            answer.pose,
            answer.covariance,
            odom_body,
            stamp,
            noise=noise,
            fresh=answer.fresh,
            bump_shown=answer.bump_shown,
        )

    def correct(
        self,
        map_body: Pose,
        covariance: Array,
        odom_body: Pose,
        stamp: int,
        confirmations: int = 3,
        noise: Array | None = None,
        fresh: float = 1.0,
        bump_shown: float = 1.0,
    ) -> bool:
        """A fix: where an image says that the body was when odometry said `odom_body`.

        Args:
            map_body: map <- body by the image, (4, 4).
            covariance: (6, 6) of it, in the sense of `transforms.perturb`.
            odom_body: odom <- body at the image's stamp.
            stamp: of the image [ns].
            confirmations: so many consecutive fixes elsewhere must agree before they are believed,
                and at the start.
            noise: see `predict`.
            fresh: see `Localization.fresh`. Windows that follow each other have most images in
                common: a place that looks alike in one of them is there in all. At 0, the fix is an
                earlier one moved by odometry: it confirms the belief, and adds nothing to it.
            bump_shown: see `Localization.bump_shown`. What the images before say is in the belief
                already. The rest corrects it as far as a bump between them would show.

        Returns:
            Whether it is believed; False where it is elsewhere, and too few agree with it yet, or
            where the newest images of the last few fixes show too little to exclude a bump.
        """
        self.predict(odom_body, stamp, noise)
        fix = Belief(map_body, covariance, odom_body)
        limit = _chi_square(self.options.gate_probability)
        if self._belief is not None and self._belief.distance(fix) <= limit:
            self._elsewhere, self.agreeing = None, 0.0
            added = fresh * bump_shown
            if added > 0:
                self._belief = _fused(self._belief, fix, self.options.shared_fixes / added)
            self._added += added
            if fresh > 0 and self._added < _ENOUGH:
                return False
        elif fresh <= 0:
            return False
        else:
            self._added = 0.0
            near = self._elsewhere is not None and self._elsewhere.distance(fix) <= limit
            self.agreeing = self.agreeing + fresh if near else 1.0
            self._elsewhere = fix
            if self.agreeing < confirmations:
                return False
            self._belief, self._elsewhere, self.agreeing = fix, None, 0.0
            self.moves += 1
        self.driven, self._fixed, self._added = 0.0, stamp, 0.0
        return True


def planar(belief: Belief) -> Belief:
    """The belief with map -> odom in the plane: x, y and yaw, the rest zero with no variance.

    For robots on a floor whose odometry is planar too: what an image says of height, roll and pitch
    is not passed on.
    """
    map_odom = belief.map_odom
    yaw = float(np.arctan2(map_odom[1, 0], map_odom[0, 0]))
    flat = transforms.make(
        transforms.rotation_from_vector([0.0, 0.0, yaw]), [map_odom[0, 3], map_odom[1, 3], 0.0]
    )
    kept = np.zeros((6, 6))
    in_plane = np.ix_((0, 1, 5), (0, 1, 5))
    kept[in_plane] = belief.covariance[in_plane]
    return replace(belief, pose=flat @ belief.odom_body, covariance=kept)


def _fused(belief: Belief, fix: Belief, shared: float) -> Belief:
    """The correction of a Kalman filter, for a fix that shares its errors with those before it."""
    noise = fix.covariance * shared
    gain = np.linalg.solve(belief.covariance + noise, belief.covariance).T
    delta = gain @ transforms.difference(fix.pose, belief.pose)
    # Joseph's form keeps the covariance symmetric and positive.
    rest = np.eye(6) - gain
    covariance = rest @ belief.covariance @ rest.T + gain @ noise @ gain.T
    return replace(belief, pose=transforms.perturb(belief.pose, delta), covariance=covariance)


def _chi_square(probability: float) -> float:
    """The quantile of chi-square with 6 degrees of freedom."""
    from scipy.special import chdtri

    return float(chdtri(6, 1.0 - probability))
