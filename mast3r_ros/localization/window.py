# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The images of the last seconds: each is matched once, and solved with those that follow.

An image is compared with the map when it arrives. What is kept of it are its matches, so that a
window of five images costs one image and the solving.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.options import check, option
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.rig import move_covariance
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.retrieval import PosePrior
from mast3r_ros.localization.driven_scale import DrivenScale
from mast3r_ros.localization.expected import Expectation
from mast3r_ros.localization.newest import judged_by_newest
from mast3r_ros.localization.other_poses import far_apart
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization, Reason
from mast3r_ros.localization.view import MatchedView, View, as_views

# Images that are nearer in time than this part of the spacing are not both kept.
_CROWDED = 0.25
# An image is taken from this part of the spacing on: cameras are not exactly periodic.
_EARLY = 0.75
# Stamps of a few milliseconds' difference say little of a speed [s].
_LEAST_TIME = 0.01
# Matches that are kept of a past image: those of one cell count as one, so more say little.
_MOST_MATCHES = 160
# Refusals of images that match too little, and contradict nothing. An AMBIGUOUS one is not among
# them: the last pose may rest on the other place, and would be believed for longer.
_TOO_LITTLE = frozenset(
    {
        Reason.FEW_MATCHES,
        Reason.FEW_INLIERS,
        Reason.LOW_INLIER_RATIO,
        Reason.POOR_SPREAD,
        Reason.UNCERTAIN,
    }
)


@dataclass(frozen=True)
class WindowOptions:
    """Which of the last images are solved together with the newest one."""

    count: int = option(
        5, "Images solved together, including the newest; 1: each image by itself", 1, 20
    )
    spacing: float = option(0.4, "Time between the images of a window [s]", 0.0, 60.0)
    max_age: float = option(3.0, "Forget images older than this [s]", 0.0, 600.0)
    max_distance: float = option(5.0, "Forget images taken farther away than this [m]", 0.0, 100.0)
    max_angle: float = option(
        3.0, "Forget images from which the robot has rotated more than this [rad]", 0.0, 3.2
    )
    distance_noise: float = option(
        0.02,
        "Standard deviation of odometry's position between two images, as a fraction of "
        "their distance",
        0.0,
        1.0,
    )
    rotation_noise: float = option(
        0.00524,
        "Standard deviation of odometry's orientation between two images [rad], about each axis",
        0.0,
        1.0,
    )
    max_speed: float = option(
        10.0, "Odometry faster than this has jumped, and the window restarts [m/s]", 0.01, 1000.0
    )
    max_turn_rate: float = option(10.0, "As `max_speed`, for the orientation [rad/s]", 0.01, 1000.0)

    def __post_init__(self) -> None:
        check(self)

    def step_covariance(self, moved: Pose) -> NDArray[np.float64]:
        """(6, 6) of one step of odometry [m, rad]."""
        position = self.distance_noise * float(np.linalg.norm(moved[:3, 3]))
        return np.diag([position**2] * 3 + [self.rotation_noise**2] * 3)

    def covariance_over(self, moved: Pose, seconds: float) -> NDArray[np.float64]:
        """(6, 6) of odometry over a part of a step or over several, as of a random walk [m, rad].

        At constant speed, that of `spacing` seconds is `step_covariance`.
        """
        steps = max(seconds, 1e-9) / self.spacing
        # Of a part of a step, the distance is so much shorter too.
        scale = np.repeat([1 / steps, steps], 3)
        return np.asarray(self.step_covariance(moved) * scale)

    def jumped(self, moved: Pose, seconds: float) -> bool:
        """Whether a motion by odometry in a time is none: time went back, or it is too fast."""
        if seconds < 0:
            return True
        seconds = max(seconds, _LEAST_TIME)
        way = float(np.linalg.norm(moved[:3, 3]))
        turned = transforms.rotation_angle(np.eye(4), moved)
        return way > self.max_speed * seconds or turned > self.max_turn_rate * seconds


@dataclass(frozen=True)
class _Instant:
    """The images of one instant.

    Attributes:
        stamp: [ns].
        odom_body: odom <- body, (4, 4).
        views: each with where its camera sits on the body, and no motion.
    """

    stamp: int
    odom_body: Pose
    views: tuple[MatchedView, ...]


