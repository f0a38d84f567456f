# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Absolute pose from matches of which some know their point and all know their keyframe's ray.

A match with a point constrains the pose by its reprojection, one without by its distance from the
epipolar line of the keyframe's ray. Few points are enough for the metres; the many rays bind the
rest, and tell a right pose from a chance one.

A point whose depth is uncertain lies between the two: along the image of its ray, where an error
of the depth moves it, its residual counts for less, across it for as much as any.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms, uncertainty
from mast3r_ros.geometry.transforms import Pose

Array = NDArray[np.float64]

# A match at random fits a line more often than a point: this is the ratio of the two logarithms
# for a VGA image and thresholds of a few pixels.
RAY_WEIGHT = 0.5
_NOISE_FLOOR = 0.5
# The largest error of an inlier is taken to be as many standard deviations.
_THRESHOLD_SIGMAS = 3.0


@dataclass(frozen=True)
class Matches:
    """N matches of one query with keyframes of known pose.

    Attributes:
        rays: (N, 2) of the query on the plane z = 1; NaN rows match nothing.
        points: (N, 3) in the map [m], NaN where unknown.
        origins: (N, 3) the keyframes' centers in the map [m].
        directions: (N, 3) the keyframes' rays in the map, of any length; NaN where unknown.
        depth_sigmas: (N,) standard deviation of each point's distance from its origin, over that
            distance.
        focal: (fx, fy) of the query [pixels].
        threshold: largest error of an inlier [pixels]; half of it from an epipolar line.
    """

    rays: Array
    points: Array
    origins: Array
    directions: Array
    depth_sigmas: Array
    focal: tuple[float, float]
    threshold: float

    @property
    def with_point(self) -> NDArray[np.bool_]:
        """(N,) which matches know their point."""
        return np.asarray(np.isfinite(np.hstack([self.points, self.rays])).all(axis=1))

    @property
    def with_ray(self) -> NDArray[np.bool_]:
        """(N,) which know only their keyframe's ray."""
        known = np.isfinite(np.hstack([self.directions, self.rays])).all(axis=1)
        return np.asarray(known & ~self.with_point)

    def without(self, these: NDArray[np.bool_]) -> Matches:
        """The matches but for some."""
        rest = ~these
        return replace(
            self,
            rays=self.rays[rest],
            points=self.points[rest],
            origins=self.origins[rest],
            directions=self.directions[rest],
            depth_sigmas=self.depth_sigmas[rest],
        )


@dataclass(frozen=True)
class JointPose:
    """A pose and what supports it.

    Attributes:
        pose: map <- camera, (4, 4).
        inliers: (N,) bool.
        points, rays: how many inliers know their point, and only their ray.
        information: (M, 6, 6) of each inlier: J^T J over its variance [1/m^2, 1/rad^2].
    """

    pose: Pose
    inliers: NDArray[np.bool_]
    points: int
    rays: int
    information: Array

    @property
    def support(self) -> float:
        """Inliers, those without a point counted half."""
        return self.points + RAY_WEIGHT * self.rays


