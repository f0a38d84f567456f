# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The iteration behind `robust_pose.estimate`: weights, keyframes' errors and the pose in turns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.joint_pose import Matches, linearize_cameras, magnifications
from mast3r_ros.geometry.keyframe_errors import COMMON, OWN, eliminate
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.geometry.uncertainty import invert_information

Array = NDArray[np.float64]

# Degrees of freedom of the residuals' t distribution: the usual choice for contaminated normals.
_FREEDOM = 4.0
_NOISE_FLOOR = 0.5
# The stated accuracy of the map counts as much as what so many keyframes show.
_PRIOR_KEYFRAMES = 2.0
# A keyframe with fewer inliers shows nothing of its own error.
_FEWEST_OF_KEYFRAME = 8
_LEAST_SIGMA = 1e-6
# Several views match one feature of a keyframe: half of the variance of each such match is that
# feature's, which is as exact as those of the views.
_WITHIN_FEATURE = 0.5
# Least part of a match's information that the others have about it: bounds its influence.
_LEAST_LEFT = 1e-3
# A pose of fewer inliers is not looked for.
FEWEST = 6


@dataclass(frozen=True)
class SharedErrors:
    """What the matches of one keyframe have in common.

    Attributes:
        sigmas: (K, 7) standard deviations of each keyframe's pose [m, rad] and of the relative
            scale of its points.
        correlations: (K,) how many times larger the deviations of a pose are than if the errors of
            a keyframe's matches had nothing else in common.
        cells: (N,) the cell of the query's image that each match lies in.
        within_cell: correlation of the errors of two matches of one cell.
        features: (N,) number of the keyframe's feature that each match is with; None where each has
            one of its own, as those of one image do.
        repeats: (N,) in how many images the whole error of a match is met, at least 1; None where
            features alone say what images have in common.
    """

    sigmas: Array
    correlations: Array
    cells: NDArray[np.int64]
    within_cell: float
    features: NDArray[np.int64] | None = None
    repeats: NDArray[np.int64] | None = None

    def select(self, which: NDArray[np.int64]) -> SharedErrors:
        """Of some of the matches alone."""
        return replace(
            self,
            cells=self.cells[which],
            features=None if self.features is None else self.features[which],
            repeats=None if self.repeats is None else self.repeats[which],
        )


