# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A first pose over the matches of all views and candidates: by points, rays or aligned points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.generalized_pose import (
    Bearing,
    body_of,
    from_bearings,
    from_points,
    from_rays,
)
from mast3r_ros.geometry.joint_pose import RAY_WEIGHT, Matches, agreeing
from mast3r_ros.geometry.point_pose import pose_from_points
from mast3r_ros.geometry.relative_pose import RelativePose, estimate_relative_pose
from mast3r_ros.geometry.robust_solver import SharedErrors
from mast3r_ros.geometry.scale_vote import scale_along
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.view import MatchedView, distinct_keyframes, pairs, tie
from mast3r_ros.matching.correspondences import Correspondences

# Beyond this multiple of the fewest inliers, a pose from points alone needs no second opinion.
_SURE = 4.0
# Part of its width by which an image moves at the most while it is read out, one standard
# deviation: moved by more, it is blurred and has no matches. Through a long lens, a turn that this
# bounds would otherwise bend a plane towards its second pose (0.30 m of a rendered floor).
_MOST_SHEAR = 0.02
# Cells of the image in which errors of matches and of depth are alike.
ERROR_GRID = (8, 8)
_WITHIN_CELL = 1.0
# Cells in which evidence for one pose against another is counted: what differs may be small.
EVIDENCE_GRID = (24, 18)
# Part of a point's depth error that all points of its keyframe have in common.
_SHARED_DEPTH = 0.5
# Inliers whose depth has a larger relative deviation in the median need a second opinion too: they
# may agree because all are wrong alike.
_LOOSE = 0.03
# Most samples of RANSAC for one image of several: a pose that is harder to find needs all of them.
_LONE_ITERATIONS = 1000
# First poses that are refined. In an image that blurs or rolls, a pose bent along with a keyframe
# may agree with more matches as they are than the right one does before both are refined.
_HYPOTHESES = 3
# Searches by the rays of all views, and the most samples of each.
_RAY_TRIALS, _RAY_ITERATIONS = 3, 1000
# Keyframes whose essential matrix is looked for: those with the most matches.
_RAY_KEYFRAMES = 2


def gather(
    views: Sequence[MatchedView], thresholds: Sequence[float], options: RelocalizerOptions
) -> Matches:
    """All matches in the map's frame, where the keyframes' poses are known.

    Args:
        views: of the query, with their matches.
        thresholds: largest reprojection error of an inlier in each view [pixels].
        options: the noise of depth grows with its square (Khoshelham and Elberink, Sensors 2012;
            Nguyen et al., 3DIMPVT 2012); a camera turns at one rate while it is read out.
    """
    number = {k.id: i for i, k in enumerate(distinct_keyframes(views))}
    points, origins, directions, sigmas, owners = [], [], [], [], []
    for _, keyframe, matched in pairs(views):
        count = len(matched)
        points.append(transforms.apply(keyframe.pose, matched.reference_points))
        origins.append(np.broadcast_to(keyframe.pose[:3, 3], (count, 3)))
        rays = np.full((count, 2), np.nan)
        if keyframe.camera is not None:
            rays = keyframe.camera.normalize(matched.reference_pixels)
        noise = options.depth_noise * matched.reference_points[:, 2] if keyframe.sensed else 0.0
        sigmas.append(np.hypot(matched.depth_sigma, noise))
        directions.append(np.column_stack([rays, np.ones(count)]) @ keyframe.pose[:3, :3].T)
        owners.append(np.full(count, number[keyframe.id]))
    camera = views[0].camera
    return Matches(
        np.concatenate([v.camera.normalize(_pixels(v)) for v in views]),
        np.concatenate(points),
        np.concatenate(origins),
        np.concatenate(directions),
        np.concatenate(sigmas),
        np.concatenate(owners),
        (camera.fx, camera.fy),
        thresholds[0],
        np.repeat(np.arange(len(views)), [len(_pixels(v)) for v in views]),
        tie(views, thresholds),
        np.concatenate([_readout(v, options.rolling_shutter) for v in views])
        if options.rolling_shutter
        else None,
    )


