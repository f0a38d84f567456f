# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Errors of keyframes' poses as random effects: each keyframe's own, and one common to all.

The error of keyframe k, in the sense of `transforms.perturb`, is e_k = u_k + s_k c: its own
u_k ~ N(0, s_k^2), and c ~ N(0, 1), what calibration, the clock and the registration of depth do to
all keyframes alike. The first averages out over keyframes, the second does not. Of its translation
an image says nothing; of its rotation keyframes at different places do, as turning them all about
their own centers moves apart what they see. Both act on a pose by the lever arm to the keyframe.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry.joint_pose import Matches

Array = NDArray[np.float64]

# Of a keyframe's error and of its points' scale.
OWN = 7
# How many numbers the common error has.
COMMON = 6


@dataclass(frozen=True)
class Elimination:
    """Normal equations of the other errors, with the keyframes' errors integrated out.

    F counts the pose and all that is not one keyframe's own; the common error is its last part.

    Attributes:
        information: (F, F).
        gradient: (F,).
        variance: (K, 7, 7) of the keyframes' errors where the others are known.
        gain: (K, 7, F) how these move against a step of the others.
        offset: (K, 7) minus these where the others do not move.
        common: (K, 7, F) the part of the keyframes' errors that is common, by the others.
    """

    information: Array
    gradient: Array
    variance: Array
    gain: Array
    offset: Array
    common: Array

    def effects(self, step: Array) -> Array:
        """(K, 7) the keyframes' errors after a step (F,) of the others."""
        return -self.offset - self.gain @ step

    def own_squares(self, step: Array, covariance: Array) -> Array:
        """(K, 7) expected squares of the keyframes' own errors u_k.

        Args:
            step: (F,) of the others.
            covariance: (F, F) of the others.
        """
        gain = self.gain + self.common
        posterior = self.variance + gain @ covariance @ gain.transpose(0, 2, 1)
        own = self.effects(step) - self.common @ step
        return np.asarray(own**2 + np.diagonal(posterior, axis1=1, axis2=2))


def eliminate(normal: Array, variances: Array) -> Elimination:
    """Integrate the keyframes' errors out of normal equations (Schur complement).

    Each keyframe by itself, as they share no matches.

    Args:
        normal: (K, F + 8, F + 8) by keyframe: of the other errors, in which the columns of the
            common one are 0, of the keyframe's own, and the residual. Linear in the errors as a
            whole, not in their change.
        variances: (K, 7) of each keyframe's own errors; the common one is as large.
    """
    free = normal.shape[1] - OWN - 1
    prior = np.eye(OWN) / variances[:, None, :]
    common = np.zeros((len(normal), OWN, free))
    common[:, :COMMON, free - COMMON :] = np.eye(COMMON) * np.sqrt(variances)[:, :COMMON, None]
    variance = np.asarray(np.linalg.inv(normal[:, free:-1, free:-1] + prior))
    pulled = prior @ common
    coupling = normal[:, free:-1, :free] - pulled
    gain = variance @ coupling
    of_others = normal[:, :free, :free] + common.transpose(0, 2, 1) @ pulled
    information = (of_others - coupling.transpose(0, 2, 1) @ gain).sum(0)
    right = normal[:, free:-1, -1:]
    gradient: Array = (normal[:, :free, -1] - (gain.transpose(0, 2, 1) @ right)[..., 0]).sum(0)
    return Elimination(information, gradient, variance, gain, (variance @ right)[..., 0], common)


def shifts(matches: Matches, sigmas: Array) -> Array:
    """(N,) one standard deviation of how far two keyframes' errors move a match [pixels].

    Args:
        matches: of all keyframes.
        sigmas: (K, 7) of the keyframes' own errors.
    """
    if not len(matches.owners) or (matches.owners == matches.owners[0]).all():
        return np.zeros(len(matches.owners))  # the pose moves with the only keyframe
    distances = np.linalg.norm(matches.points - matches.origins, axis=1)
    positions, turns = (sigmas[:, i : i + 3].max(1)[matches.owners] for i in (0, 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        angles = turns + np.nan_to_num(positions / distances, posinf=0.0)
    return np.asarray(np.sqrt(2.0) * matches.mean_focals * angles)