class Solver:
    """The state of the iteration: pose, keyframes' errors, and their and the residuals' sizes.

    The matches are in the order of their keyframes, and of their views.
    """

    def __init__(
        self,
        start: Pose,
        matches: Matches,
        shared: SharedErrors,
        muted: NDArray[np.bool_] | None,
    ) -> None:
        self.pose = start
        self.matches = matches
        self.sigmas = np.maximum(shared.sigmas, _LEAST_SIGMA)
        self.correlations = shared.correlations
        self.cells, self.features, self.repeats = shared.cells, shared.features, shared.repeats
        count = len(matches.rays)
        self.views = np.zeros(count, np.int64) if matches.views is None else matches.views
        self.within_cell = shared.within_cell
        self.effects = np.zeros((len(shared.sigmas), OWN))
        # Of odometry and turns, and the error that all keyframes have in common [their deviations].
        self.nuisances = np.zeros(matches.nuisances + COMMON)
        self.inflation = np.ones(2)
        self.is_ray = matches.with_ray
        self.dimensions = np.where(self.is_ray, 1, 2)
        # Of residuals of points and of rays [pixels^2].
        self.variances = np.full(2, (matches.threshold / 3.0) ** 2)
        self.covariance = np.full((6, 6), np.inf)
        self.muted = np.zeros(count, bool) if muted is None else muted
        self.inliers = np.zeros(count, bool)
        self.costs = np.zeros(count)
        self.residuals = np.zeros((count, 2))
        # How far the last step moved the pose [standard deviations].
        self.moved = np.inf

    @property
    def motion(self) -> Array:
        """(S,) errors of odometry and turns during readouts, in standard deviations."""
        return self.nuisances[:-COMMON]

    def step(self, slack: Array) -> bool:
        """One iteration; False where the pose is lost.

        Args:
            slack: (N,) by how much farther off than an inlier matches still count [pixels].
        """
        rows, ahead = linearize_cameras(self.pose, self.matches)
        by_camera, by_keyframe = rows[:, :, :-8], rows[:, :, -8:-1]
        tied = self._tied()
        corrected = np.einsum("nij,nj->ni", rows, self._known(tied))
        with np.errstate(invalid="ignore"):
            square = np.where(ahead, (corrected**2).sum(1), np.inf)
        self.residuals = corrected
        close = (square < self.matches.limits**2) & ~self.muted
        self.inliers = (square < self.matches.limits**2 + slack**2) & ~self.muted
        if self.inliers.sum() < FEWEST:
            return False
        weights = self._weigh(square, by_keyframe, close)
        used = np.flatnonzero(self.inliers)
        self._linearized = by_camera, by_keyframe, tied, weights
        blocks = rows[used] * np.sqrt(weights[used])[:, None, None]
        return self._solve(self._normal(blocks, used, tied))

    def _tied(self) -> list[Array]:
        """How each view's camera, and its turn, follow from the pose and the other errors."""
        rig, turns = self.matches.rig, self.matches.readout is not None
        tied = []
        for view in range(1 if rig is None else len(rig)):
            body = np.eye(6) if rig is None else rig.by_body(view, self.pose)
            by = np.zeros((9 if turns else 6, 6 + len(self.nuisances)))
            by[:6, : body.shape[1]] = body
            if turns:
                first = body.shape[1] + 3 * view
                by[6:, first : first + 3] = np.eye(3)
            tied.append(by)
        return tied

    def _known(self, tied: list[Array]) -> Array:
        """(N, C + 8) what is known of the errors of each row, and 1 for its residual.

        The nuisances move each view's camera, and turn it by the rows.
        """
        moved = np.stack([by[:, 6:] @ self.nuisances for by in tied])
        known = np.ones((len(moved), len(self.effects), moved.shape[1] + OWN + 1))
        known[:, :, : moved.shape[1]] = moved[:, None]
        known[:, :, -OWN - 1 : -1] = self.effects
        return np.asarray(known[self.views, self.matches.owners])

    def _normal(self, blocks: Array, used: NDArray[np.int64], tied: list[Array]) -> Array:
        """(K, F + 8, F + 8) normal equations by keyframe, of weighted rows; see `eliminate`.

        The rows of a view are few columns wide; only their squares are spread over all errors.
        """
        keyframes, views = len(self.effects), len(tied)
        width = 6 + len(self.nuisances) + 8
        normal = np.zeros((keyframes, width, width))
        cells = self.matches.owners[used] * views + self.views[used]
        ends = np.searchsorted(cells, np.arange(keyframes * views + 1))
        for cell, (begin, end) in enumerate(pairwise(ends)):
            if begin == end:
                continue
            rows = blocks[begin:end].reshape(-1, blocks.shape[2])
            square, by = rows.T @ rows, tied[cell % views]
            count, of = len(by), normal[cell // views]
            of[:-8, :-8] += by.T @ square[:count, :count] @ by
            across = by.T @ square[:count, count:]
            of[:-8, -8:] += across
            of[-8:, :-8] += across.T
            of[-8:, -8:] += square[count:, count:]
        return normal

    def _weigh(self, square: Array, by_keyframe: Array, close: NDArray[np.bool_]) -> Array:
        """(N,) weights, after the variances of the residuals are estimated from close ones."""
        kind = self.is_ray.astype(int)
        self.costs = square / self.variances[kind]
        with np.errstate(invalid="ignore"):
            robust = (_FREEDOM + self.dimensions) / (_FREEDOM + self.costs)
        efficiency = np.ones(len(square))
        for which in (0, 1):
            own = close & (kind == which)
            if own.any():
                freedom = max(int(self.dimensions[own].sum()) - 6, 1)
                found = (robust[own] * square[own]).sum() / freedom
                self.variances[which] = max(found, _NOISE_FLOOR**2)
                efficiency[own] = _efficiency(robust[own], self.costs[own], 2 - which)
        alike = self._alike(self.cells, self.within_cell)
        if self.features is not None:
            repeated = self._alike(self.features, _WITHIN_FEATURE)
            if self.repeats is not None:
                repeated = np.maximum(repeated, self.repeats)
            alike *= repeated
        correlated = self.correlations[self.matches.owners] ** 2
        variances = self.variances[kind] * self._amplified(by_keyframe)
        weights: Array = efficiency * robust / (variances * alike * correlated)
        return np.where(self._counting(), weights, 0.0)

    def _counting(self) -> NDArray[np.bool_]:
        """(N,) matches of keyframes that count.

        A match or two that agree by chance would determine their keyframe's error as hundreds
        of right ones: that it is as wrong as the others are.
        """
        enough = self._counts() >= _FEWEST_OF_KEYFRAME
        counting = enough if enough.any() else ~enough
        return np.asarray(counting[self.matches.owners])

    def _counts(self) -> NDArray[np.int64]:
        """(K,) inliers of each keyframe."""
        return np.bincount(self.matches.owners[self.inliers], minlength=len(self.effects))

    def _alike(self, groups: NDArray[np.int64], correlation: float) -> Array:
        """(N,) how much larger variances are where the errors of a group's inliers are alike."""
        members = np.bincount(groups[self.inliers], minlength=groups.max() + 1)
        return np.asarray(1.0 + np.maximum(members[groups] - 1, 0) * correlation)

    def _amplified(self, by_keyframe: Array) -> Array:
        """(N,) how much larger variances are where errors of the keyframe's pixel are magnified.

        Without this, a wrong match whose point lies right in front of the camera by chance, or
        whose ray passes it, turns the pose and seems to know it exactly.
        """
        magnified = magnifications(by_keyframe, self.matches)
        # Keyframe and query have half of the variance each where nothing is magnified. The variance
        # is that of the residuals as they are: of magnified ones the largest are cut off, and what
        # is left of them would make it too small.
        return np.asarray(np.maximum((1.0 + magnified**2) / 2.0, 1.0))

    def _solve(self, normal: Array) -> bool:
        """Move the pose and the keyframes; (K, F + 8, F + 8) normal equations by keyframe."""
        inflation = np.repeat([*self.inflation, 1.0], [3, 3, 1])
        reduced = eliminate(normal, self.sigmas**2 * inflation)
        information = reduced.information.copy()
        # These errors are in standard deviations.
        information[6:, 6:] += np.eye(len(self.nuisances))
        covariance = invert_information(information)
        if not np.isfinite(covariance).all():
            return False
        step = -covariance @ reduced.gradient
        self.covariance = covariance[:6, :6]
        moved, self.nuisances = step[:6], step[6:]
        self.moved = float(np.sqrt(moved @ np.linalg.solve(self.covariance, moved)))
        self.pose = transforms.perturb(self.pose, moved)
        self.effects = reduced.effects(step)
        self._learn(reduced.own_squares(step, covariance))
        self._posterior = covariance, reduced.gain, reduced.variance
        return True

    def _learn(self, squares: Array) -> None:
        """How much larger than stated the keyframes' errors are, by (K, 7) expected squares."""
        shown = self._counts() >= _FEWEST_OF_KEYFRAME
        square = (squares / self.sigmas**2)[shown]
        total = _PRIOR_KEYFRAMES + shown.sum()
        for i, columns in enumerate((slice(0, 3), slice(3, 6))):
            mean = (_PRIOR_KEYFRAMES + square[:, columns].sum() / 3) / total
            # What is said of the map is never taken for more than it says.
            self.inflation[i] = max(mean, 1.0)

    def influences(self) -> tuple[Array, Array]:
        """(N,) influences and (N, 2, 2) predicted of `Estimate`, after the last step.

        With the covariance P of all errors, the residual's derivative J and the weight w, P grows
        by P J^T (1/w - J P J^T)^-1 J P without a match (Sherman, Morrison and Woodbury).
        """
        by_camera, by_keyframe, tied, weights = self._linearized
        covariance, gain, variance = self._posterior
        told = np.flatnonzero(self.inliers | self.muted)
        owners, by_keyframe = self.matches.owners[told], by_keyframe[told]
        jacobian = by_camera[told] @ np.stack(tied)[self.views[told]]
        # What moves the pose moves the keyframe's errors along with it.
        jacobian = jacobian - by_keyframe @ gain[owners]
        across = jacobian @ covariance
        explained = across @ jacobian.transpose(0, 2, 1)
        explained += by_keyframe @ variance[owners] @ by_keyframe.transpose(0, 2, 1)
        weights = np.where(self.inliers, weights, 0.0)[told, None]
        values, vectors = np.linalg.eigh(weights[:, :, None] * explained)
        left = weights / np.maximum(1.0 - values, _LEAST_LEFT)
        across = vectors.transpose(0, 2, 1) @ across[:, :, :6]
        moved = ((across @ np.linalg.inv(self.covariance)) * across).sum(2)
        influences, predicted = np.zeros(len(self.inliers)), np.zeros((len(self.inliers), 2, 2))
        influences[told], predicted[told] = (left * moved).sum(1), explained
        return influences, predicted


def _efficiency(robust: Array, costs: Array, dimensions: int) -> float:
    """What the information of weighted residuals is to be multiplied by.

    An M-estimator of influence psi has the variance E[psi^2] / E[psi']^2 (Huber 1964), its normal
    equations have E[w]. Residuals far below the noise floor (exact matches) have no influence at
    all: they are worth as much as normal noise of that floor, not more.
    """
    slope = robust * (1.0 - 2.0 * costs / ((_FREEDOM + costs) * dimensions))
    influence = (robust**2 * costs).mean() / dimensions
    most = 1.0 / robust.mean()
    return float(min(slope.mean() ** 2 / max(influence * robust.mean(), 1e-12), most))
