# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Metric points for keyframes without depth, from neighbors whose poses are known."""

from __future__ import annotations

from collections import deque
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.features import FeatureDescription, FeatureFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.geometry.triangulation import fuse_depths, relative, triangulate_depth
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.places import Place

# Error that the relative pose of two keyframes (odometry) adds to a matched pixel.
_POSE_SIGMA_RAD = np.deg2rad(0.15)
_MATCH_SIGMA_PX = 1.5
# A match may lie this far from its epipolar line.
_BAND_PX = 5.0
# A new keyframe is matched with at most so many others.
_NEIGHBORS = 6

Candidate = TypeVar("Candidate", Keyframe, Place)
# (2, N) depth along each keypoint's ray [m] and its standard deviation [m]; NaN where unknown.
Depths = NDArray[np.float64]


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
            known = [] if keyframe.sensed else [_known_depths(keyframe)]
            self._jobs.append(_Job(keyframe.id, ids, known))

    def step(self, keyframes: MutableMapping[int, Keyframe], front_end: FeatureFrontEnd) -> None:
        """Match the next pair, and renew the points of both where no depth sensor gave them."""
        job = self._jobs[0]
        neighbor_id = job.neighbors.popleft()
        if not job.neighbors:
            self._jobs.popleft()
        one, other = keyframes.get(job.keyframe), keyframes.get(neighbor_id)
        if one is None or other is None:  # removed meanwhile
            return
        first, second = triangulate_pair(one, other, front_end)
        job.depths.append(first)
        if not one.sensed:
            keyframes[one.id] = with_depths(one, job.depths)
        if not other.sensed:
            keyframes[other.id] = with_depths(other, [_known_depths(other), second])


@dataclass(frozen=True)
class _Job:
    """A new keyframe, the neighbors left to match it with, and the depths so far."""

    keyframe: int
    neighbors: deque[int]
    depths: list[Depths]


def _known_depths(keyframe: Keyframe) -> Depths:
    description = keyframe.description
    assert isinstance(description, FeatureDescription)
    depth = description.points[:, 2].astype(np.float64)
    return np.stack([depth, depth * description.depth_sigma])


def with_depths(keyframe: Keyframe, depths: Sequence[Depths]) -> Keyframe:
    """A keyframe whose points are where several measurements of their depth agree."""
    description = keyframe.description
    assert isinstance(description, FeatureDescription)
    assert keyframe.camera is not None
    depth, sigma = np.stack(depths, axis=1)
    fused, relative_sigma = fuse_depths(depth, sigma)
    points = keyframe.camera.unproject(description.keypoints, fused)
    described = description.with_points(
        points.astype(np.float32), relative_sigma.astype(np.float32)
    )
    return replace(keyframe, description=described)


def triangulate_pair(
    one: Keyframe, other: Keyframe, front_end: FeatureFrontEnd
) -> tuple[Depths, Depths]:
    """Match two keyframes once, along epipolar lines and in the whole image, for both of them.

    Returns:
        Depths of the one's keypoints and of the other's.
    """
    first, second = one.description, other.description
    assert isinstance(first, FeatureDescription)
    assert isinstance(second, FeatureDescription)
    assert one.camera is not None
    assert other.camera is not None
    other_one = relative(other.pose, one.pose)
    lines = _epipolar_lines(one.camera, other.camera, first.keypoints, other_one)
    guided = front_end.match_along_lines(first, second, lines, _BAND_PX)
    plain, _ = front_end.match_indices(first, second)
    depths = np.full((2, len(first)), np.nan), np.full((2, len(second)), np.nan)
    # What matches in the whole image is surer than what matches along a line: it comes last.
    for pairs in (guided, plain):
        rays = (
            one.camera.normalize(first.keypoints[pairs[:, 0]]),
            other.camera.normalize(second.keypoints[pairs[:, 1]]),
        )
        for side, (camera, motion) in enumerate(
            ((other.camera, other_one), (one.camera, transforms.inverse(other_one)))
        ):
            z, sigma = triangulate_depth(
                rays[side],
                rays[1 - side],
                motion,
                camera.fx,
                float(np.hypot(_MATCH_SIGMA_PX, _POSE_SIGMA_RAD * camera.fx)),
                _BAND_PX,
            )
            seen = np.isfinite(z)
            depths[side][:, pairs[seen, side]] = z[seen], sigma[seen]
    return depths


def _epipolar_lines(
    camera: Camera, other: Camera, keypoints: NDArray[np.float32], other_camera: Pose
) -> NDArray[np.float64]:
    """(N, 3) epipolar lines of keypoints in the other image; NaN where there is no ray.

    Straight lines hold without distortion: the band about them takes up what little there is.
    """
    rays = np.column_stack([camera.normalize(keypoints), np.ones(len(keypoints))])
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
