# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What depth and poses say of two views: where a pixel goes, and how much both see."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose

# Where the pixels around a place differ by more than this share of their depth, it lies on an edge.
_DEPTH_EDGE = 0.1
# Two cameras turned by less look at one place: most of what a wide camera sees is in both images.
_SAME_WAY = np.deg2rad(45.0)
# A thing is seen from the same side by directions that differ by less than this: further apart, its
# features are hardly matched. What lies as near as this to a camera's axis is in its image; a good
# part of the points is this one.
_BESIDE, _NEAR_AXIS, _GOOD_PART = np.deg2rad(60.0), np.deg2rad(30.0), 0.2
# Pixels of a side that are tried, of the larger side, to tell the overlap.
_GRID = 64
# Nearer to a camera than this [m], projections mean nothing.
_NEAREST = 0.05


def seen_from(
    pose: Pose, camera: Camera, points: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Where a camera sees points.

    Args:
        pose: map <- camera.
        camera: its intrinsics.
        points: (N, 3) in the map [m].

    Returns:
        (N, 2) pixels and (N,) depths [m], and (N,) which of them are in the image.
    """
    local = transforms.apply(transforms.inverse(pose), points)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        pixels = camera.project(local)
        inside = ((pixels >= 0) & (pixels < (camera.width, camera.height))).all(1)
        inside &= local[:, 2] > _NEAREST
    return pixels, local[:, 2], inside


def depth_at(depth: NDArray[np.floating], pixels: ArrayLike) -> NDArray[np.float64]:
    """Depth between pixels: (N,) [m] at (N, 2) pixels of an (H, W) depth image.

    Inverse depth is interpolated, which is exact on planes. NaN outside the image, where one of
    the four pixels around is unknown, and on edges of depth, where it is anybody's guess.
    """
    u, v = np.asarray(pixels, np.float64).reshape(-1, 2).T
    height, width = depth.shape
    inside = (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
    u, v = (np.where(inside, values, 0.0) for values in (u, v))
    left, top = np.floor(u).astype(int), np.floor(v).astype(int)
    # A pixel's center needs no neighbor.
    right, bottom = np.ceil(u).astype(int), np.ceil(v).astype(int)
    a, b = u - left, v - top
    corners = depth[[top, top, bottom, bottom], [left, right, left, right]].astype(np.float64)
    corners[~(np.isfinite(corners) & (corners > 0))] = np.nan
    smooth = corners.max(0) - corners.min(0) < _DEPTH_EDGE * corners.min(0)
    weights = np.array([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])
    return np.where(inside & smooth, 1.0 / (weights / corners).sum(0), np.nan)


def reproject(
    pixels: ArrayLike,
    depth: NDArray[np.floating],
    reference: Camera,
    query: Camera,
    query_reference: Pose,
) -> NDArray[np.float64]:
    """Where the query sees what the reference sees at (N, 2) pixels, whether hidden there or not.

    Args:
        pixels: of the reference.
        depth: the reference's, (H, W) [m].
        reference, query: the cameras.
        query_reference: query camera <- reference camera.

    Returns:
        (N, 2) pixels of the query, also beyond its image; NaN where `depth_at` knows nothing, or
        the point lies behind the query.
    """
    points = reference.unproject(pixels, depth_at(depth, pixels))
    return query.project(transforms.apply(query_reference, points))


def seen_again(
    pixels: ArrayLike,
    reference_depth: NDArray[np.floating],
    query_depth: NDArray[np.floating],
    reference: Camera,
    query: Camera,
    query_reference: Pose,
    tolerance: float,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Where the query sees the points of reference pixels, and whether it sees them at all.

    Args:
        pixels: (N, 2) of the reference, whole numbers.
        reference_depth, query_depth: (H, W) [m], each of its own size.
        reference, query: the cameras.
        query_reference: query camera <- reference camera.
        tolerance: greatest difference of the depth that both see, relative.

    Returns:
        (N, 2) pixels of the query, as in `reproject`;
        (N,) whether both depths are known, or the point is outside of the query's image;
        (N,) whether the query sees the point, neither cut off nor hidden.
    """
    u, v = np.asarray(pixels, int).reshape(-1, 2).T
    points = reference.unproject(np.column_stack([u, v]), reference_depth[v, u])
    points = transforms.apply(query_reference, points)
    there = query.project(points)
    # NaN, where a pixel has no depth or its point is behind the query, fails every comparison.
    with np.errstate(invalid="ignore"):
        rounded = np.rint(there)
        inside = ((rounded >= 0) & (rounded < (query.width, query.height))).all(1)
        found = np.full(len(points), np.nan)
        x, y = rounded[inside].astype(int).T
        found[inside] = query_depth[y, x]
        known = np.isfinite(found) & (found > 0)
        seen = known & (np.abs(found - points[:, 2]) <= tolerance * points[:, 2])
    return there, np.isfinite(points[:, 2]) & (known | ~inside), seen


def covisibility(
    reference_depth: NDArray[np.floating],
    query_depth: NDArray[np.floating],
    reference: Camera,
    query: Camera,
    query_reference: Pose,
    tolerance: float = 0.05,
) -> float:
    """Share of the reference's image that the query sees, neither cut off nor hidden, in [0, 1].

    Counted on a grid of pixels whose depth is known; what falls on unknown depth of the query tells
    nothing and is not counted. 0 where nothing can be counted.

    Args:
        reference_depth, query_depth: (H, W) [m], each of its own size.
        reference, query: the cameras.
        query_reference: query camera <- reference camera.
        tolerance: greatest difference of the depth that both see, relative.
    """
    height, width = reference_depth.shape
    step = max(height, width) / _GRID
    u, v = (np.arange(step / 2, side, step).astype(int) for side in (width, height))
    columns, rows = (grid.ravel() for grid in np.meshgrid(u, v))
    _, counted, seen = seen_again(
        np.column_stack([columns, rows]),
        reference_depth,
        query_depth,
        reference,
        query,
        query_reference,
        tolerance,
    )
    return float(seen.sum() / counted.sum()) if counted.any() else 0.0


def overlap(
    reference_depth: NDArray[np.floating],
    query_depth: NDArray[np.floating],
    reference: Camera,
    query: Camera,
    query_reference: Pose,
    tolerance: float = 0.05,
) -> float:
    """How much of their images two views share, in [0, 1]: the lesser of both `covisibility`."""
    back = transforms.inverse(query_reference)
    return min(
        covisibility(reference_depth, query_depth, reference, query, query_reference, tolerance),
        covisibility(query_depth, reference_depth, query, reference, back, tolerance),
    )


def shares_view(one: Pose, other: Pose, distance: float) -> bool:
    """Whether two cameras stand beside each other and look the same way, as far as poses tell.

    Args:
        one, other: map <- camera.
        distance: of what the first one sees [m]: the other must be nearer than that.
    """
    turned = transforms.rotation_angle(one, other)
    return transforms.distance(one, other) < distance and turned < _SAME_WAY


def sees_from_beside(one: Pose, other: Pose, points: NDArray[np.float64]) -> bool:
    """Whether a camera sees a good part of what another one sees, from about the same side.

    Args:
        one, other: map <- camera.
        points: (N, 3) that the other one sees [m].
    """
    if not len(points):
        return False
    rays, others = (_directions(points - camera[:3, 3]) for camera in (one, other))
    beside = (rays * others).sum(1) > np.cos(_BESIDE)
    seen = rays @ one[:3, 2] > np.cos(_NEAR_AXIS)
    return bool((beside & seen).mean() >= _GOOD_PART)


def _directions(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) of length 1; 0 stays 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9))
