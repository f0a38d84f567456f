# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The answer to a query: a pose with its covariance, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry.joint_pose import RAY_WEIGHT
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.matching.correspondences import Correspondences


class Reason(Enum):
    """How a query ended."""

    LOCALIZED = "localized"
    EMPTY_MAP = "the map holds no keyframes"
    NO_CAMERA = "the camera's intrinsics are unknown"
    FEW_MATCHES = "too few matches with any keyframe"
    DIRECTION_ONLY = "direction only: no keyframe in view has a metric scale"
    FEW_INLIERS = "too few inliers"
    LOW_INLIER_RATIO = "the inlier ratio is too low"
    POOR_SPREAD = "the inliers cover too little of the image"
    UNCERTAIN = "the pose is too uncertain"
    DISAGREEING = "the images of the query contradict each other"
    AMBIGUOUS = "another pose explains the image almost as well"


@dataclass(frozen=True)
class KeyframeMatch:
    """What one keyframe says of the query.

    Attributes:
        keyframe_id: which one.
        correspondences: its matches with the query.
        inliers: (N,) bool, which of them agree with `pose`.
        pose: keyframe camera <- query camera, (4, 4), or None where the keyframe has no say.
        covariance: (6, 6) of `pose` along the keyframe camera's axes, None where not metric.
        metric: False where the translation is a direction of length 1.
        view: number of the query's view.
    """

    keyframe_id: int
    correspondences: Correspondences
    inliers: NDArray[np.bool_]
    pose: Pose | None = None
    covariance: NDArray[np.float64] | None = None
    metric: bool = False
    view: int = 0

    @property
    def inlier_ratio(self) -> float:
        """Share of the matches that agree, in [0, 1]."""
        return float(self.inliers.mean()) if len(self.inliers) else 0.0

    @property
    def points(self) -> int:
        """How many inliers have a point."""
        known = np.isfinite(self.correspondences.reference_points).all(axis=1)
        return int((self.inliers & known).sum())

    @property
    def support(self) -> float:
        """Its inliers, those without a point counted less."""
        points = self.points
        return points + RAY_WEIGHT * (int(self.inliers.sum()) - points)

    @property
    def confidence(self) -> float:
        """Mean confidence of the inliers, in [0, 1]."""
        chosen = self.correspondences.confidence[self.inliers]
        return float(chosen.mean()) if len(chosen) else 0.0


@dataclass(frozen=True)
class Localization:
    """Where the camera is, or why that is not known.

    Attributes:
        reason: LOCALIZED, or what is missing.
        message: the reason with its figures, for people.
        pose: map <- camera, (4, 4), or map <- body of a query of views; None unless localized.
        covariance: (6, 6) [m, rad] along the fixed axes of the map; None unless localized.
        confidence: probability that this is the right place (`confidence.py`); how exact the pose
            is is another question. 0 unless localized.
        protection_position, protection_rotation: radii [m, rad] that the error exceeds with a
            probability of `protection_probability` at the most; infinite unless localized.
        matches: the keyframes compared, most inliers first.
        inliers: matches that agree with the pose.
        timings: seconds by stage, in order.
        fixed_share: part of the matches that do not move with the camera (the robot's own body, an
            overlay): they are left out.
        matcher: the front end's second matcher where this is what a second look found; empty where
            the first one was enough, or no second one was taken.
        camera_estimated: the intrinsics were unknown and come from the front end.
        views: the best inlier ratio of each view of the query; empty where no pose was judged.
        places: the pose, accepted or not, and after it those of other places that were compared
            with it; empty where there were none, unless a window's newest images hold none of it.
        fresh: what the newest images add to those before them, between 0 and 1: their inliers over
            the fewest of an answer; 1 where there are none before; 0 where they only confirm what
            odometry expects.
        bump_shown: the part of a bump since the images before that the newest ones would show by
            themselves, between 0 and 1, in the direction in which they show it least: little where
            all that they see is far away; 1 where there are none before.
    """

    reason: Reason
    message: str
    pose: Pose | None = None
    covariance: NDArray[np.float64] | None = None
    confidence: float = 0.0
    matches: tuple[KeyframeMatch, ...] = ()
    inliers: int = 0
    timings: dict[str, float] = field(default_factory=dict)
    matcher: str = ""
    camera_estimated: bool = False
    protection_position: float = float("inf")
    protection_rotation: float = float("inf")
    fixed_share: float = 0.0
    views: tuple[float, ...] = ()
    places: tuple[Pose, ...] = ()
    fresh: float = 1.0
    bump_shown: float = 1.0

    @property
    def localized(self) -> bool:
        """Whether there is a pose to trust."""
        return self.reason is Reason.LOCALIZED

    @property
    def keyframes(self) -> tuple[int, ...]:
        """Ids of the keyframes that the pose rests on, most inliers first."""
        used = (m.keyframe_id for m in self.matches if self.localized and m.inliers.any())
        return tuple(dict.fromkeys(used))