def _readout(view: MatchedView, turn: float) -> NDArray[np.float64]:
    """(N,) part of a camera's turn from the middle of its image to each match's row."""
    turn = min(turn, _MOST_SHEAR * view.size[0] / view.camera.fx)
    return turn * ((_pixels(view)[:, 1].astype(np.float64) + 0.5) / view.size[1] - 0.5)


def shared_errors(views: Sequence[MatchedView], options: RelocalizerOptions) -> SharedErrors:
    """What the matches of each keyframe have in common."""
    keyframes = distinct_keyframes(views)
    found: dict[int, list[Correspondences]] = {k.id: [] for k in keyframes}
    for _, keyframe, matched in pairs(views):
        found[keyframe.id].append(matched)
    sigmas = np.empty((len(keyframes), 7))
    sigmas[:, :3], sigmas[:, 3:6] = options.keyframe_position_sigma, options.keyframe_rotation_sigma
    for own, keyframe in zip(sigmas, keyframes, strict=True):
        # What the map knows of a keyframe is known in place of what is said of all, not beside it.
        if keyframe.covariance is not None:
            own[:6] = np.sqrt(np.diag(keyframe.covariance))
    # What a network's scale is wrong by is one error of all keyframes, taken for one of each: their
    # mean has the right deviation so.
    scaled = sum(any(c.scale_sigma for c in of_keyframe) for of_keyframe in found.values())
    for i, of_keyframe in enumerate(found.values()):
        known = np.concatenate([c.depth_sigma for c in of_keyframe])
        known = known[np.isfinite(known)]
        depth = _SHARED_DEPTH * float(np.median(known)) if len(known) else 0.0
        sigmas[i, 6] = np.hypot(depth, np.sqrt(scaled) * max(c.scale_sigma for c in of_keyframe))
    correlations = [max(c.correlation for c in of_keyframe) for of_keyframe in found.values()]
    cells = image_cells(views, range(len(views)), ERROR_GRID)
    several = len(views) > 1
    features = _features_of_keyframes(views) if several else None
    repeats = _repeats_of_guesses(views) if several else None
    return SharedErrors(sigmas, np.array(correlations), cells, _WITHIN_CELL, features, repeats)


def _features_of_keyframes(views: Sequence[MatchedView]) -> NDArray[np.int64]:
    """(N,) number of the keyframe's feature that each match is with: one pixel is one feature."""
    pixels = [np.rint(8.0 * c.reference_pixels.astype(np.float64)) for _, _, c in pairs(views)]
    owners = [np.full(len(c), k.id, np.float64) for _, k, c in pairs(views)]
    rows = np.column_stack([np.concatenate(owners), np.concatenate(pixels)])
    return np.asarray(np.unique(rows, axis=0, return_inverse=True)[1], np.int64).ravel()


def _repeats_of_guesses(views: Sequence[MatchedView]) -> NDArray[np.int64]:
    """(N,) in how many images the place of a keyframe is matched that a network guessed points of.

    1 where the points were measured or triangulated.
    """
    places, guessed = [], []
    for view, keyframe, found in pairs(views):
        cells = grid_cells(found.reference_pixels, keyframe.size, ERROR_GRID)
        numbers = np.broadcast_to([view, keyframe.id], (len(found), 2))
        places.append(np.column_stack([numbers, cells]))
        guessed.append(np.full(len(found), found.predicted))
    rows, is_guess = np.concatenate(places), np.concatenate(guessed)
    repeats = np.ones(len(rows), np.int64)
    if is_guess.any():
        once = np.unique(rows[is_guess], axis=0)
        images = np.unique(once[:, 1:], axis=0, return_counts=True)[1]
        _, place = np.unique(rows[is_guess][:, 1:], axis=0, return_inverse=True)
        repeats[is_guess] = images[place.ravel()]
    return repeats


