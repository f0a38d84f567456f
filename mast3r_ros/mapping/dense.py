# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Dense points of an image with a pose: its pixels' matches in other images, triangulated.

A pixel's point is kept where several of the other images agree on it (geometric consistency).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.base import Description, FrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.geometry.triangulation import consistent_depths, relative, triangulate_depth
from mast3r_ros.mapping.options import DenseOptions
from mast3r_ros.matching.correspondences import Correspondences

# Images that are matched at once: the descriptors of all their pixels lie in memory.
_BATCH = 8
# Standard deviation of a match in units of what the front end's matches scatter by, and how many
# of these it may lie from its epipolar line.
_PIXEL_SIGMA, _MAX_SIGMAS = 1.0, 2.0
# Smallest angle between the two rays of a match.
MIN_PARALLAX = np.deg2rad(2.0)
# A scale is the median of so many depths at least, each of this relative deviation at most.
_MIN_DEPTHS, _SURE_DEPTH = 30, 0.1


@dataclass(frozen=True)
class DenseView:
    """An image with its pose.

    Attributes:
        description: of the front end that matches it.
        camera: its intrinsics.
        pose: world <- camera, (4, 4), in any unit.
    """

    description: Description
    camera: Camera
    pose: Pose


@dataclass(frozen=True)
class DensePoints:
    """The points that an image shows.

    Attributes:
        pixels: (N, 2) of the image.
        points: (N, 3) in the world, in the unit of the poses.
        sigma: (N,) relative deviation of their depths, for pixels and poses without outliers.
        views: (N,) how many other images agree.
        meters: of the unit, as the points that the front end predicts say: a figure for each image
            with such points, and the relative deviation that the front end states for them.
    """

    pixels: NDArray[np.float32]
    points: NDArray[np.float64]
    sigma: NDArray[np.float64]
    views: NDArray[np.int64]
    meters: tuple[tuple[float, float], ...]


def dense_points(
    view: DenseView, others: Sequence[DenseView], front_end: FrontEnd, options: DenseOptions
) -> DensePoints:
    """Match an image with others, and keep the points on which enough of them agree.

    Args:
        view: whose pixels are wanted.
        others: that may see the same things from other places.
        front_end: that described them all; see `frontends.base.densely`.
        options: how many images must agree, and how sure a point must be.

    Raises:
        FrontEndError: the front end's answer is of no use.
    """
    seen: list[_Seen] = []
    meters: list[tuple[float, float]] = []
    for begin in range(0, len(others), _BATCH):
        some = others[begin : begin + _BATCH]
        references = [other.description for other in some]
        found = front_end.match(references, view.description)
        for other, matches in zip(some, found, strict=True):
            depths = _triangulated(view, other, matches, front_end)
            seen.append(depths)
            meters += _meters(view, other, matches, depths)
    pixels, depth, sigma = _by_pixel(seen, (view.camera.width, view.camera.height))
    fused, relative_sigma, agree = consistent_depths(depth, sigma)
    good = (agree >= options.dense_agree) & (relative_sigma < options.dense_sigma)
    points = view.camera.unproject(pixels[good], fused[good])
    return DensePoints(
        pixels[good],
        transforms.apply(view.pose, points),
        relative_sigma[good],
        agree[good],
        tuple(meters),
    )


@dataclass(frozen=True)
class _Seen:
    """Depths of an image's pixels by one other image; NaN where a check failed.

    Attributes:
        pixels: (N, 2) of the image.
        depth, sigma: (N,) along the optical axis, and its deviation.
    """

    pixels: NDArray[np.float32]
    depth: NDArray[np.float64]
    sigma: NDArray[np.float64]


def _triangulated(
    view: DenseView, other: DenseView, matches: Correspondences, front_end: FrontEnd
) -> _Seen:
    camera = other.camera
    pixel_sigma = _PIXEL_SIGMA * front_end.pixel_error_scale((camera.width, camera.height))
    depth, sigma = triangulate_depth(
        view.camera.normalize(matches.query_pixels),
        camera.normalize(matches.reference_pixels),
        relative(other.pose, view.pose),
        camera.fx,
        pixel_sigma,
        _MAX_SIGMAS * pixel_sigma,
        MIN_PARALLAX,
    )
    return _Seen(matches.query_pixels, depth, sigma)


def _meters(
    view: DenseView, other: DenseView, matches: Correspondences, seen: _Seen
) -> list[tuple[float, float]]:
    """The unit of the poses in meters by the points that the front end knows of the other image."""
    there = transforms.apply(
        relative(other.pose, view.pose), view.camera.unproject(seen.pixels, seen.depth)
    )[:, 2]
    predicted = matches.reference_points[:, 2]
    with np.errstate(invalid="ignore"):
        sure = (seen.sigma < _SURE_DEPTH * seen.depth) & np.isfinite(predicted) & (there > 0)
    if not matches.metric or sure.sum() < _MIN_DEPTHS:
        return []
    figure, sigma = predicted[sure] / there[sure], matches.depth_sigma[sure]
    return [(float(np.median(figure)), float(np.median(sigma)))]


def _by_pixel(
    seen: Sequence[_Seen], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Matched pixels (N, 2) of an image of (width, height), with depths and deviations (V, N).

    Matches are of one pixel where they are nearest to the same whole one.
    """
    flat, kept = [], []
    for s in seen:
        nearest = np.rint(s.pixels).astype(np.int64)
        inside = ((nearest >= 0) & (nearest < size)).all(1)
        kept.append(np.flatnonzero(np.isfinite(s.depth) & inside))
        flat.append(nearest[kept[-1]] @ [1, size[0]])
    unique, rows = np.unique(np.concatenate(flat), return_inverse=True)
    pixels = np.empty((len(unique), 2), np.float32)
    depth, sigma = np.full((2, len(seen), len(unique)), np.nan)
    begin = 0
    for i, (s, k) in enumerate(zip(seen, kept, strict=True)):
        at = rows[begin : begin + len(k)]
        begin += len(k)
        pixels[at], depth[i, at], sigma[i, at] = s.pixels[k], s.depth[k], s.sigma[k]
    return pixels, depth, sigma
