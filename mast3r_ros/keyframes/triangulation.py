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


class Untriangulated:
    """Keyframes that are still to be matched with their neighbors for the sake of points.

    A new keyframe is matched with the neighbors that most likely see the same things; each match
    gives both keyframes points. Its own are fused from all of them, and a neighbor's from those
    that it had and the new ones.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, list[int]]] = deque()

    def enqueue(self, keyframe: Keyframe, candidates: Sequence[Place]) -> None:
        """Note a new keyframe and its neighbors; `candidates` come the most likely first."""
        near = choose_neighbors(keyframe, candidates, _NEIGHBORS)
        ids = [n.id for n in near if not (keyframe.sensed and n.sensed)]
        if ids:
            self._waiting.append((keyframe.id, ids))

    def next(
        self, keyframes: Mapping[int, Keyframe], front_end: Triangulates
    ) -> Neighborhood | None:
        """The next keyframe with its neighbors, as far as they are still in the map."""
        while self._waiting:
            number, ids = self._waiting.popleft()
            one, others = keyframes.get(number), [keyframes[i] for i in ids if i in keyframes]
            if one is not None and others:
                return Neighborhood.of(one, others, front_end)
        return None


@dataclass(frozen=True)
class Neighborhood:
    """A new keyframe and its neighbors, to be matched with them.

    Attributes:
        keyframe: the new one.
        neighbors: others that may see the same things.
        front_end: of the map.
    """

    keyframe: Keyframe
    neighbors: list[Keyframe]
    front_end: Triangulates

    @staticmethod
    def of(keyframe: Keyframe, neighbors: list[Keyframe], front_end: Triangulates) -> Neighborhood:
        """Of which nothing is left to be read: the map's file belongs to another thread."""
        for each in (keyframe, *neighbors):
            each.description  # noqa: B018 - of a saved map, this reads it
        return Neighborhood(keyframe, neighbors, front_end)

    def triangulated(self) -> list[Keyframe]:
        """Match them; those without a depth sensor come back with new points.

        This takes nearly all of the time of triangulation, and may run in any thread.
        """
        own, renewed = [], []
        for neighbor in self.neighbors:
            first, second = triangulate_pair(self.keyframe, neighbor, self.front_end)
            own.append(first)
            if not neighbor.sensed:
                renewed.append(self._with_more(neighbor, [second]))
        if not self.keyframe.sensed:
            renewed.append(self._with_more(self.keyframe, own))
        return renewed

    def _with_more(self, keyframe: Keyframe, depths: Sequence[Depths]) -> Keyframe:
        known = self.front_end.known_depths(keyframe.description)
        return with_depths(keyframe, [*known, *depths], self.front_end)


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