def image_cells(
    views: Sequence[MatchedView], numbers: Sequence[int], grid: tuple[int, int]
) -> NDArray[np.int64]:
    """(N,) cell of each match in the grids of (columns, rows) over images with these numbers."""
    cells = [
        grid_cells(_pixels(view), view.size, grid) + number * grid[0] * grid[1]
        for view, number in zip(views, numbers, strict=True)
    ]
    return np.concatenate(cells)


def query_features(views: Sequence[MatchedView]) -> NDArray[np.int64]:
    """(N,) the number of the query's feature of each match: one pixel of a view is one feature."""
    pixels = np.concatenate([_pixels(view) for view in views])
    numbers = np.repeat(np.arange(len(views)), [len(_pixels(view)) for view in views])
    eighths = np.rint(pixels.astype(np.float64) * 8.0).astype(np.int64)
    # 29 bits for a row and 26 for a column: images of a million pixels a side.
    code = (numbers << 55) + eighths[:, 0] * (1 << 29) + eighths[:, 1]
    _, feature = np.unique(code, return_inverse=True)
    return np.asarray(feature, np.int64)


def _pixels(view: MatchedView) -> NDArray[np.float32]:
    return np.concatenate([c.query_pixels for c in view.found])


def grid_cells(
    pixels: NDArray[np.floating], size: tuple[int, int], grid: tuple[int, int]
) -> NDArray[np.int64]:
    """(N,) cell of each pixel in a grid of (columns, rows) over the image."""
    cell = np.clip((pixels + 0.5) * grid / size, 0, np.array(grid) - 1).astype(np.int64)
    return np.asarray(cell[:, 0] + grid[0] * cell[:, 1])


def solve(
    views: Sequence[MatchedView],
    matches: Matches,
    thresholds: Sequence[float],
    method: str,
    min_inliers: int,
) -> tuple[list[Pose], list[RelativePose | None]]:
    """First poses that may be right, to be refined.

    Args:
        views: of the query, with their matches.
        matches, thresholds: see `gather`.
        method: `pnp`, `essential` or `procrustes`, see `RelocalizerOptions.pose_method`.
        min_inliers: fewest inliers of an accepted pose.

    Returns:
        A few poses, that with the most support first, and what pixels alone say of each view and
        keyframe, None where that was not needed or is not sure.
    """
    poses: list[Pose | None] = []
    relatives: list[RelativePose | None] = [None] * len(pairs(views))
    together: list[Pose] = []
    if method == "procrustes":
        poses = [_of_query(matches, view, _by_alignment(k, c)) for view, k, c in pairs(views)]
    if method == "pnp":
        poses = [_from_points(views, matches, _SURE * min_inliers)]
    if method == "essential" or (
        method == "pnp" and not _sure(poses[0], matches, _SURE * min_inliers)
    ):
        bearings = []
        for i in _most_matches(pairs(views)):
            view, keyframe, found = pairs(views)[i]
            relatives[i] = relative = _relative(
                views[view].camera, keyframe, found, thresholds[view] / 2, min_inliers
            )
            if relative is None:
                continue
            start = keyframe.pose @ transforms.make(relative.pose[:3, :3], np.zeros(3))
            direction = keyframe.pose[:3, :3] @ relative.pose[:3, 3]
            own = matches if matches.rig is None else matches.of_view(view)[1]
            poses.append(_of_query(matches, view, scale_along(start, direction, own)))
            bearings.append(Bearing(view, start, direction, float(relative.inliers.sum())))
        poses.extend(_by_motion(matches, bearings))
        together = _by_all_rays(matches)
    known = [pose for pose in poses if pose is not None]
    if len(known) > 1:
        known.sort(key=lambda pose: -_support(pose, matches))
    return known[:_HYPOTHESES] + together, relatives


