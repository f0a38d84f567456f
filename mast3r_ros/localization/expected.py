# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Does an image show the map where odometry expects it?

From far aside, a front end finds few matches among all features of an image. Where the last pose
and odometry say where the camera is, features that are alike are matches if they lie where they
should. Odometry's error moves all of them alike in the image. So many pairs that are moved alike,
by no more than that error, are more than chance if nowhere else in the image so many are. A robot
that was carried away finds no more than chance; a pattern that repeats is found aside as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from mast3r_ros.frontends.base import RanksPairs
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.overlap import seen_from
from mast3r_ros.geometry.rig import move_covariance
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.look_alikes import distance_from_keyframes
from mast3r_ros.localization.result import Localization
from mast3r_ros.localization.view import MatchedView
from mast3r_ros.matching.correspondences import Correspondences

Array = NDArray[np.float64]

# Of all pairs of features, the part that is most alike: a feature finds about one by chance among
# those that lie within twice the radius below.
_ALIKE = 0.004
# Pairs are moved alike that differ by less than this part of the image's width: depths differ, and
# cameras turn about their axes.
_RADIUS = 0.02
# Motions that are looked at, in radii from each other.
_STEP = 0.75
# They may be moved by so many deviations of where they are expected, which in two directions allows
# for 95 %, if that is not farther than this part of the width; and what chance does is seen as far
# beyond. Within 2 deviations, more right poses were missed, and none fewer of the wrong confirmed.
_DEVIATIONS, _WIDEST, _BEYOND = 2.5, 0.08, 0.12
# There must be so many times the pairs that any other motion finds, and more by so many of its
# square roots. In every second image of the office, in a map of four keyframes (`xfeat`), 27 of 30
# poses as odometry has them pass, and 2 of 210 wrong ones.
_TIMES, _ROOTS = 1.5, 6.0
# The image that is expected, seen from so much nearer or farther, must not explain more.
_SCALES = (0.85, 1.18)
# Keyframes within so many times the distance of what was seen last are looked at, the nearest few;
# of those, the ones whose points are in the image most are matched.
_REACH, _NEAREST, _KEYFRAMES = 2.0, 16, 4


@dataclass(frozen=True)
class Expectation:
    """Where the body should be.

    Attributes:
        pose: map <- body, (4, 4).
        covariance: (6, 6) of it [m, rad], in the sense of `transforms.perturb`.
        odom_body: odom <- body, (4, 4).
        stamp: [ns].
        distance: of what is seen [m].
        confidence: of the answer that it comes from.
    """

    pose: Pose
    covariance: Array
    odom_body: Pose
    stamp: int
    distance: float
    confidence: float

    @staticmethod
    def of(answer: Localization, odom_body: Pose, stamp: int) -> Expectation:
        """An answer, when odometry said `odom_body`."""
        assert answer.pose is not None
        assert answer.covariance is not None
        distance = distance_from_keyframes(answer.matches)
        return Expectation(
            answer.pose, answer.covariance, odom_body, stamp, distance, answer.confidence
        )

    def moved(
        self, odom_body: Pose, stamp: int, noise: Callable[[Pose, float], Array]
    ) -> Expectation:
        """Later, by odometry.

        Args:
            odom_body: odom <- body then, (4, 4).
            stamp: [ns].
            noise: (6, 6) covariance of a motion over so many seconds [m, rad].
        """
        moved = transforms.inverse(self.odom_body) @ odom_body
        added = noise(moved, (stamp - self.stamp) / 1e9)
        before = self.covariance + transforms.rotate_covariance(added, self.pose)
        covariance = move_covariance(before, self.pose, moved)
        return replace(
            self, pose=self.pose @ moved, covariance=covariance, odom_body=odom_body, stamp=stamp
        )


@dataclass(frozen=True)
class Sight:
    """What an image shows of the map.

    Attributes:
        found: features that are where they should be, but for one motion of all.
        by_chance: the most of them that any motion finds that is too long for that.
    """

    found: int
    by_chance: int


def seen_as_expected(
    keyframes: KeyframeMap, view: MatchedView, expected: Expectation, enough: int
) -> Sight | None:
    """Compare an image with the map where its pose is expected.

    Args:
        keyframes: the map.
        view: the image, with its description.
        expected: where the body is.
        enough: features beyond those that chance finds.

    Returns:
        None where no more is found than by chance, where the pose is not known well enough, or
        where the front end does not rank pairs.
    """
    front_end = keyframes.front_end
    if view.query is None or not isinstance(front_end, RanksPairs):
        return None
    pose, limit = expected.pose @ view.body_camera, _DEVIATIONS * _deviation(view, expected)
    if limit > _WIDEST * view.size[0]:
        return None
    same = _seeing_the_same(keyframes, front_end, pose, view.camera, expected.distance)
    if not same:
        return None
    alike = [front_end.most_alike(k.description, view.query, _ALIKE) for k in same]
    sight = _common_motion(_Pairs.of(same, alike, pose, view.camera), limit, view.size)
    surplus = max(_ROOTS * np.sqrt(sight.by_chance), enough)
    needed = max(_TIMES * sight.by_chance, sight.by_chance + surplus)
    return sight if sight.found >= needed else None


