# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A first pose over the matches of all candidates: by points, rays or aligned point maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import absolute_pose, transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.joint_pose import RAY_WEIGHT, Matches, agreeing
from mast3r_ros.geometry.point_pose import pose_from_points
from mast3r_ros.geometry.relative_pose import RelativePose, estimate_relative_pose
from mast3r_ros.geometry.robust_pose import SharedErrors
from mast3r_ros.geometry.scale_vote import scale_along
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.matching.correspondences import Correspondences

# Beyond this multiple of the fewest inliers, a pose from points alone needs no second opinion.
_SURE = 4.0
# Cells of the image in which errors of matches and of depth are alike.
ERROR_GRID = (8, 8)
_WITHIN_CELL = 1.0
# Part of a point's depth error that all points of its keyframe have in common.
_SHARED_DEPTH = 0.5
# Inliers whose depth has a larger relative deviation in the median need a second opinion too: they
# may agree because all are wrong alike.
_LOOSE = 0.03
# Keyframes whose essential matrix is looked for: those with the most matches.
_RAY_KEYFRAMES = 2


def gather(
    camera: Camera,
    keyframes: Sequence[Keyframe],
    found: Sequence[Correspondences],
    threshold: float,
    depth_noise: float,
) -> Matches:
    """All matches in the map's frame, where the keyframes' poses are known.

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
    return Matches(
        camera.normalize(np.concatenate([c.query_pixels for c in found])),
        np.concatenate(points),
        np.concatenate(origins),
        np.concatenate(directions),
        np.concatenate(sigmas),
        np.repeat(np.arange(len(found)), [len(c) for c in found]),
        (camera.fx, camera.fy),
        threshold,
    )


def shared_errors(
    camera: Camera,
    keyframes: Sequence[Keyframe],
    found: Sequence[Correspondences],
    options: RelocalizerOptions,
) -> SharedErrors:
    """What the matches of each keyframe have in common; arguments as for `gather`."""
    sigmas = np.empty((len(found), 7))
    sigmas[:, :3], sigmas[:, 3:6] = options.keyframe_position_sigma, options.keyframe_rotation_sigma
    for i, matched in enumerate(found):
        known = matched.depth_sigma[np.isfinite(matched.depth_sigma)]
        sigmas[i, 6] = _SHARED_DEPTH * float(np.median(known)) if len(known) else 0.0
    pixels = np.concatenate([c.query_pixels for c in found])
    cells = grid_cells(pixels, (camera.width, camera.height), ERROR_GRID)
    return SharedErrors(sigmas, np.array([c.correlation for c in found]), cells, _WITHIN_CELL)


def grid_cells(
    pixels: NDArray[np.floating], size: tuple[int, int], grid: tuple[int, int]
) -> NDArray[np.int64]:
    """(N,) cell of each pixel in a grid of (columns, rows) over the image."""
    cell = np.clip((pixels + 0.5) * grid / size, 0, np.array(grid) - 1).astype(np.int64)
    return np.asarray(cell[:, 0] + grid[0] * cell[:, 1])


def solve(
    camera: Camera,
    keyframes: Sequence[Keyframe],
    found: Sequence[Correspondences],
    matches: Matches,
    method: str,
    min_inliers: int,
) -> tuple[Pose | None, list[RelativePose | None]]:
    """The pose with the most support, to be refined.

    Args:
        camera: the query's.
        keyframes, found: the candidates and their matches with the query.
        matches: the same in the map's frame, see `gather`.
        method: `pnp`, `essential` or `procrustes`, see `RelocalizerOptions.pose_method`.
        min_inliers: fewest inliers of an accepted pose.

    Returns:
        The pose, None where there is none, and what pixels alone say of each keyframe, None where
        that was not needed or is not sure.
    """
    poses: list[Pose | None] = []
    relatives: list[RelativePose | None] = [None] * len(found)
    if method == "procrustes":
        poses = [_by_alignment(k, c) for k, c in zip(keyframes, found, strict=True)]
    if method == "pnp":
        poses = [by_points(matches)]
    if method == "essential" or (method == "pnp" and not _sure(poses[0], matches, min_inliers)):
        for i in np.argsort([-len(c) for c in found], kind="stable")[:_RAY_KEYFRAMES]:
            relatives[i] = _relative(
                camera, keyframes[i], found[i], matches.threshold / 2, min_inliers
            )
            poses.append(_by_rays(relatives[i], keyframes[i], matches))
    known = [pose for pose in poses if pose is not None]
    if len(known) < 2:
        return (known[0] if known else None), relatives
    supports = [_support(pose, matches) for pose in known]
    return known[int(np.argmax(supports))], relatives


def by_points(matches: Matches) -> Pose | None:
    """PnP over the matches that know their point."""
    return absolute_pose.ransac(matches.points, matches.rays, matches.focal, matches.threshold)


def _sure(pose: Pose | None, matches: Matches, min_inliers: int) -> bool:
    """Whether a pose from points needs no second opinion."""
    if pose is None:
        return False
    agreed = agreeing(pose, matches) & matches.with_point
    exact = bool(np.median(matches.depth_sigmas[agreed]) < _LOOSE) if agreed.any() else False
    return exact and int(agreed.sum()) >= _SURE * min_inliers


def _support(pose: Pose, matches: Matches) -> float:
    agreed = agreeing(pose, matches)
    return float(
        (agreed & matches.with_point).sum() + RAY_WEIGHT * (agreed & matches.with_ray).sum()
    )


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


def _by_rays(relative: RelativePose | None, keyframe: Keyframe, matches: Matches) -> Pose | None:
    """Rotation and direction to one keyframe, and the length from all points."""
    if relative is None:
        return None
    start = keyframe.pose @ transforms.make(relative.pose[:3, :3], np.zeros(3))
    direction = keyframe.pose[:3, :3] @ relative.pose[:3, 3]
    return scale_along(start, direction, matches)


def _by_alignment(keyframe: Keyframe, found: Correspondences) -> Pose | None:
    """The two views' own points laid over each other."""
    assert found.query_points is not None, "the front end was asked for them"
    aligned = pose_from_points(found.reference_points, found.query_points)
    return None if aligned is None else keyframe.pose @ aligned[0]