def _from_points(views: Sequence[MatchedView], matches: Matches, enough: float) -> Pose | None:
    """A pose by the points of all views; of several, first by those of one alone.

    A sample of a generalized camera takes about ten times as long as one of a single camera, so it
    is drawn only where no image alone finds a pose that enough points of the whole agree on.
    """
    if matches.rig is None and views[0].sure_pose is not None:
        return views[0].sure_pose  # by the same matches
    if matches.rig is None or len(views) == 1:
        return from_points(matches)
    for number, view in enumerate(views):
        camera = view.sure_pose
        if camera is None:
            camera = from_points(matches.of_view(number)[1], _LONE_ITERATIONS)
        pose = None if camera is None else body_of(matches.rig, number, camera)
        if pose is not None and _sure(pose, matches, enough):
            return pose
    return from_points(matches)


def sure_pose(
    view: MatchedView, scale: float, options: RelocalizerOptions, enough: float
) -> Pose | None:
    """The pose of one view's camera where enough of its matches agree on one, None elsewhere.

    Args:
        view: with its matches so far.
        scale: how far matches scatter in it, see `FrontEnd.pixel_error_scale`.
        options: the relocalizer's.
        enough: fewest matches with a point that agree.
    """
    alone = replace(view, T_body_camera=np.eye(4), T_now_then=np.eye(4), motion_covariance=None)
    matches = gather([alone], [options.reprojection_threshold * scale], options)
    pose = from_points(matches)
    return pose if _sure(pose, matches, enough) else None


def _most_matches(compared: Sequence[tuple[int, Keyframe, Correspondences]]) -> list[int]:
    """Which pairs' essential matrices are looked for: those with the most matches.

    Of one image, two; of several views, one each.
    """
    order = [int(i) for i in np.argsort([-len(c) for _, _, c in compared], kind="stable")]
    if compared[-1][0] == 0:
        return order[:_RAY_KEYFRAMES]
    best: dict[int, int] = {}
    for i in order:
        best.setdefault(compared[i][0], i)
    return list(best.values())


def _of_query(matches: Matches, view: int, camera: Pose | None) -> Pose | None:
    """The query's pose from that of one view's camera."""
    if camera is None or matches.rig is None:
        return camera
    return body_of(matches.rig, view, camera)


def _by_motion(matches: Matches, bearings: Sequence[Bearing]) -> list[Pose | None]:
    """Poses from directions to several views: of all together, and of each two of them."""
    if matches.rig is None or len(bearings) < 2:
        return []
    sets = [bearings, *(() if len(bearings) == 2 else combinations(bearings, 2))]
    return [from_bearings(matches.rig, few) for few in sets]


def _by_all_rays(matches: Matches) -> list[Pose]:
    """Poses on which the rays of several views agree, each view's essential matrix aside.

    Where a pattern repeats (a floor of boards), every image may be wrong by itself, all alike. What
    the images say together has several optima, too: all that are found are compared.
    """
    if matches.rig is None:
        return []
    found = (from_rays(matches, _RAY_ITERATIONS, seed) for seed in range(_RAY_TRIALS))
    return [pose for pose in found if pose is not None]


def _sure(pose: Pose | None, matches: Matches, enough: float) -> bool:
    """Whether enough exact points agree with a pose: it needs no second opinion."""
    if pose is None:
        return False
    agreed = agreeing(pose, matches) & matches.with_point
    exact = bool(np.median(matches.depth_sigmas[agreed]) < _LOOSE) if agreed.any() else False
    return exact and int(agreed.sum()) >= enough


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


def _by_alignment(keyframe: Keyframe, found: Correspondences) -> Pose | None:
    """The two views' own points laid over each other."""
    assert found.query_points is not None, "the front end was asked for them"
    aligned = pose_from_points(found.reference_points, found.query_points)
    return None if aligned is None else keyframe.pose @ aligned[0]
