# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Absolute pose from matches of which some know their point and all know their keyframe's ray.

A match with a point constrains the pose by its reprojection, one without by its distance from the
epipolar line of the keyframe's ray. Few points are enough for the meters; the many rays bind the
rest, and tell a right pose from a chance one.

A point whose depth is uncertain lies between the two: along the image of its ray, where an error
of the depth moves it, its residual counts for less, across it for as much as any.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms, uncertainty
from mast3r_ros.geometry.epipolar_lines import EpipolarLines
from mast3r_ros.geometry.rig import Rig
from mast3r_ros.geometry.transforms import Pose, cross

Array = NDArray[np.float64]

# A match at random fits a line more often than a point: this is the ratio of the two logarithms
# for a VGA image and thresholds of a few pixels.
RAY_WEIGHT = 0.5
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
        owners: (N,) number of the keyframe that each match is with, from 0 on.
        focal: (fx, fy) of the query [pixels].
        threshold: largest error of an inlier [pixels]; half of it from an epipolar line.
        views: (N,) number of the view that each match is of, where the query is a rig's.
        rig: the views of the query; None where it is one image. The pose is that of the body then,
            and the focal lengths are the rig's.
        readout: (N,) one standard deviation of how far a camera turns about any axis between the
            middle of its image and the match's row [rad], where rows are read out one after the
            other; None where all rows are of one instant.
    """

    rays: Array
    points: Array
    origins: Array
    directions: Array
    depth_sigmas: Array
    owners: NDArray[np.int64]
    focal: tuple[float, float]
    threshold: float
    views: NDArray[np.int64] | None = None
    rig: Rig | None = None
    readout: Array | None = None

    @property
    def nuisances(self) -> int:
        """S, how many independent errors of the query there are beside its pose."""
        turns = 0 if self.readout is None else 3 * (1 if self.rig is None else len(self.rig))
        return turns + (0 if self.rig is None else self.rig.errors)

    @cached_property
    def with_point(self) -> NDArray[np.bool_]:
        """(N,) which matches know their point."""
        return np.asarray(np.isfinite(np.hstack([self.points, self.rays])).all(axis=1))

    @cached_property
    def with_ray(self) -> NDArray[np.bool_]:
        """(N,) which know only their keyframe's ray."""
        known = np.isfinite(np.hstack([self.directions, self.rays])).all(axis=1)
        return np.asarray(known & ~self.with_point)

    @cached_property
    def limits(self) -> Array:
        """(N,) the largest error of an inlier [pixels]."""
        return np.where(self.with_ray, self.threshold / 2, self.threshold)

    @cached_property
    def focals(self) -> Array:
        """(N, 2) fx and fy of the image that each match is of [pixels]."""
        if self.rig is None or self.views is None:
            return np.broadcast_to(np.asarray(self.focal, np.float64), (len(self.rays), 2))
        return np.asarray(self.rig.focals[self.views])

    @cached_property
    def mean_focals(self) -> Array:
        """(N,) the means of `focals`."""
        return np.asarray(self.focals @ [0.5, 0.5])

    def cameras(self, pose: Pose) -> Pose:
        """map <- camera: (4, 4) of one image, (N, 4, 4) of each match where a rig has several.

        Args:
            pose: map <- camera, or map <- body of a rig.
        """
        if self.rig is None:
            return pose
        placed = pose @ self.rig.body_cameras
        return np.asarray(placed[0] if len(placed) == 1 else placed[self.views])

    def without(self, these: NDArray[np.bool_]) -> Matches:
        """The matches but for some."""
        return self.select(~these)

    def select(self, rest: NDArray[np.bool_] | NDArray[np.int64]) -> Matches:
        """Some of the matches, by a mask or by their numbers."""
        return replace(
            self,
            rays=self.rays[rest],
            points=self.points[rest],
            origins=self.origins[rest],
            directions=self.directions[rest],
            depth_sigmas=self.depth_sigmas[rest],
            owners=self.owners[rest],
            views=None if self.views is None else self.views[rest],
            readout=None if self.readout is None else self.readout[rest],
        )

    def of_view(self, view: int) -> tuple[NDArray[np.int64], Matches]:
        """The matches of one view of a rig as those of one camera, and which these are."""
        return self._by_view[view]

    @cached_property
    def _by_view(self) -> list[tuple[NDArray[np.int64], Matches]]:
        # Made once: each iteration of the estimators asks for all of them.
        assert self.rig is not None
        assert self.views is not None
        parts = []
        for view, (fx, fy) in enumerate(self.rig.focals):
            own = self.views == view
            alone = replace(self.without(~own), focal=(float(fx), float(fy)), views=None, rig=None)
            parts.append((np.flatnonzero(own), alone))
        return parts


