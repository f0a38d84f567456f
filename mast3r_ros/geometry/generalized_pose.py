# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""First poses of a body from the matches of several views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import poselib
from numpy.typing import NDArray

from mast3r_ros.geometry import absolute_pose, transforms
from mast3r_ros.geometry.joint_pose import Matches
from mast3r_ros.geometry.rig import Rig
from mast3r_ros.geometry.transforms import Pose

Array = NDArray[np.float64]

# Lines of sight that are more parallel than this bind no scale: the ratio of the least to the
# largest singular value.
_PARALLEL = 1e-4
# Fewer matches of a view with a keyframe than these are chance.
_FEWEST_RAYS = 6


@dataclass(frozen=True)
class Bearing:
    """What an essential matrix says of a view: where it looks, and along which line it stands.

    Attributes:
        view: number of the view in its rig.
        start: map <- camera at distance 0: at the keyframe, turned as the view is.
        direction: (3,) unit vector in the map, from the keyframe to the view.
        weight: how much it counts, such as its inliers.
    """

    view: int
    start: Pose
    direction: Array
    weight: float


def from_points(matches: Matches, max_iterations: int = 10_000) -> Pose | None:
    """PnP over the matches that know their point, for one camera or several views.

    Returns:
        The pose of the camera, or of the body; None where no pose has four inliers.
    """
    if matches.rig is None:
        return absolute_pose.ransac(
            matches.points, matches.rays, matches.focal, matches.threshold, max_iterations
        )
    if len(matches.rig) > 1:
        return ransac(matches, max_iterations)
    camera = from_points(matches.of_view(0)[1], max_iterations)
    return None if camera is None else body_of(matches.rig, 0, camera)


def ransac(matches: Matches, max_iterations: int = 10_000, seed: int = 0) -> Pose | None:
    """LO-RANSAC (poselib, gp3p): map <- body from the matches that know their point.

    Args:
        matches: of a query of several views.
        max_iterations: most of RANSAC.
        seed: of its samples.

    Returns:
        None where no pose has four inliers.
    """
    rig = matches.rig
    assert rig is not None
    assert matches.views is not None
    pixels, points, extrinsics, cameras = [], [], [], []
    for view in range(len(rig)):
        own = matches.with_point & (matches.views == view)
        if not own.any():
            continue
        focal = rig.focals[view]
        pixels.append(matches.rays[own] * focal)
        points.append(matches.points[own])
        extrinsics.append(_camera_pose(transforms.inverse(rig.body_cameras[view])))
        cameras.append(_pinhole(focal))
    if sum(len(p) for p in points) < 4:
        return None
    options = {
        "max_reproj_error": matches.threshold,
        "max_iterations": max_iterations,
        # A sample takes about ten times as long as one of a single camera.
        "min_iterations": 20,
        "seed": seed,
    }
    refinement = {"loss_type": "TRUNCATED", "loss_scale": matches.threshold}
    found, info = poselib.estimate_generalized_absolute_pose(
        pixels, points, extrinsics, cameras, options, refinement
    )
    pose = transforms.inverse(transforms.make(found.R, found.t))
    return pose if info["num_inliers"] >= 4 and np.isfinite(pose).all() else None


def body_of(rig: Rig, view: int, camera: Pose) -> Pose:
    """map <- body from map <- camera of a view."""
    return camera @ transforms.inverse(rig.body_cameras[view])


def from_bearings(rig: Rig, bearings: Sequence[Bearing]) -> Pose | None:
    """The body's pose from the directions to several views: their scales share odometry's meters.

    Each view stands on a line through its keyframe; odometry says how the views stand to each
    other. Where the lines are not parallel, or begin at different keyframes, this binds the
    distance on each of them: a linear problem, as in hand-eye calibration.

    Returns:
        None where the views have not moved enough against the lines, or stand behind them.
    """
    if len(bearings) < 2:
        return None
    weights = np.sqrt([b.weight for b in bearings])
    turns = [b.start[:3, :3] @ rig.body_cameras[b.view, :3, :3].T for b in bearings]
    rotation = _mean_rotation(turns, weights**2)
    # position + R center - distance direction = start, with the position and all distances unknown.
    count = len(bearings)
    system, right = np.zeros((count, 3, 3 + count)), np.zeros((count, 3))
    for i, bearing in enumerate(bearings):
        system[i, :, :3] = np.eye(3)
        system[i, :, 3 + i] = -bearing.direction
        right[i] = bearing.start[:3, 3] - rotation @ rig.body_cameras[bearing.view, :3, 3]
    system *= weights[:, None, None]
    right *= weights[:, None]
    solution, _, rank, singular = np.linalg.lstsq(
        system.reshape(-1, 3 + count), right.reshape(-1), rcond=None
    )
    if rank < 3 + count or singular[-1] < _PARALLEL * singular[0] or not (solution[3:] > 0).all():
        return None
    return transforms.make(rotation, solution[:3])


