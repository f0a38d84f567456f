# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A camera's pose from matches with several keyframes whose own poses are uncertain.

The pose of a keyframe is wrong by the same amount for all of its matches: a random effect, which is
estimated with the pose and integrated out of its covariance. How large these effects are is
estimated from how much the keyframes disagree in this very image (EM, Dempster et al. 1977), with
what is said of the map as the prior. Residuals are weighed as those of Student's t distribution
(Lange et al., JASA 1989), so that no threshold decides alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry.joint_pose import RAY_WEIGHT, Matches, lengths
from mast3r_ros.geometry.keyframe_errors import shifts
from mast3r_ros.geometry.robust_solver import FEWEST, SharedErrors, Solver
from mast3r_ros.geometry.transforms import Pose

Array = NDArray[np.float64]

_ITERATIONS = 8
# A pose with less than this part of the inliers that are wanted has settled once it moves by less
# than half a standard deviation, others at a tenth, which changes nothing that is stated. Of some
# 500 poses that reach what is wanted in the end (office, desk_turning, rendered look-alikes;
# `xfeat` and `sift`), this gives up none; where it may move by 0.7, it gives up four.
_HOPELESS, _SETTLED, _SETTLED_WITHOUT_HOPE = 0.5, 0.1, 0.5
# Matches that a pose misses by more than this many thresholds are not looked at again.
_REACH = 4.0
# At first, matches count from as far as so many standard deviations of what the errors of keyframes
# move them by. The first pose agrees with one keyframe; without this, the matches of another one
# that is turned by 0.01 rad are outliers but for a few, which agree by chance.
_SLACK = 3.0


@dataclass(frozen=True)
class Estimate:
    """A pose, what supports it and how exact it is.

    Attributes:
        pose: map <- camera, (4, 4); map <- body where the query has several views.
        covariance: (6, 6) [m, rad] in the sense of `transforms.perturb`.
        inliers: (N,) bool.
        points, rays: how many inliers know their point, and only their ray.
        costs: (N,) squared residuals over their variance, the keyframes' errors taken out; infinite
            behind a camera.
        outlier_costs: (N,) the cost from which a match is an outlier.
        effects: (K, 7) the keyframes' errors.
        motion: (S,) errors of odometry and turns during readouts, in standard deviations.
        disagreement: (2,) how many times larger the keyframes' errors in position and orientation
            are than stated.
        residuals: (N, 2) [pixels], the keyframes' and odometry's errors taken out; of rays the
            second is 0; NaN for matches that are far off.
        solver: after its last step.
        looked_at: (M,) numbers of the matches that it looked at.
    """

    pose: Pose
    covariance: Array
    inliers: NDArray[np.bool_]
    points: int
    rays: int
    costs: Array
    outlier_costs: Array
    effects: Array
    motion: Array
    disagreement: Array
    residuals: Array
    solver: Solver
    looked_at: NDArray[np.int64]

    @property
    def support(self) -> float:
        """Inliers, those without a point counted less."""
        return self.points + RAY_WEIGHT * self.rays

    @property
    def influences(self) -> Array:
        """(N,) part by which the pose's variances grow without each match.

        Summed over its six directions; 0 for outliers.
        """
        influences = np.zeros(len(self.inliers))
        influences[self.looked_at] = self._influences[0]
        return influences

    @property
    def predicted(self) -> Array:
        """(N, 2, 2) covariance of the residuals by all errors but the match's own [pixels^2].

        The errors of the pose, of the keyframes and of odometry; 0 for outliers.
        """
        predicted = np.zeros((len(self.inliers), 2, 2))
        predicted[self.looked_at] = self._influences[1]
        return predicted

    @cached_property
    def _influences(self) -> tuple[Array, Array]:
        return self.solver.influences()


def estimate(
    start: Pose,
    matches: Matches,
    shared: SharedErrors,
    least: float = FEWEST,
    muted: NDArray[np.bool_] | None = None,
) -> Estimate | None:
    """The most likely pose near a first one, with its covariance.

    Args:
        start: map <- camera, or map <- body.
        matches: of all keyframes.
        shared: what they have in common.
        least: fewest inliers of a pose.
        muted: (N,) matches that have no say; what the pose predicts of them is told.

    Returns:
        None where too few matches agree or they do not bind the pose.
    """
    length, ahead = lengths(start, matches)
    with np.errstate(invalid="ignore"):
        # Of another place that hardly anything speaks for, keyframes' errors need not be known.
        near = ahead & (length < _REACH * matches.threshold)
        if near.sum() < least:
            return None
        slack = _SLACK * shifts(matches, shared.sigmas)
        near = ahead & (length < _REACH * matches.threshold + slack)
    # By keyframe and view: the normal equations of each are made from a slice.
    at = np.flatnonzero(near)
    views = np.zeros(len(near), np.int64) if matches.views is None else matches.views
    at = at[np.lexsort((views[at], matches.owners[at]))]
    silent = None if muted is None else muted[at]
    solver, allowed = Solver(start, matches.select(at), shared.select(at), silent), slack[at]
    for _ in range(_ITERATIONS):
        if not solver.step(allowed):
            return None
        hope = solver.inliers.sum() >= _HOPELESS * least
        if not allowed.any() and solver.moved < (_SETTLED if hope else _SETTLED_WITHOUT_HOPE):
            break
        allowed = np.zeros_like(allowed)
    if solver.inliers.sum() < least:
        return None
    inliers, costs = np.zeros(len(near), bool), np.full(len(near), np.inf)
    inliers[at], costs[at] = solver.inliers, solver.costs
    residuals = np.full((len(near), 2), np.nan)
    residuals[at] = solver.residuals
    points = int((inliers & matches.with_point).sum())
    outlier_costs = matches.limits**2 / np.where(matches.with_ray, *solver.variances[::-1])
    return Estimate(
        solver.pose,
        solver.covariance,
        inliers,
        points,
        int(inliers.sum()) - points,
        costs,
        outlier_costs,
        solver.effects,
        solver.motion,
        np.sqrt(solver.inflation),
        residuals,
        solver,
        at,
    )