@dataclass(frozen=True)
class Linearization:
    """Residuals of N matches at a pose.

    Attributes:
        residual: (N, 2) [pixels], of which the second is 0 for rays.
        by_pose: (N, 2, 6 + S) Jacobian by the query's pose, and by its S other errors in standard
            deviations: those of odometry between several views, and each camera's turn during its
            readout.
        by_keyframe: (N, 2, 7) Jacobian by the pose of the match's keyframe, in the sense of
            `transforms.perturb`, and by the relative scale of its points.
        ahead: (N,) whether the match is in front of the cameras, and its numbers are finite.
    """

    residual: Array
    by_pose: Array
    by_keyframe: Array
    ahead: NDArray[np.bool_]


def linearize(pose: Pose, matches: Matches) -> Linearization:
    """Residuals of all matches and their derivatives.

    Those of points are whitened by what the points' own errors do to them.

    Args:
        pose: map <- camera, or map <- body where the query has several views.
        matches: of all keyframes.
    """
    rows, ahead = linearize_cameras(pose, matches)
    residual, by_keyframe = rows[:, :, -1], rows[:, :, -8:-1]
    if matches.rig is None:
        return Linearization(residual, rows[:, :, :-8], by_keyframe, ahead)
    by_pose = np.zeros((len(matches.rays), 2, 6 + matches.nuisances))
    tied = 6 + matches.rig.errors
    for view in range(len(matches.rig)):
        at, _ = matches.of_view(view)
        with np.errstate(invalid="ignore", over="ignore"):
            by_pose[at, :, :tied] = rows[at, :, :6] @ matches.rig.by_body(view, pose)
        if matches.readout is not None:
            by_pose[at, :, tied + 3 * view : tied + 3 * view + 3] = rows[at, :, 6:9]
    return Linearization(residual, by_pose, by_keyframe, ahead)


def linearize_cameras(pose: Pose, matches: Matches) -> tuple[Array, NDArray[np.bool_]]:
    """As `linearize`, by the pose of the camera alone that each match is seen by.

    All views at once: of the few matches of past images, numpy's calls take longer than the sums.

    Returns:
        (N, 2, C + 8) rows of the normal equations, by the C = 6 of the camera, or 9 with its turn
        during the readout, the 7 of the keyframe, and the residual; and `Linearization.ahead`.
    """
    pose = matches.cameras(pose)
    count, columns = len(matches.rays), 6 if matches.readout is None else 9
    ahead, rows = np.zeros(count, bool), np.zeros((count, 2, columns + 8))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        at = np.flatnonzero(matches.with_point)
        rows[at] = _rows_of_points(_of(pose, at), matches, at, columns)
        from_camera = matches.points[at] - _of(pose, at)[..., :3, 3]
        ahead[at] = (from_camera * _of(pose, at)[..., :3, 2]).sum(1) > 0
        at = np.flatnonzero(matches.with_ray)
        if len(at):
            lines, of = _lines(pose, matches, at), rows[:, 0]
            of[at, -1], ahead[at] = lines.distances, lines.ahead
            jacobian = lines.jacobian()
            of[at, :6], of[at, columns : columns + 6] = jacobian[:, :6], jacobian[:, 6:]
        if matches.readout is not None:
            rows[:, :, 6:9] = rows[:, :, 3:6] * matches.readout[:, None, None]
        ahead &= np.isfinite(rows.reshape(count, 2 * rows.shape[2]) @ np.ones(2 * rows.shape[2]))
    return rows, ahead


def _rows_of_points(pose: Pose, matches: Matches, at: NDArray[np.int64], columns: int) -> Array:
    """The rows of matches with a point, whitened by what the points' own errors do to them."""
    points, rows = matches.points[at], np.zeros((len(at), 2, columns + 8))
    error, by_position = uncertainty.errors(pose, points, matches.rays[at], matches.focals[at])
    offset = points - matches.origins[at]
    deviation, noise = offset * matches.depth_sigmas[at, None], matches.threshold
    both = np.concatenate([by_position, error[:, :, None]], axis=2)
    _forgive(both, deviation, noise / _THRESHOLD_SIGMAS)
    # All others follow from these.
    by_position = np.ascontiguousarray(both[:, :, :3])
    rows[:, :, :3], rows[:, :, -1] = by_position, both[:, :, 3]
    rows[:, :, 3:6] = uncertainty.by_turn(by_position, points - pose[..., :3, 3])
    np.negative(by_position, out=rows[:, :, columns : columns + 3])
    rows[:, :, columns + 3 : columns + 6] = cross(by_position, offset[:, None])
    np.negative(np.einsum("nij,nj->ni", by_position, offset), out=rows[:, :, columns + 6])
    return rows


