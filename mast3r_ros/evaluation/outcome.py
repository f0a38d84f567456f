# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One query: the truth, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.evaluation.pose_error import PoseError
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.result import Localization


@dataclass(frozen=True)
class Outcome:
    """One query of an evaluation.

    Attributes:
        name: of the query, for people.
        truth: map <- camera, (4, 4).
        reason: how it ended, in a word; `message` has the figures.
        pose: map <- camera, (4, 4), or None where it was refused.
        covariance: (6, 6) of `pose` [m, rad], in the sense of `transforms.perturb`.
        confidence: of the pose, in [0, 1].
        keyframe: the id of the keyframe with the most inliers, or None.
        decodes: keyframes that the query was matched with.
        timings: seconds by stage.
        stamp: time of the image [ns].
        history: images that it was solved together with, itself included.
        protection_m, protection_rad: levels that the error exceeds with a small probability;
            infinite where the pose was refused.
    """

    name: str
    truth: Pose
    reason: str
    message: str = ""
    pose: Pose | None = None
    covariance: NDArray[np.float64] | None = None
    confidence: float = 0.0
    keyframe: int | None = None
    inliers: int = 0
    decodes: int = 0
    timings: dict[str, float] = field(default_factory=dict)
    stamp: int = 0
    history: int = 1
    protection_m: float = np.inf
    protection_rad: float = np.inf

    @staticmethod
    def of(
        name: str, truth: Pose, answer: Localization, stamp: int = 0, history: int = 1
    ) -> Outcome:
        """From the relocalizer's answer."""
        return Outcome(
            name,
            truth,
            answer.reason.name.lower(),
            answer.message,
            answer.pose,
            answer.covariance,
            answer.confidence,
            answer.matches[0].keyframe_id if answer.matches else None,
            answer.inliers,
            sum(match.view == 0 for match in answer.matches),
            answer.timings,
            stamp,
            history,
            answer.protection_position,
            answer.protection_rotation,
        )

    @cached_property
    def error(self) -> PoseError:
        """Of the pose; infinite where it was refused."""
        return PoseError.of(self.pose, self.truth)

    @property
    def localized(self) -> bool:
        """Whether there is a pose."""
        return self.pose is not None

    @property
    def seconds(self) -> float:
        """All stages together."""
        return sum(self.timings.values())

    def nees(self, truth_covariance: NDArray[np.float64] | None = None) -> float:
        """See `PoseError.nees`; the truth's own (6, 6) covariance is added where it is given."""
        if self.covariance is None or truth_covariance is None:
            return self.error.nees(self.covariance)
        return self.error.nees(self.covariance + truth_covariance)