class Window:
    """Localizes images together with those before them.

    Attributes:
        history: instants that were solved together at last, the newest included.
        jumped: whether time or odometry has jumped before the newest instant.
    """

    def __init__(self, relocalizer: Relocalizer, options: WindowOptions | None = None) -> None:
        """Begin without images."""
        self.relocalizer = relocalizer
        self.options = options or WindowOptions()
        self.history, self.jumped = 0, False
        self._instants: list[_Instant] = []  # newest first
        self._last: Expectation | None = None
        self._driven = DrivenScale(relocalizer.map.front_end, relocalizer.scale)

    def __len__(self) -> int:
        """Number of instants that are kept."""
        return len(self._instants)

    def reset(self) -> None:
        """Forget all images, as when the robot was carried away."""
        self._instants.clear()
        self._last = None
        self._driven.reset()

    def localize(
        self,
        query: Frame | Sequence[View],
        odom_body: Pose,
        stamp: int | None = None,
        prior: PosePrior | None = None,
    ) -> Localization:
        """Where the body is now, by these images and those before.

        Args:
            query: the image of this instant, whose camera is the body; or those of several cameras.
                Their motion is ignored.
            odom_body: odom <- body at this instant, (4, 4).
            stamp: of this instant [ns]; that of the first image by default.
            prior: where the body is believed to be; it steers retrieval alone.

        Returns:
            The answer of the relocalizer, whose `matches` name the views newest first. Where the
            newest images contradict those before, the window starts over with them.
        """
        views = as_views(query)
        if not transforms.is_rigid(odom_body):
            raise ValueError(f"odom_body {odom_body.tolist()} is not a rigid transform")
        timings: dict[str, float] = {}
        self.history, self.jumped, matched = 0, False, []
        for view in views:
            here = replace(view, T_now_then=np.eye(4), motion_covariance=None)
            compared = self.relocalizer.match(here, here.prior(prior), timings)
            if isinstance(compared, Localization):
                return compared
            matched.append(compared)
        when = views[0].frame.stamp if stamp is None else stamp
        self._add(_Instant(when, odom_body, tuple(matched)))
        first = matched[0]
        self._driven.take(
            first, odom_body @ first.T_body_camera, when, self.options.covariance_over, timings
        )
        answer = self._answer(timings)
        if answer.pose is not None:
            self._last = Expectation.of(answer, odom_body, when)
        elif answer.reason is Reason.DISAGREEING:
            self._last = None  # it may have been carried away
        elif answer.reason in _TOO_LITTLE:
            answer = self._confirmed(self._instants[0], timings) or answer
        return answer

    def _answer(self, timings: dict[str, float]) -> Localization:
        """Where the body is now, by the newest instants that can be localized together."""
        chosen = self._chosen()
        answer = self._solve(chosen, timings)
        if answer.reason is Reason.DISAGREEING:
            # The robot was carried away, or odometry jumped: with the newest that do agree.
            for count in range(len(chosen) - 1, 0, -1):
                newer = self._solve(chosen[:count], timings)
                if newer.localized:
                    self._instants = [i for i in self._instants if i.stamp > chosen[count].stamp]
                    return newer
            self.history = len(chosen)
        if answer.reason is Reason.AMBIGUOUS and len(chosen) > 1:
            newest = self._newest_alone(chosen[0], answer, timings)
            if newest is not None:
                self.history = 1
                return newest
        return answer

    def _confirmed(self, newest: _Instant, timings: dict[str, float]) -> Localization | None:
        """Where odometry expects the body, if the newest images show the map there.

        None, too, where the last answer is as old as images that are forgotten, and where each
        image is to be localized by itself.
        """
        last, options = self._last, self.options
        if last is None or options.count < 2 or newest.stamp - last.stamp > options.max_age * 1e9:
            return None
        expected = last.moved(newest.odom_body, newest.stamp, options.covariance_over)
        return self.relocalizer.confirm(newest.views, expected, timings)

    def _solve(self, chosen: Sequence[_Instant], timings: dict[str, float]) -> Localization:
        """Where the body is now, by some instants, or by fewer of them."""
        self.history = len(chosen)
        judged = self._judge(chosen, timings)
        if judged.reason is not Reason.FEW_INLIERS or not judged.places:
            return judged
        # The images before hold a pose by themselves. Maybe the newest ones are there, too, and
        # odometry is more wrong than an inlier may be off.
        if self._is_at(_as_matched(chosen[0]), judged.places[0], timings) is not None:
            for count in range(len(chosen) - 1, 0, -1):
                fewer = self._judge(chosen[:count], timings)
                if fewer.localized:
                    self.history = count
                    return fewer
        if self.relocalizer.looks_again:
            # The relocalizer did not look again.
            judged = self._judge(chosen, timings, again=True)
        return judged

    def _judge(
        self, chosen: Sequence[_Instant], timings: dict[str, float], again: bool = False
    ) -> Localization:
        """The answer by some instants, refused where the newest of several holds none of it."""
        answer = self.relocalizer.solve(self._tied(chosen), timings, again=again)
        if len(chosen) == 1:
            return answer
        return judged_by_newest(answer, chosen[0].views, self.relocalizer)

    def _newest_alone(
        self, newest: _Instant, ambiguous: Localization, timings: dict[str, float]
    ) -> Localization | None:
        """The answer by the images of this instant, if they are at the window's best place alone.

        The images before may fit two places, while those of this instant fit only one. These are
        compared with keyframes that face the other places, which the images before found: an image
        that was never compared with such keyframes says nothing against a place.
        """
        if not ambiguous.places:
            return None
        # What is refused by the matches so far is not worth any more.
        if self._is_at(_as_matched(newest), ambiguous.places[0], timings) is None:
            return None
        views = self.relocalizer.compare_with(newest.views, ambiguous, timings)
        if views is None:
            return None
        compared = replace(newest, views=tuple(views))
        return self._is_at(compared, ambiguous.places[0], timings)

    def _is_at(
        self, instant: _Instant, place: Pose, timings: dict[str, float]
    ) -> Localization | None:
        """The answer by the images of one instant; None where it is not at a place."""
        alone = self.relocalizer.solve(instant.views, timings)
        if alone.pose is None or far_apart(alone.pose, place, self.relocalizer.options):
            return None
        return alone

    def _add(self, newest: _Instant) -> None:
        """Keep an instant, and forget what is no longer of use."""
        options = self.options
        self.jumped = bool(self._instants) and self._is_after_jump(newest)
        if self.jumped:
            self.reset()
        if self._instants:
            before = self._instants[0]
            self._instants[0] = replace(before, views=tuple(_thinned(v) for v in before.views))
        crowded = options.spacing * _CROWDED * 1e9
        if len(self._instants) > 1 and self._instants[0].stamp - self._instants[1].stamp < crowded:
            del self._instants[0]
        self._instants.insert(0, newest)
        keyframes = self.relocalizer.map
        # The last term bounds what is kept where the spacing is zero.
        near = [
            i
            for i in self._instants
            if newest.stamp - i.stamp <= options.max_age * 1e9
            and transforms.distance(newest.odom_body, i.odom_body) <= options.max_distance
            and transforms.rotation_angle(newest.odom_body, i.odom_body) <= options.max_angle
        ][: round(options.count / _CROWDED) + 1]
        self._instants = [i for i in (_of_map(i, keyframes) for i in near) if i.views]

    def _is_after_jump(self, newest: _Instant) -> bool:
        before = self._instants[0]
        moved = transforms.inverse(before.odom_body) @ newest.odom_body
        return self.options.jumped(moved, (newest.stamp - before.stamp) / 1e9)

    def _chosen(self) -> list[_Instant]:
        """The instants that are solved together, newest first."""
        chosen = [self._instants[0]]
        for instant in self._instants[1:]:
            if len(chosen) == self.options.count:
                break
            if chosen[-1].stamp - instant.stamp >= _EARLY * self.options.spacing * 1e9:
                chosen.append(instant)
        return chosen

    def _tied(self, chosen: Sequence[_Instant]) -> list[MatchedView]:
        """The views of some instants, tied to the newest by odometry."""
        now = transforms.inverse(chosen[0].odom_body)
        views = list(chosen[0].views)
        covariance = np.zeros((6, 6))
        for newer, older in pairwise(chosen):
            moved = transforms.inverse(newer.odom_body) @ older.odom_body
            then = now @ newer.odom_body
            # The noise of a step is alike about all axes, so it need not be turned.
            covariance = move_covariance(covariance, then, moved)
            covariance = covariance + self.options.step_covariance(moved)
            views.extend(
                replace(v, T_now_then=then @ moved, motion_covariance=covariance)
                for v in older.views
            )
        return views


