# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Windows and the map -> odom filter on rendered drives, against the exact truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.evaluation.pose_error import Bound, PoseError
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.retrieval import PosePrior
from mast3r_ros.localization.map_odom import FilterOptions, MapOdomFilter
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization
from mast3r_ros.localization.view import MatchedView, View
from mast3r_ros.localization.window import Window, WindowOptions

if TYPE_CHECKING:
    from mast3r_ros.frontends.base import FrontEnd
    from mast3r_ros.training.worlds.drives import Drive

# Wrong is what is farther from the truth.
WRONG = Bound.of(0.25, 5.0)
# The 95th percentile of chi-square with 6 degrees of freedom.
_ELLIPSOID = 12.59
# One law of odometry for the drive, the window and the filter: 0.7 cm after a meter, 0.015 rad
# after a radian and 0.01 rad after a meter. Over a step of 0.16 m that is 1.75 % of the distance.
NOISE = FilterOptions(distance_noise=0.007, turn_noise=0.015, distance_turn_noise=0.01)
WINDOW = WindowOptions(distance_noise=0.0175, rotation_noise=0.007)


@dataclass(frozen=True)
class Step:
    """One moment of a drive, and what came of it.

    Attributes:
        truth: map <- body.
        dark: the images were black.
        since_carried: moments since the robot was carried away, 0 for the first one at the new
            place; None before.
        fix: map <- body by the images, with its covariance; None where refused.
        believed: whether the filter believed it.
        filtered: the filter's pose and covariance; None before the first fixes agree.
    """

    truth: Pose
    dark: bool
    since_carried: int | None
    fix: tuple[Pose, NDArray[np.float64]] | None
    believed: bool
    filtered: tuple[Pose, NDArray[np.float64]] | None


class _Remembering(Relocalizer):
    """Matches each image once, whatever rigs it is looked at in."""

    def __init__(self, keyframes: KeyframeMap, options: RelocalizerOptions) -> None:
        super().__init__(keyframes, options)
        self._matched: dict[tuple[int, str], MatchedView | Localization] = {}

    def match(
        self, view: View, prior: PosePrior | None, timings: dict[str, float]
    ) -> MatchedView | Localization:
        """See `Relocalizer.match`."""
        key = view.frame.stamp, view.frame.frame_id
        if key not in self._matched:
            self._matched[key] = super().match(view, prior, timings)
        return self._matched[key]


def run(
    drive: Drive,
    seed: int,
    front_end: FrontEnd,
    options: RelocalizerOptions,
    rigs: Sequence[Sequence[int]],
) -> list[list[Step]]:
    """Drive once, and localize by each of some rigs.

    Args:
        drive: the room, its map and the way.
        seed: of odometry's noise.
        front_end: makes the map, too.
        options: of the relocalizer.
        rigs: numbers of the cameras that each rig has.

    Returns:
        The steps of each rig.
    """
    keyframes = KeyframeMap(front_end)
    for view in drive.keyframes:
        keyframes.add(Frame(view.image, view.camera, depth=view.depth), view.pose)
    relocalizer = _Remembering(keyframes, options)
    robots = [(Window(relocalizer, WINDOW), MapOdomFilter(NOISE)) for _ in rigs]
    steps: list[list[Step]] = [[] for _ in rigs]
    since: int | None = None
    odometry = _odometry(drive, seed)
    for (moment, seen), odom_body in zip(drive.views(), odometry, strict=True):
        since = 0 if moment.carried else None if since is None else since + 1
        views = [
            View(Frame(v.image, v.camera, moment.stamp, f"camera_{i}"), mount)
            for i, (v, mount) in enumerate(zip(seen, drive.mounts, strict=True))
        ]
        for rig, (window, filtered), done in zip(rigs, robots, steps, strict=True):
            answer = window.localize([views[i] for i in rig], odom_body, moment.stamp)
            fix, believed = None, False
            if answer.pose is None:
                filtered.predict(odom_body, moment.stamp)
            else:
                assert answer.covariance is not None
                fix = answer.pose, answer.covariance
                believed = filtered.correct(*fix, odom_body, moment.stamp)
            belief = filtered.belief
            here = None if belief is None else (belief.pose, belief.covariance)
            done.append(Step(moment.body, moment.dark, since, fix, believed, here))
    return steps


def _odometry(drive: Drive, seed: int) -> Iterator[Pose]:
    """odom <- body of each moment: the true way with noise; being carried is not noticed."""
    random, odom_body = np.random.default_rng([seed, 13]), np.eye(4)
    before: Pose | None = None
    for moment in drive.moments:
        if before is not None and not moment.carried:
            moved = transforms.inverse(before) @ moment.body
            error = random.multivariate_normal(np.zeros(6), NOISE.motion_covariance(moved))
            odom_body = odom_body @ transforms.perturb(np.eye(4), error) @ moved
        before = moment.body
        yield odom_body


@dataclass
class Figures:
    """What the steps of several drives come to."""

    drives: list[Sequence[Step]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Names and figures; NaN where there is nothing to count."""
        steps = [step for drive in self.drives for step in drive]
        light = [step for step in steps if not step.dark]
        dark = [step for step in steps if step.dark]
        fixes = [(step, PoseError.of(step.fix[0], step.truth)) for step in steps if step.fix]
        # In the first moments at a new place, the filter's pose is that of the old one.
        settled = [s for s in steps if s.since_carried is None and s.filtered]
        recovered = [_recovered(drive) for drive in self.drives]
        found = [count for count in recovered if count is not None]
        return {
            "drives": len(self.drives),
            "moments": len(steps),
            "localized": _mean([step.fix is not None for step in light]),
            "error_m": _median([e.translation_m for s, e in fixes if not s.dark]),
            "error_deg": _median([np.rad2deg(e.rotation_rad) for s, e in fixes if not s.dark]),
            "wrong_fixes": sum(_is_wrong(e) for _, e in fixes),
            "wrong_believed": sum(_is_wrong(e) for s, e in fixes if s.believed),
            "nees": _mean([_nees(s.fix, s) for s, _ in fixes if not s.dark]),
            "coverage": _mean([_nees(s.fix, s) <= _ELLIPSOID for s, _ in fixes if not s.dark]),
            "filtered_nees": _mean([_nees(s.filtered, s) for s in settled]),
            "filtered_coverage": _mean([_nees(s.filtered, s) <= _ELLIPSOID for s in settled]),
            "dark_coverage": _mean(
                [_nees(s.filtered, s) <= _ELLIPSOID for s in dark if s.filtered]
            ),
            "recovered": len(found),
            "images_to_recover": _median(found),
            "most_images_to_recover": max(found, default=float("nan")),
        }


def _recovered(drive: Sequence[Step]) -> int | None:
    """Images at the new place until the filter's pose is right; None where it never is."""
    for step in drive:
        if step.since_carried is None or step.filtered is None:
            continue
        if not _is_wrong(PoseError.of(step.filtered[0], step.truth)):
            return step.since_carried + 1
    return None


def _is_wrong(error: PoseError) -> bool:
    return error.translation_m > WRONG.translation_m or error.rotation_rad > WRONG.rotation_rad


def _nees(estimate: tuple[Pose, NDArray[np.float64]] | None, step: Step) -> float:
    assert estimate is not None
    return PoseError.of(estimate[0], step.truth).nees(estimate[1])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else float("nan")
