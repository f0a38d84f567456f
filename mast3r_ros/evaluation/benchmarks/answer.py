# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How a benchmark asks for a pose: with the product's checks, and what it would say without them.

Benchmarks rank answers by confidence, so that a doubtful pose is worth more to them than none.
Every answer that the relocalizer accepts ranks above every one that it refuses.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mast3r_ros.evaluation.benchmarks.options import BenchmarkOptions
from mast3r_ros.evaluation.pairs import GUESS, UNCHECKED
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import FrontEnd, FrontEndError, estimates_camera
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization, Reason
from mast3r_ros.localization.view import MatchedView, View, as_views

# In place of a front end's name: the guess.
NO_MOTION = "no-motion"

# Of a camera that nobody calibrated, over the longer side of its image: as COLMAP guesses.
_FOCAL_FACTOR = 1.2


@dataclass(frozen=True)
class Answer:
    """What came of a query.

    Attributes:
        pose: map <- camera in meters, accepted or not; None where there is none.
        direction: the same without meters, where only rotation and direction are known.
        accepted: whether the relocalizer trusts the pose.
        rank: confidence; above 1 for accepted poses, in [0, 1] for others.
        inliers: matches that agree.
        reason: how the relocalizer ended.
        seconds: time it took.
    """

    pose: Pose | None
    direction: Pose | None
    accepted: bool
    rank: float
    inliers: int
    reason: str
    seconds: float

    def record(self) -> dict[str, Any]:
        """What every benchmark's record has of it."""
        return {
            "pose": None if self.pose is None else numbers_of(self.pose),
            "accepted": self.accepted,
            "rank": round(self.rank, 6),
            "inliers": self.inliers,
            "reason": self.reason,
            "seconds": round(self.seconds, 4),
        }


def numbers_of(pose: Pose) -> list[float]:
    """tx ty tz qx qy qz qw."""
    return [float(value) for part in transforms.to_quaternion(pose) for value in part]


def pose_of(numbers: Sequence[float]) -> Pose:
    """The pose of `numbers_of`."""
    return transforms.from_quaternion(numbers[:3], numbers[3:])


class Solver:
    """A front end and the relocalizer's options; the baseline without motion needs no front end."""

    def __init__(
        self, front_end: FrontEnd | None, options: RelocalizerOptions | None = None
    ) -> None:
        """Answer by `front_end`; None guesses that the camera has not moved."""
        self.front_end = front_end
        self.options = options or RelocalizerOptions()

    @property
    def name(self) -> str:
        """For people."""
        return GUESS if self.front_end is None else self.front_end.name

    def map_of(self, frames: Sequence[tuple[Frame, Pose]]) -> KeyframeMap | None:
        """A map of frames with their poses; None for the guess."""
        if self.front_end is None:
            return None
        keyframes = KeyframeMap(self.front_end)
        for frame, pose in frames:
            keyframes.add(frame, pose)
        return keyframes

    def relative_to(self, reference: Frame) -> KeyframeMap | None:
        """A map of one image, which is its origin."""
        return self.map_of([(reference, np.eye(4))])

    def localize(
        self,
        keyframes: KeyframeMap | None,
        query: Frame | Sequence[View],
        exact: bool = False,
        **changes: Any,
    ) -> Answer:
        """Answer a query.

        Args:
            keyframes: of `map_of` or `relative_to`.
            query: an image, or views of a body.
            exact: the keyframes' poses are, as that of a single reference.
            changes: options of the relocalizer that the benchmark decides.
        """
        start = time.perf_counter()
        if keyframes is None:
            return Answer(np.eye(4), np.eye(4), False, 0.0, 0, GUESS, 0.0)
        options = replace(self.options, **changes)
        if exact:
            options = replace(options, keyframe_position_sigma=0.0, keyframe_rotation_sigma=0.0)
        matched: list[MatchedView] = []
        answer = None
        for view in as_views(query):
            compared = Relocalizer(keyframes, options).match(view, None, {})
            if isinstance(compared, Localization):
                answer = compared
                break
            matched.append(compared)
        answer = answer or Relocalizer(keyframes, options).solve(matched, {})
        loose = answer
        if answer.pose is None and len(matched) == len(as_views(query)):
            loose = Relocalizer(keyframes, replace(options, **UNCHECKED)).solve(matched, {})
        pose = answer.pose if answer.pose is not None else loose.pose
        return Answer(
            pose,
            pose if pose is not None else _direction(answer),
            answer.localized,
            _rank(answer, loose),
            max(answer.inliers, loose.inliers),
            answer.reason.name,
            time.perf_counter() - start,
        )

    def without_intrinsics(self, frame: Frame) -> Frame:
        """A frame whose camera nobody calibrated: the front end's to find, or a usual one."""
        if self.front_end is not None and estimates_camera(self.front_end):
            return replace(frame, camera=None)
        width, height = frame.size
        focal = _FOCAL_FACTOR * max(width, height)
        camera = Camera(width, height, focal, focal, (width - 1) / 2.0, (height - 1) / 2.0)
        return replace(frame, camera=camera)


def make_solver(
    front_end: str, options: RelocalizerOptions, matching: BenchmarkOptions | None = None
) -> Solver:
    """The solver of a front end's name, or of `NO_MOTION`.

    Args:
        front_end: its name.
        options: how poses are found.
        matching: whether `mast3r` matches coarse to fine, and by what.

    Raises:
        FrontEndError: there is no such front end, it cannot run here, or it cannot match as
            asked.
    """
    from mast3r_ros.frontends import create
    from mast3r_ros.frontends.mast3r.options import Mast3rOptions

    if front_end == NO_MOTION:
        return Solver(None, options)
    asked = matching or BenchmarkOptions()
    chosen = Mast3rOptions(coarse_to_fine=asked.coarse_to_fine, match_by=asked.match_by)
    if chosen == Mast3rOptions():
        return Solver(create(front_end), options)
    if front_end.partition("=")[0] != "mast3r":
        words = "coarse to fine" if asked.coarse_to_fine else "by points"
        raise FrontEndError(f"front end '{front_end}' does not match {words}: mast3r does")
    return Solver(create(front_end, chosen), options)


def _direction(answer: Localization) -> Pose | None:
    """Rotation and direction of the best keyframe, where that is all there is."""
    if answer.reason is not Reason.DIRECTION_ONLY:
        return None
    return answer.matches[0].pose


def _rank(answer: Localization, loose: Localization) -> float:
    if answer.localized:
        return 1.0 + answer.confidence
    return max((match.inlier_ratio for match in loose.matches), default=0.0)