def _as_matched(instant: _Instant) -> _Instant:
    """The instant without its descriptions: it is judged by the matches that it has."""
    return replace(
        instant, views=tuple(replace(view, query=None, frame=None) for view in instant.views)
    )


def _thinned(view: MatchedView) -> MatchedView:
    """The view with about `_MOST_MATCHES` at the most, evenly from all of its matches.

    Without its description: a second look is for the newest images alone.
    """
    view = replace(view, query=None, frame=None)
    share = _MOST_MATCHES / max(sum(len(c) for c in view.found), 1)
    if share >= 1:
        return view
    kept = [np.linspace(0, len(c) - 1, round(share * len(c))).astype(int) for c in view.found]
    found = [c.select(which) for c, which in zip(view.found, kept, strict=True)]
    return replace(view, found=tuple(found))


def _of_map(instant: _Instant, keyframes: KeyframeMap) -> _Instant:
    """The instant without matches with keyframes that were removed or moved."""
    views = []
    for view in instant.views:
        of_map = [
            (k, c) for k, c in zip(view.keyframes, view.found, strict=True) if _is_in(keyframes, k)
        ]
        if of_map:
            known, found = zip(*of_map, strict=True)
            views.append(replace(view, keyframes=known, found=found))
    return replace(instant, views=tuple(views))


def _is_in(keyframes: KeyframeMap, keyframe: Keyframe) -> bool:
    try:
        return np.array_equal(keyframes[keyframe.id].pose, keyframe.pose)
    except KeyError:
        return False
