# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A map from poses that drift: places seen again are found and verified, and the way straightened.

In stages: retrieval names keyframes that look alike; the relocalizer finds the pose of one in the
map of the other, with all its checks; and the pose graph believes those that do not contradict the
rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.mapping.options import OdometryMapOptions
from mast3r_ros.mapping.pairs import similar_pairs
from mast3r_ros.mapping.pose_graph import Link, solve_pose_graph

# What odometry is uncertain about even where nothing moves [m, rad].
_LEAST_POSITION, _LEAST_ROTATION = 0.002, np.deg2rad(0.1)


@dataclass(frozen=True)
class Straightened:
    """What came of the loop closures of a map.

    Attributes:
        keyframes: the map with straightened poses.
        closures: how many pairs the relocalizer found.
        believed: (N, 2) those that the graph believes, by their numbers in the order of time.
        moved_m: (K,) how far each keyframe moved.
    """

    keyframes: KeyframeMap
    closures: int
    believed: tuple[tuple[int, int], ...]
    moved_m: NDArray[np.float64]

    def as_dict(self) -> dict[str, Any]:
        """The figures, fit for JSON."""
        return {
            "closures": self.closures,
            "believed": len(self.believed),
            "moved_median_m": float(np.median(self.moved_m)),
            "moved_max_m": float(self.moved_m.max()),
        }


def closure_pairs(keyframes: KeyframeMap, options: OdometryMapOptions) -> list[tuple[int, int]]:
    """Pairs of keyframes, by their numbers in the order of time, that may show one place."""
    return similar_pairs(keyframes, options.closure_alike, 1)


def find_closures(
    keyframes: KeyframeMap, pairs: Iterable[tuple[int, int]], options: RelocalizerOptions
) -> Iterator[Link | None]:
    """Localize one keyframe of each pair in the map of the other; None where that is refused.

    The map of a keyframe with depth is itself alone; of one without, also the ones before and
    after it, with which its points were triangulated: over them odometry hardly drifts.
    """
    every, relocalizer = keyframes.in_order(), None
    for one, other in pairs:
        first, second = every[one], every[other]
        if first.camera is None or second.camera is None:
            yield None
            continue
        near = [first] if first.sensed else every[max(one - 1, 0) : one + 2]
        near = [k for k in near if k.id != second.id]
        # Pairs of one keyframe follow each other.
        if relocalizer is None or relocalizer.map.ids.tolist() != [k.id for k in near]:
            relocalizer = Relocalizer(keyframes.derive(near), options)
        answer = relocalizer.localize_description(second.description, second.camera)
        if answer.pose is None or answer.covariance is None:
            yield None
            continue
        first_map = transforms.inverse(first.pose)
        covariance = transforms.rotate_covariance(answer.covariance, first_map)
        yield Link(one, other, first_map @ answer.pose, covariance)


def straighten(
    keyframes: KeyframeMap, closures: Iterable[Link | None], options: OdometryMapOptions
) -> Straightened:
    """Solve the pose graph of odometry's steps and the closures.

    Args:
        keyframes: in the order of time, at odometry's poses.
        closures: of `find_closures`.
        options: how much odometry drifts.

    Raises:
        MissingExtraError: gtsam is not installed.
    """
    every, found = keyframes.in_order(), [link for link in closures if link is not None]
    steps = [_step(i, before, after, options) for i, (before, after) in _successive(every)]
    poses, believed = solve_pose_graph([k.pose for k in every], steps, found)
    return Straightened(
        keyframes.derive(k.moved(p, k.covariance) for k, p in zip(every, poses, strict=True)),
        len(found),
        tuple((link.one, link.other) for link in compress(found, believed)),
        np.array([transforms.distance(k.pose, p) for k, p in zip(every, poses, strict=True)]),
    )


def _successive(every: Sequence[Keyframe]) -> list[tuple[int, tuple[Pose, Pose]]]:
    return [(i, (every[i].pose, every[i + 1].pose)) for i in range(len(every) - 1)]


def _step(number: int, before: Pose, after: Pose, options: OdometryMapOptions) -> Link:
    """A step of odometry, with what it may have drifted by."""
    way = transforms.distance(before, after)
    position = np.hypot(options.drift * way, _LEAST_POSITION)
    rotation = np.hypot(np.deg2rad(options.drift_rotation) * np.sqrt(way), _LEAST_ROTATION)
    covariance = np.diag(np.repeat([position**2, rotation**2], 3))
    return Link(number, number + 1, transforms.inverse(before) @ after, covariance)