def from_rays(matches: Matches, max_iterations: int, seed: int = 0) -> Pose | None:
    """map <- body by rays of both sides alone: LO-RANSAC (poselib) over all views and keyframes.

    The keyframes are one generalized camera and the views are the other (Stewenius et al., OMNIVIS
    2005). Known distances between keyframes, or between views by odometry, give the meters, and all
    images decide together: where a pattern repeats, each image's essential matrix may be wrong.

    Args:
        matches: of a query of several views.
        max_iterations: of RANSAC. Samples are of six matches, and patterns that repeat have several
            poses with many inliers: another seed may find another one.
        seed: of its samples.

    Returns:
        None where no pose has six inliers.
    """
    rig = matches.rig
    assert rig is not None
    usable = np.isfinite(np.hstack([matches.directions, matches.rays])).all(axis=1)
    found_in, keyframes = [], []
    for owner in np.unique(matches.owners[usable]):
        own = usable & (matches.owners == owner)
        turn = _looking_along(matches.directions[own].mean(0))
        local = matches.directions @ turn.T
        own &= local[:, 2] > 0
        keyframes.append(transforms.make(turn, -turn @ matches.origins[own][0]))
        for view, focal in enumerate(rig.focals):
            both = own & (matches.views == view)
            if both.sum() >= _FEWEST_RAYS:
                pair = poselib.PairwiseMatches()
                pair.cam_id1, pair.cam_id2 = len(keyframes) - 1, view
                pair.x1 = local[both, :2] / local[both, 2:] * rig.focals[0]
                pair.x2 = matches.rays[both] * focal
                found_in.append(pair)
    if not found_in:
        return None
    found, info = poselib.estimate_generalized_relative_pose(
        found_in,
        [_camera_pose(k) for k in keyframes],
        [_pinhole(rig.focals[0])] * len(keyframes),
        [_camera_pose(transforms.inverse(c)) for c in rig.body_cameras],
        [_pinhole(focal) for focal in rig.focals],
        {
            "max_epipolar_error": matches.threshold / 2,
            "max_iterations": max_iterations,
            "seed": seed,
        },
        {"loss_type": "TRUNCATED", "loss_scale": matches.threshold / 2},
    )
    pose = transforms.inverse(transforms.make(found.R, found.t))
    return pose if info["num_inliers"] >= _FEWEST_RAYS and np.isfinite(pose).all() else None


def _looking_along(direction: Array) -> Array:
    """Some rotation from the map into a camera that looks along a direction."""
    ahead = direction / np.linalg.norm(direction)
    aside = np.cross(np.eye(3)[np.abs(ahead).argmin()], ahead)
    aside /= np.linalg.norm(aside)
    return np.stack([aside, np.cross(ahead, aside), ahead])


def _pinhole(focal: Array) -> dict[str, Any]:
    """A camera of the library's whose pixels are counted from the principal point."""
    return {"model": "PINHOLE", "width": 1, "height": 1, "params": [*focal.tolist(), 0.0, 0.0]}


def _camera_pose(pose: Pose) -> poselib.CameraPose:
    """The library's."""
    made = poselib.CameraPose()
    made.R, made.t = pose[:3, :3], pose[:3, 3]
    return made


def _mean_rotation(turns: Sequence[Array], weights: Array) -> Array:
    """The chordal mean (Hartley et al., IJCV 2013)."""
    u, _, vt = np.linalg.svd(np.tensordot(weights, np.stack(turns), axes=1))
    return np.asarray(u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt)