def epipolar_residuals(
    pose: Pose, origins: Array, directions: Array, rays: Array, focal: float
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Distances of rays from the epipolar lines of other cameras' rays, and their derivative.

    Args:
        pose: map <- camera.
        origins, directions: (N, 3) the other cameras' rays in the map.
        rays: (N, 2) on the plane z = 1 of this camera.
        focal: [pixels].

    Returns:
        (N,) signed distances [pixels], their (N, 6) Jacobian in the sense of `transforms.perturb`,
        and whether the two rays meet in front of both cameras.
    """
    rotation = pose[:3, :3]
    offset = origins - pose[:3, 3]
    plane = np.cross(offset, directions)
    normal = plane @ rotation
    query = np.column_stack([rays, np.ones(len(rays))])
    length = np.hypot(normal[:, 0], normal[:, 1])
    across = (query * normal).sum(1)
    by_normal = query / length[:, None]
    by_normal[:, :2] -= (across / length**3)[:, None] * normal[:, :2]
    by_plane = focal * by_normal @ rotation.T
    # d(plane) = direction x dt and plane x dr.
    jacobian = np.hstack([np.cross(by_plane, directions), np.cross(by_plane, plane)])
    toward = query @ rotation.T
    # Depths of the two rays' closest points: both must be positive.
    cross = np.cross(directions, toward)
    ahead = (np.cross(-offset, toward) * cross).sum(1) > 0
    ahead &= (np.cross(-offset, directions) * cross).sum(1) > 0
    return focal * across / length, jacobian, ahead


def judge(pose: Pose, matches: Matches) -> tuple[NDArray[np.bool_], Array, Array]:
    """Which matches agree with a pose.

    Returns:
        inliers (N,), residuals (N, 2) [pixels], of which the second is 0 for rays, and their
        Jacobian (N, 2, 6).
    """
    count = len(matches.rays)
    inliers = np.zeros(count, bool)
    residual, jacobian = np.zeros((count, 2)), np.zeros((count, 2, 6))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        at = np.flatnonzero(matches.with_point)
        ahead = (matches.points[at] - pose[:3, 3]) @ pose[:3, 2] > 0
        residual[at], jacobian[at] = uncertainty.residuals(
            pose, matches.points[at], matches.rays[at], matches.focal
        )
        deviation = (matches.points - matches.origins) * matches.depth_sigmas[:, None]
        residual[at], jacobian[at] = _forgive(
            residual[at],
            jacobian[at],
            deviation[at],
            matches.threshold / _THRESHOLD_SIGMAS,
        )
        inliers[at] = ahead & (np.hypot(*residual[at].T) < matches.threshold)
        at = np.flatnonzero(matches.with_ray)
        residual[at, 0], jacobian[at, 0], ahead = epipolar_residuals(
            pose,
            matches.origins[at],
            matches.directions[at],
            matches.rays[at],
            float(np.mean(matches.focal)),
        )
        inliers[at] = ahead & (np.abs(residual[at, 0]) < matches.threshold / 2)
    inliers &= np.isfinite(jacobian).all(axis=(1, 2))
    return inliers, residual, jacobian


def _forgive(
    residual: Array, jacobian: Array, deviation: Array, noise: float
) -> tuple[Array, Array]:
    """Whiten reprojection errors by what the points' own errors do to them, to first order.

    Args:
        residual, jacobian: (N, 2) [pixels] and (N, 2, 6), see `uncertainty.residuals`.
        deviation: (N, 3) one standard deviation of each point [m], in the map.
        noise: of a pixel.

    Returns:
        Both, shortened along the image of the deviation so that `noise` is theirs there too.
    """
    # A point that moves does what the camera does that moves the other way.
    image = -np.einsum("nij,nj->ni", jacobian[:, :, :3], deviation)
    length = np.hypot(*image.T)
    along = image / np.where(length > 0, length, 1.0)[:, None]
    kept = noise / np.hypot(noise, length) - 1.0
    part = (residual * along).sum(1) * kept
    by_pose = np.einsum("ni,nij->nj", along, jacobian) * kept[:, None]
    return residual + part[:, None] * along, jacobian + along[:, :, None] * by_pose[:, None]


def refine(pose: Pose, matches: Matches, iterations: int = 10) -> JointPose | None:
    """Least squares over the inliers of both kinds, chosen anew until they settle.

    Each kind is weighed by its own noise, measured on its inliers.

    Args:
        iterations: at most so many steps; 0 judges the pose as it is.

    Returns:
        None where the pose loses its support or is not bound by it.
    """
    with_point = matches.with_point
    chosen = np.zeros(len(with_point), bool)
    for iteration in range(iterations + 1):
        inliers, residual, jacobian = judge(pose, matches)
        if inliers.sum() < 6:
            return None
        residual, jacobian, known = residual[inliers], jacobian[inliers], with_point[inliers]
        weight = np.zeros(len(known))
        for kind, coordinates in ((known, 2), (~known, 1)):
            freedom = max(coordinates * int(kind.sum()) - 6, 1)
            variance = (residual[kind] ** 2).sum() / freedom
            weight[kind] = 1.0 / max(variance, _NOISE_FLOOR**2)
        information = np.einsum("nij,nik,n->njk", jacobian, jacobian, weight)
        gradient = np.einsum("nij,ni,n->j", jacobian, residual, weight)
        try:
            step = np.linalg.solve(information.sum(0), -gradient)
        except np.linalg.LinAlgError:
            return None
        settled = np.array_equal(inliers, chosen) and np.abs(step).max() < 1e-7
        chosen = inliers
        if settled or iteration == iterations:
            break
        pose = transforms.perturb(pose, step)
    points = int((chosen & with_point).sum())
    return JointPose(pose, chosen, points, int(chosen.sum()) - points, information)


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
