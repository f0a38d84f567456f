# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One pose over the matches of all candidates: by points, by rays, or by aligned point maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import absolute_pose, joint_pose, transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.joint_pose import RAY_WEIGHT, JointPose, Matches
from mast3r_ros.geometry.point_pose import pose_from_points
from mast3r_ros.geometry.relative_pose import RelativePose, estimate_relative_pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.matching.correspondences import Correspondences

# Beyond this multiple of the fewest inliers, a pose from points alone needs no second opinion.
_SURE = 4.0
# Where most points have a larger relative deviation, a second opinion is needed too: they may agree
# because all are wrong alike. A few far points of a sensor do not call for one.
_LOOSE = 0.03
# Keyframes whose essential matrix is looked for: those with the most matches.
_RAY_KEYFRAMES = 2


def gather(
    camera: Camera,
    keyframes: Sequence[Keyframe],
    found: Sequence[Correspondences],
    threshold: float,
    depth_noise: float,
) -> tuple[Matches, NDArray[np.int64]]:
    """All matches in the map's frame, where the keyframes' poses are known, and whose each is.

    Args:
        camera: the query's.
        keyframes, found: the candidates and their matches with the query.
        threshold: largest reprojection error of an inlier [pixels].
        depth_noise: standard deviation of a depth sensor over the square of the depth [1/m]
            (Khoshelham and Elberink, Sensors 2012; Nguyen et al., 3DIMPVT 2012).
    """
    points, origins, directions, sigmas = [], [], [], []
    for keyframe, matched in zip(keyframes, found, strict=True):
        count = len(matched)
        points.append(transforms.apply(keyframe.pose, matched.reference_points))
        origins.append(np.broadcast_to(keyframe.pose[:3, 3], (count, 3)))
        rays = np.full((count, 2), np.nan)
        if keyframe.camera is not None:
            rays = keyframe.camera.normalize(matched.reference_pixels)
        noise = depth_noise * matched.reference_points[:, 2] if keyframe.sensed else 0.0
        sigmas.append(np.hypot(matched.depth_sigma, noise))
        directions.append(np.column_stack([rays, np.ones(count)]) @ keyframe.pose[:3, :3].T)
    matches = Matches(
        camera.normalize(np.concatenate([c.query_pixels for c in found])),
        np.concatenate(points),
        np.concatenate(origins),
        np.concatenate(directions),
        np.concatenate(sigmas),
        (camera.fx, camera.fy),
        threshold,
    )
    return matches, np.repeat(np.arange(len(found)), [len(c) for c in found])


def solve(
    camera: Camera,
    keyframes: Sequence[Keyframe],
    found: Sequence[Correspondences],
    matches: Matches,
    method: str,
    min_inliers: int,
) -> tuple[JointPose | None, list[RelativePose | None]]:
    """The pose with the most support.

    Args:
        camera: the query's.
        keyframes, found: the candidates and their matches with the query.
        matches: the same in the map's frame, see `gather`.
        method: `pnp`, `essential` or `procrustes`, see `RelocalizerOptions.pose_method`.
        min_inliers: fewest inliers of an answer.

    Returns:
        The pose, None where there is none, and what pixels alone say of each keyframe, None where
        that was not needed or is not sure.
    """
    hypotheses: list[JointPose | None] = []
    relatives: list[RelativePose | None] = [None] * len(found)
    if method == "procrustes":
        hypotheses = [_by_alignment(k, c, matches) for k, c in zip(keyframes, found, strict=True)]
    if method == "pnp":
        hypotheses = [by_points(matches)]
    sure = max((h.points for h in hypotheses if h), default=0) >= _SURE * min_inliers
    sigmas = matches.depth_sigmas[matches.with_point]
    sure = sure and float(np.median(sigmas)) <= _LOOSE
    if method != "procrustes" and not sure:
        for i in np.argsort([-len(c) for c in found], kind="stable")[:_RAY_KEYFRAMES]:
            relatives[i] = _relative(
                camera, keyframes[i], found[i], matches.threshold / 2, min_inliers
            )
            hypotheses.append(_by_rays(relatives[i], keyframes[i], matches))
    return max((h for h in hypotheses if h), key=_support, default=None), relatives


def by_points(matches: Matches) -> JointPose | None:
    """PnP over the matches that know their point, then least squares over all."""
    found = absolute_pose.ransac(matches.points, matches.rays, matches.focal, matches.threshold)
    return None if found is None else joint_pose.refine(found, matches)


def _relative(
    camera: Camera,
    keyframe: Keyframe,
    found: Correspondences,
    threshold: float,
    min_inliers: int,
) -> RelativePose | None:
    """Rotation and direction to one keyframe from pixels alone, where they are sure."""
    if len(found) < min_inliers or keyframe.camera is None:
        return None
    relative = estimate_relative_pose(
        found.reference_pixels, found.query_pixels, keyframe.camera, camera, threshold
    )
    if relative is None or relative.inliers.sum() * RAY_WEIGHT < min_inliers:
        return None
    return relative


def _by_rays(
    relative: RelativePose | None, keyframe: Keyframe, matches: Matches
) -> JointPose | None:
    """Rotation and direction to one keyframe, metres from all points, then all matches."""
    if relative is None:
        return None
    start = keyframe.pose @ transforms.make(relative.pose[:3, :3], np.zeros(3))
    direction = keyframe.pose[:3, :3] @ relative.pose[:3, 3]
    found = joint_pose.scale_along(start, direction, matches)
    return None if found is None else joint_pose.refine(found, matches)


def _by_alignment(keyframe: Keyframe, found: Correspondences, matches: Matches) -> JointPose | None:
    """The two views' own points laid over each other; what the pixels say is not used."""
    assert found.query_points is not None, "the front end was asked for them"
    aligned = pose_from_points(found.reference_points, found.query_points)
    if aligned is None:
        return None
    pose = keyframe.pose @ aligned.pose
    judged = joint_pose.refine(pose, matches, iterations=0)
    if judged is None:
        return None
    # The alignment has not minimized the reprojection error: the covariance is its own.
    each = transforms.rotate_covariance(aligned.information, keyframe.pose)
    return replace(judged, information=np.repeat(each[None], judged.inliers.sum(), axis=0))


def _support(solved: JointPose) -> float:
    return solved.support
