# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Metric points for keyframes without depth, from neighbors whose poses are known."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.frontends.base import Depths, Triangulates
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.geometry.triangulation import fuse_depths, relative, triangulate_depth
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.places import Place

# Error that the relative pose of two keyframes (odometry) adds to a matched pixel.
_POSE_SIGMA_RAD = np.deg2rad(0.15)
# A new keyframe is matched with at most so many others.
_NEIGHBORS = 6

Candidate = TypeVar("Candidate", Keyframe, Place)


class PendingPairs:
    """Pairs of keyframes that are still to be matched for the sake of points.

    A new keyframe is matched with the neighbors that most likely see the same things, the most
    likely first; each match gives both keyframes points. Its own are fused from all of them, and
    a neighbor's from those that it had and the new ones.
    """

    def __init__(self) -> None:
        self._jobs: deque[_Job] = deque()

    def __len__(self) -> int:
        return sum(len(job.neighbors) for job in self._jobs)

    def enqueue(self, keyframe: Keyframe, candidates: Sequence[Place]) -> None:
        """Note the pairs of a new keyframe; `candidates` come the most likely first."""
        near = choose_neighbors(keyframe, candidates, _NEIGHBORS)
        ids = deque(n.id for n in near if not (keyframe.sensed and n.sensed))
        if ids:
            self._jobs.append(_Job(keyframe.id, ids, []))

    def next(
        self, keyframes: Mapping[int, Keyframe], front_end: Triangulates
    ) -> KeyframePair | None:
        """Take the next two that are still in the map; None where no pair is left."""
        while self._jobs:
            job = self._jobs[0]
            neighbor_id = job.neighbors.popleft()
            if not job.neighbors:
                self._jobs.popleft()
            one, other = keyframes.get(job.keyframe), keyframes.get(neighbor_id)
            if one is not None and other is not None:
                return KeyframePair.of(one, other, job.depths, front_end)
        return None


@dataclass(frozen=True)
class KeyframePair:
    """Two keyframes to be matched for the sake of points.

    Attributes:
        one: the new one.
        other: its neighbor.
        depths: those of the one's rays that its pairs before gave; its own are added.
        front_end: of the map.
    """

    one: Keyframe
    other: Keyframe
    depths: list[Depths]
    front_end: Triangulates

    @staticmethod
    def of(
        one: Keyframe, other: Keyframe, depths: list[Depths], front_end: Triangulates
    ) -> KeyframePair:
        """A pair of which nothing is left to be read: the map's file belongs to another thread."""
        for keyframe in (one, other):
            keyframe.description  # noqa: B018 - of a saved map, this reads it
        return KeyframePair(one, other, depths, front_end)

    def measured(self) -> list[Keyframe]:
        """Match the two; those without a depth sensor come back with new points.

        This takes nearly all of the time of triangulation, and may run in any thread; the pairs
        of one keyframe one after another.
        """
        one, other, front_end = self.one, self.other, self.front_end
        first, second = triangulate_pair(one, other, front_end)
        renewed = []
        if not one.sensed:
            if not self.depths:
                self.depths.extend(front_end.known_depths(one.description))
            self.depths.append(first)
            renewed.append(with_depths(one, self.depths, front_end))
        if not other.sensed:
            known = front_end.known_depths(other.description)
            renewed.append(with_depths(other, [*known, second], front_end))
        return renewed


@dataclass(frozen=True)
class _Job:
    """A new keyframe, the neighbors left to match it with, and the depths so far."""

    keyframe: int
    neighbors: deque[int]
    depths: list[Depths]


def with_depths(keyframe: Keyframe, depths: Sequence[Depths], front_end: Triangulates) -> Keyframe:
    """A keyframe whose points are where several measurements of their depth agree."""
    assert keyframe.camera is not None
    depth, sigma = np.stack(depths, axis=1)
    fused, relative_sigma = fuse_depths(depth, sigma)
    described = front_end.with_depths(keyframe.description, keyframe.camera, fused, relative_sigma)
    return replace(keyframe, description=described)


def triangulate_pair(
    one: Keyframe, other: Keyframe, front_end: Triangulates
) -> tuple[Depths, Depths]:
    """Match two keyframes once, for both of them.

    Returns:
        Depths of the one's rays and of the other's.
    """
    assert one.camera is not None
    assert other.camera is not None
    pixels = [front_end.ray_pixels(k.description) for k in (one, other)]
    other_one = relative(other.pose, one.pose)
    lines = _epipolar_lines(one.camera, other.camera, pixels[0], other_one)
    depths = np.full((2, len(pixels[0])), np.nan), np.full((2, len(pixels[1])), np.nan)
    for pairs in front_end.matched_rays(one.description, other.description, lines):
        rays = (
            one.camera.normalize(pixels[0][pairs[:, 0]]),
            other.camera.normalize(pixels[1][pairs[:, 1]]),
        )
        for side, (camera, motion) in enumerate(
            ((other.camera, other_one), (one.camera, transforms.inverse(other_one)))
        ):
            sigma, band = front_end.match_errors(ImageSize(camera.width, camera.height))
            z, deviation = triangulate_depth(
                rays[side],
                rays[1 - side],
                motion,
                camera.fx,
                float(np.hypot(sigma, _POSE_SIGMA_RAD * camera.fx)),
                band,
            )
            seen = np.isfinite(z)
            depths[side][:, pairs[seen, side]] = z[seen], deviation[seen]
    return depths


def _epipolar_lines(
    camera: Camera, other: Camera, pixels: NDArray[np.float64], other_camera: Pose
) -> NDArray[np.float64]:
    """(N, 3) epipolar lines of pixels in the other image; NaN where there is no ray.

    Straight lines hold without distortion: the band about them takes up what little there is.
    """
    rays = np.column_stack([camera.normalize(pixels), np.ones(len(pixels))])
    essential = transforms.skew(other_camera[:3, 3]) @ other_camera[:3, :3]
    lines = rays @ essential.T @ np.linalg.inv(other.matrix)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(lines / np.hypot(lines[:, 0], lines[:, 1])[:, None])


def choose_neighbors(
    keyframe: Keyframe, candidates: Sequence[Candidate], count: int
) -> list[Candidate]:
    """The first candidates that may see the same things from another place."""
    axis = keyframe.pose[:3, 2]
    chosen = (
        other
        for other in candidates
        if other.id != keyframe.id
        and keyframe.calibrated
        and other.calibrated
        and transforms.distance(other.pose, keyframe.pose) > 0.01
        and other.pose[:3, 2] @ axis > np.cos(np.deg2rad(60.0))
    )
    return list(islice(chosen, count))
