# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What is counted: how many queries got a pose, how good it is, and how many poses are wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.result import Localization

# Distance [m] and angle [degrees] of the classes, finest first. Beyond the last, a pose is wrong.
CLASSES = ((0.05, 1.0), (0.10, 2.0), (0.25, 5.0))


@dataclass(frozen=True)
class Outcome:
    """One query: the truth, and what came of it.

    Attributes:
        name: of the query, for people.
        truth: map <- camera, (4, 4).
        reason: how it ended, in words; `message` has the figures.
        pose: map <- camera, (4, 4), or None where it was refused.
        covariance: (6, 6) of `pose` [m, rad], in the sense of `transforms.perturb`.
        keyframe: the id of the keyframe with the most inliers, or None.
        timings: seconds by stage.
    """

    name: str
    truth: Pose
    reason: str
    message: str
    pose: Pose | None = None
    covariance: NDArray[np.float64] | None = None
    keyframe: int | None = None
    inliers: int = 0
    timings: dict[str, float] = field(default_factory=dict)

    @staticmethod
    def of(name: str, truth: Pose, answer: Localization) -> Outcome:
        """From the relocalizer's answer."""
        return Outcome(
            name,
            truth,
            answer.reason.name.lower(),
            answer.message,
            answer.pose,
            answer.covariance,
            answer.matches[0].keyframe_id if answer.matches else None,
            answer.inliers,
            answer.timings,
        )

    @property
    def translation_error(self) -> float:
        """Distance to the true position [m]; infinite where there is no pose."""
        return np.inf if self.pose is None else transforms.distance(self.pose, self.truth)

    @property
    def rotation_error(self) -> float:
        """Angle to the true orientation [rad]; infinite where there is no pose."""
        return np.inf if self.pose is None else transforms.rotation_angle(self.pose, self.truth)

    @property
    def normalized_error(self) -> float:
        """Squared Mahalanobis distance of the error; chi-square with 6 degrees of freedom if the
        covariance is honest, so 5.3 in the median. NaN without a covariance."""
        if self.pose is None or self.covariance is None:
            return float("nan")
        delta = transforms.difference(self.pose, self.truth)
        return float(delta @ np.linalg.solve(self.covariance, delta))

    def within(self, distance: float, degrees: float) -> bool:
        """Whether both errors lie within the bounds, which belong to the class."""
        return self.translation_error <= distance and np.rad2deg(self.rotation_error) <= degrees


def summarize(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of an evaluation.

    `localized` and `within_*` are fractions of all queries; `queries`, `wrong_accepted` (poses
    beyond the last class) and `refusals` are counts; medians are over the localized queries, None
    where there is none; `latency_ms` has the median of each stage and of the whole.

    Raises:
        ValueError: there are no queries.
    """
    if not outcomes:
        raise ValueError("no queries: every image is a keyframe; map fewer of them")
    accepted = [o for o in outcomes if o.pose is not None]
    errors = np.array([[o.translation_error, np.rad2deg(o.rotation_error)] for o in accepted])
    normalized = [n for o in accepted if np.isfinite(n := o.normalized_error)]

    def percentile(values: Any, q: float) -> float | None:
        return float(np.percentile(values, q)) if len(values) else None

    def column(i: int) -> Any:
        return errors[:, i] if accepted else []

    shares = {
        f"within_{round(100 * distance)}cm_{round(degrees)}deg": sum(
            o.within(distance, degrees) for o in outcomes
        )
        / len(outcomes)
        for distance, degrees in CLASSES
    }
    return {
        "queries": len(outcomes),
        "localized": len(accepted) / len(outcomes),
        **shares,
        "wrong_accepted": sum(not o.within(*CLASSES[-1]) for o in accepted),
        "median_translation_m": percentile(column(0), 50),
        "median_rotation_deg": percentile(column(1), 50),
        "latency_ms": _latency(outcomes),
        "p95_translation_m": percentile(column(0), 95),
        "p95_rotation_deg": percentile(column(1), 95),
        "median_normalized_error": percentile(normalized, 50),
        "p95_normalized_error": percentile(normalized, 95),
        "refusals": dict(Counter(o.reason for o in outcomes if o.pose is None)),
    }


def _latency(outcomes: Sequence[Outcome]) -> dict[str, float]:
    stages = dict.fromkeys(stage for o in outcomes for stage in o.timings)
    medians = {
        stage: float(np.median([o.timings[stage] for o in outcomes if stage in o.timings]))
        for stage in stages
    }
    totals = [sum(o.timings.values()) for o in outcomes]
    medians["total"] = float(np.median(totals))
    medians["total_p95"] = float(np.percentile(totals, 95))
    return {stage: 1e3 * seconds for stage, seconds in medians.items()}
