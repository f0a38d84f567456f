# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Windows and the map -> odom filter on rendered drives, against the exact truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mast3r_ros.evaluation.drive_figures import Step
from mast3r_ros.evaluation.filtered import Tracked
from mast3r_ros.evaluation.odometry import measured
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.retrieval import PosePrior
from mast3r_ros.localization.map_odom import FilterOptions, MapOdomFilter
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization
from mast3r_ros.localization.view import MatchedView
from mast3r_ros.localization.view import View as Seen
from mast3r_ros.localization.window import Window, WindowOptions

if TYPE_CHECKING:
    from mast3r_ros.frontends.base import FrontEnd
    from mast3r_ros.training.worlds.routes import Moment
    from mast3r_ros.training.worlds.views import View

# One law of odometry for the drive, the window and the filter: 0.7 cm after a meter, 0.015 rad
# after a radian and 0.01 rad after a meter. Over a step of 0.16 m that is 1.75 % of the distance;
# the robot turns by 0.25 rad a step.
NOISE = FilterOptions(distance_noise=0.007, turn_noise=0.015, distance_turn_noise=0.01)
WINDOW = WindowOptions(distance_noise=0.0175, rotation_noise=0.0075)
# Part of the drive from which on a camera is unplugged: within the black-out it would not show.
_UNPLUGGED = 0.5


@dataclass(frozen=True)
class Rig:
    """Cameras of the robot that are used together.

    Attributes:
        cameras: their numbers.
        unplugged: those that send nothing in the second half of the drive.
    """

    cameras: tuple[int, ...]
    unplugged: tuple[int, ...] = ()

    def at(self, part: float) -> list[int]:
        """The cameras that send images when this part of the drive is done."""
        return [c for c in self.cameras if part < _UNPLUGGED or c not in self.unplugged]


def rigs_of(count: int) -> dict[str, Rig]:
    """All cameras of a robot, each one alone, and all of which one is unplugged; by name."""
    every = tuple(range(count))
    if count == 1:
        return {"all": Rig(every)}
    alone = {f"camera {i}": Rig((i,)) for i in every}
    return {"all": Rig(every), "camera 0 unplugged": Rig(every, (0,)), **alone}


class _Remembering(Relocalizer):
    """Matches each image once, whatever rigs it is looked at in."""

    def __init__(self, keyframes: KeyframeMap, options: RelocalizerOptions) -> None:
        super().__init__(keyframes, options)
        self._matched: dict[tuple[int, str], MatchedView | Localization] = {}

    def match(
        self, view: Seen, prior: PosePrior | None, timings: dict[str, float]
    ) -> MatchedView | Localization:
        """See `Relocalizer.match`."""
        key = view.frame.stamp, view.frame.frame_id
        if key not in self._matched:
            self._matched[key] = super().match(view, prior, timings)
        return self._matched[key]


class Driven(Protocol):
    """What a drive has, rendered now or read from files; see `training.worlds.drives.Drive`."""

    @property
    def keyframes(self) -> Sequence[View]:
        """With depth, their poses in the map."""
        ...

    @property
    def moments(self) -> Sequence[Moment]:
        """The way."""
        ...

    @property
    def mounts(self) -> Sequence[Pose]:
        """body <- camera of each camera."""
        ...

    def views(self) -> Iterator[tuple[Moment, list[View]]]:
        """Each moment with the images of all cameras."""
        ...


def run(
    drive: Driven,
    seed: int,
    front_end: FrontEnd,
    options: RelocalizerOptions,
    rigs: Sequence[Rig],
) -> list[list[Step]]:
    """Drive once, and localize by each of some rigs.

    Args:
        drive: the room, its map and the way.
        seed: of odometry's noise.
        front_end: makes the map, too.
        options: of the relocalizer, but for those that say how exact maps and images are: poses and
            depth of rendered keyframes are exact, and all rows of an image are of one instant.
        rigs: of the robot's cameras.

    Returns:
        The steps of each rig.
    """
    keyframes = KeyframeMap(front_end)
    for view in drive.keyframes:
        keyframes.add(Frame(view.image, view.camera, depth=view.depth), view.pose)
    exact = replace(
        options,
        keyframe_position_sigma=0.0,
        keyframe_rotation_sigma=0.0,
        depth_noise=0.0,
        rolling_shutter=0.0,
    )
    relocalizer = _Remembering(keyframes, exact)
    robots = [(Window(relocalizer, WINDOW), MapOdomFilter(NOISE)) for _ in rigs]
    steps: list[list[Step]] = [[] for _ in rigs]
    odometry = _odometry(drive, seed)
    for number, ((moment, seen), odom_body) in enumerate(zip(drive.views(), odometry, strict=True)):
        views = [
            Seen(Frame(v.image, v.camera, moment.stamp, f"camera_{i}"), mount)
            for i, (v, mount) in enumerate(zip(seen, drive.mounts, strict=True))
        ]
        for rig, (window, filtered), done in zip(rigs, robots, steps, strict=True):
            sent = [views[i] for i in rig.at(number / len(drive.moments))]
            answer = window.localize(sent, odom_body, moment.stamp)
            believed = filtered.follow(answer, odom_body, moment.stamp)
            tracked = Tracked.of(moment.stamp, moment.body, believed, filtered)
            fix = None
            if answer.pose is not None and answer.covariance is not None:
                fix = answer.pose, answer.covariance
            done.append(Step(tracked, moment.event, moment.dark, fix))
    return steps


def _odometry(drive: Driven, seed: int) -> Iterator[Pose]:
    """odom <- body of each moment: the true way with noise, without what is not noticed."""
    random, odom_body = np.random.default_rng([seed, 13]), np.eye(4)
    before: Pose | None = None
    for moment in drive.moments:
        if before is not None and not (moment.event and moment.event.is_unnoticed):
            moved = transforms.inverse(before) @ moment.body
            odom_body = odom_body @ measured(moved, NOISE, random)
        before = moment.body
        yield odom_body