def _deviation(view: MatchedView, expected: Expectation) -> float:
    """How far a point may be from where it is expected, one standard deviation [pixels]."""
    covariance = move_covariance(expected.covariance, expected.pose, view.body_camera)
    moved, turned = (np.linalg.eigvalsh(covariance[i : i + 3, i : i + 3])[-1] for i in (0, 3))
    return float(view.camera.fx * np.sqrt(turned + moved / max(expected.distance, 1e-9) ** 2))


def _seeing_the_same(
    keyframes: KeyframeMap, front_end: RanksPairs, pose: Pose, camera: Camera, distance: float
) -> list[Keyframe]:
    """The few keyframes near by of which most points are in an image."""
    ids, poses = keyframes.near(pose[:3, 3], _REACH * distance)
    nearest = np.argsort(np.linalg.norm(poses[:, :3, 3] - pose[:3, 3], axis=1))[:_NEAREST]
    counts = []
    for number in ids[nearest]:
        keyframe = keyframes[int(number)]
        points = transforms.apply(keyframe.pose, front_end.known_points(keyframe.description))
        counts.append((int(seen_from(pose, camera, points)[2].sum()), keyframe))
    counts.sort(key=lambda pair: -pair[0])
    return [keyframe for count, keyframe in counts[:_KEYFRAMES] if count]


@dataclass(frozen=True)
class _Pairs:
    """The most alike features of an image and of the keyframes, where these are expected in it.

    Attributes:
        expected: (N, 2) where the map's features are expected [pixels].
        pixels: (N, 2) where the image's are [pixels].
        numbers: (N, 2) of the map's feature and of the image's.
    """

    expected: Array
    pixels: Array
    numbers: NDArray[np.int64]

    @staticmethod
    def of(
        same: Sequence[Keyframe], alike: Sequence[Correspondences], pose: Pose, camera: Camera
    ) -> _Pairs:
        """Those of each keyframe, without the ones that are not expected in the image."""
        points = [
            transforms.apply(k.pose, c.reference_points) for k, c in zip(same, alike, strict=True)
        ]
        expected, _, inside = seen_from(pose, camera, np.concatenate(points))
        pixels = np.concatenate([c.query_pixels for c in alike]).astype(np.float64)
        owners = np.repeat(np.arange(len(alike)), [len(c) for c in alike])
        ours = np.column_stack([owners, np.concatenate([c.reference_pixels for c in alike])])
        numbers = np.column_stack([_distinct(ours[inside]), _distinct(pixels[inside])])
        return _Pairs(expected[inside], pixels[inside], numbers)

    def moved_by(self, motions: Array, radius: float, scale: float, center: Array) -> Array:
        """(M,) how many features each motion moves to where they are: each feature counts once.

        Args:
            motions: (M, 2) [pixels].
            radius: pairs may differ from a motion by so much [pixels].
            scale: of the image that is expected, about its center.
            center: (2,) [pixels].
        """
        if not len(self.pixels):
            return np.zeros(len(motions))
        apart = self.pixels - center - scale * (self.expected - center)
        near = KDTree(apart).query_ball_point(motions, radius)
        return np.array([min(len(np.unique(side)) for side in self.numbers[i].T) for i in near])


def _common_motion(pairs: _Pairs, limit: float, size: tuple[int, int]) -> Sight:
    """What is found by the best motion that may be, and by the best that is too long.

    Nothing is found where the image that is expected, made larger or smaller, fits more: a camera
    that is nearer or farther sees what is in the middle where it should be, too.

    Args:
        pairs: of features.
        limit: longest motion that may be [pixels].
        size: (width, height) of the image [pixels].
    """
    radius, farthest = _RADIUS * size[0], limit + _BEYOND * size[0]
    steps = np.arange(-farthest, farthest + radius, _STEP * radius)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    far = np.linalg.norm(grid, axis=1)
    near, beyond = grid[far <= limit], grid[(far > limit + 2 * radius) & (far <= farthest)]
    center = np.array(size) / 2.0
    found = int(pairs.moved_by(near, radius, 1.0, center).max())
    by_chance = int(pairs.moved_by(beyond, radius, 1.0, center).max())
    if any(pairs.moved_by(near, radius, scale, center).max() >= found for scale in _SCALES):
        found = 0
    return Sight(found, by_chance)


def _distinct(rows: NDArray[np.floating]) -> NDArray[np.int64]:
    """(N,) number of each row: equal rows have one number."""
    return np.asarray(np.unique(rows, axis=0, return_inverse=True)[1], np.int64).reshape(-1)
