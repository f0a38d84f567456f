# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How far a camera stands along a known direction, by the vote of matches with a point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.joint_pose import Matches
from mast3r_ros.geometry.transforms import Pose

Array = NDArray[np.float64]


def scale_along(start: Pose, direction: Array, matches: Matches) -> Pose | None:
    """Where on a line the camera stands, by the vote of the matches that know their point.

    A match agrees as long as its point is inside a cone around its ray; the camera's line is
    inside of that for one stretch. The middle of where most stretches overlap is taken.

    Args:
        start: map <- camera at distance 0, its orientation already right.
        direction: (3,) unit vector in the map along which the camera moves.

    Returns:
        The pose with the most points in agreement, or None where no match knows its point.
    """
    known = matches.with_point
    if not known.any():
        return None
    rotation = start[:3, :3]
    points = (matches.points[known] - start[:3, 3]) @ rotation
    first, last = _stretches(
        points, direction @ rotation, matches.rays[known], matches.focal, matches.threshold
    )
    ends = np.concatenate([first, last])
    order = np.argsort(ends, kind="stable")
    overlapping = np.cumsum(np.repeat([1, -1], len(first))[order])
    distance = 0.0
    if len(order):
        best = int(overlapping.argmax())
        low, high = ends[order[best]], ends[order[best + 1]]
        distance = (low + high) / 2 if np.isfinite(high) else low
    return transforms.make(rotation, start[:3, 3] + distance * direction)


def _stretches(
    points: Array, moved: Array, rays: Array, focal: tuple[float, float], threshold: float
) -> tuple[Array, Array]:
    """From where to where a camera may move for each point to stay on its ray.

    Args:
        points: (N, 3) seen before it moves.
        moved: (3,) where to, both in its frame.
        rays: (N, 2) on the plane z = 1.
        focal, threshold: [pixels], see `Matches`.

    Returns:
        Distances (M,) and (M,) from 0 up, for those points that ever are within the threshold.
    """
    # At distance s, |(before - s by) focal| < threshold (z - s dz): a quadratic in s.
    before = (points[:, :2] - points[:, 2:] * rays) * focal
    by = (moved[:2] - moved[2] * rays) * focal
    z, dz = threshold * points[:, 2], threshold * moved[2]
    square = (by * by).sum(1) - dz * dz
    half = z * dz - (before * by).sum(1)
    constant = (before * before).sum(1) - z * z
    with np.errstate(invalid="ignore", divide="ignore"):
        middle, reach = -half / square, np.sqrt(half * half - square * constant) / np.abs(square)
        low, high = middle - reach, middle + reach
        # A line crosses the double cone's near half, or its far half; or it stays inside of one
        # half before it leaves it, and inside of the other from later on.
        across = (square > 0) & (z - middle * dz > 0)
        first = np.where(square > 0, low, -np.inf if dz > 0 else high)
        last = np.where(square > 0, high, low if dz > 0 else np.inf)
        first = np.maximum(first, 0.0)
        kept = (across | (square < 0)) & (last > first)
    return first[kept], last[kept]