def _of(pose: Pose, at: NDArray[np.int64]) -> Pose:
    """The cameras of some matches, where each has its own."""
    return pose if pose.ndim == 2 else pose[at]


def _lines(pose: Pose, matches: Matches, at: NDArray[np.int64]) -> EpipolarLines:
    """The epipolar lines of some matches."""
    keyframe = matches.origins[at], matches.directions[at]
    return EpipolarLines(_of(pose, at), *keyframe, matches.rays[at], matches.mean_focals[at])


def magnifications(by_keyframe: Array, matches: Matches) -> Array:
    """(N,) how many times larger an error of the keyframe's pixel is in the query.

    It turns the match's ray about the keyframe. A point that is nearer to the query's camera than
    to its keyframe moves by more pixels, and so does the epipolar line of a ray that is seen near
    the keyframe's epipole.

    Args:
        by_keyframe: (N, 2, 7) see `Linearization`.
        matches: that it is of.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        by_turn = by_keyframe[:, :, 3:6]
        square = np.einsum("nij,nij->n", by_turn, by_turn) / np.where(matches.with_ray, 1.0, 2.0)
        return np.asarray(np.sqrt(square) / matches.mean_focals)


def agreeing(pose: Pose, matches: Matches) -> NDArray[np.bool_]:
    """(N,) which matches agree with a pose."""
    length, ahead = lengths(pose, matches)
    with np.errstate(invalid="ignore"):
        return np.asarray(ahead & (length < matches.limits))


def lengths(pose: Pose, matches: Matches) -> tuple[Array, NDArray[np.bool_]]:
    """(N,) lengths of the residuals of `linearize` [pixels], without derivatives; its `ahead`."""
    count, pose = len(matches.rays), matches.cameras(pose)
    length, ahead = np.full(count, np.inf), np.zeros(count, bool)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        at = np.flatnonzero(matches.with_point)
        camera, focal = _of(pose, at), matches.focals[at]
        seen = transforms.turn_back(camera, matches.points[at] - camera[..., :3, 3])
        depth = seen[:, 2:]
        error = (seen[:, :2] / depth - matches.rays[at]) * focal
        deviation = (matches.points[at] - matches.origins[at]) * matches.depth_sigmas[at, None]
        moved = transforms.turn_back(camera, deviation)
        image = (moved[:, :2] - moved[:, 2:] * seen[:, :2] / depth) / depth * focal
        # As `_forgive`: the part along the image of the deviation is shortened.
        squared, noise = (image**2).sum(1), matches.threshold / _THRESHOLD_SIGMAS
        along = (error * image).sum(1) ** 2 / np.where(squared > 0, squared, 1.0)
        forgiven = along * squared / (noise**2 + squared)
        length[at] = np.sqrt(np.maximum((error**2).sum(1) - forgiven, 0.0))
        ahead[at] = seen[:, 2] > 0
        at = np.flatnonzero(matches.with_ray)
        if len(at):
            lines = _lines(pose, matches, at)
            length[at], ahead[at] = np.abs(lines.distances), lines.ahead
    return length, ahead & np.isfinite(length)


def _forgive(rows: Array, deviation: Array, noise: float) -> None:
    """Whiten reprojection errors by what the points' own errors do to them, to first order.

    They are shortened along the image of the deviation so that `noise` is theirs there too.

    Args:
        rows: (N, 2, 4) derivatives by the camera's position, and residuals [pixels]; in place.
        deviation: (N, 3) one standard deviation of each point [m], in the map.
        noise: of a pixel.
    """
    # A point that moves does what the camera does that moves the other way.
    image = -np.einsum("nij,nj->ni", rows[:, :, :3], deviation)
    length = np.hypot(*image.T)
    along = image / np.where(length > 0, length, 1.0)[:, None]
    part = noise / np.hypot(noise, length) - 1.0
    rows += (part[:, None] * along)[:, :, None] * np.einsum("ni,nij->nj", along, rows)[:, None]
