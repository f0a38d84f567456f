# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Poses of keyframes adjusted to one another by their matches.

The residuals are those by which the relocalizer solves a query's pose (`geometry.joint_pose`): a
match with a point is a reprojection error, one without the distance from an epipolar line. Points
belong to a keyframe and move with it, so there are no points to adjust beside the poses. Each
keyframe also has an error of scale that its points share, and a turn during its readout. Residuals
are weighed as those of Student's t distribution, whose size is estimated on the way: poses that are
far off begin with a wide one, and it narrows as they agree.

This is neither pycolmap, whose adjustment knows no depth and no wheel for aarch64, nor gtsam, whose
covariances take every match for independent: here the matches of one cell of an image count as one,
as in the relocalizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array
from scipy.sparse.linalg import splu

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.joint_pose import Matches, linearize
from mast3r_ros.geometry.transforms import Pose

Array = NDArray[np.float64]

# Degrees of freedom of the t distributions of residuals and of the given poses.
_FREEDOM = 4.0
# Pose, scale and turn during readout of a keyframe.
_SIZE = 10
_ITERATIONS = 30
_NOISE_FLOOR = 0.5
# Median squares of normal errors in one and two dimensions.
_MEDIAN_SQUARE = (0.455, 1.386)
# Settled: this part of the keyframes move by less than the first figure, none by more than the
# second, in standard deviations to which a keyframe would be known if the others were exact. A few
# whose matches contradict each other swing to and fro by 0.3 to 1 forever.
_MOST, _SETTLED, _SWINGING = 0.95, 0.3, 1.5
# Columns of the inverse that are solved for at once.
_COLUMNS = 600


@dataclass(frozen=True)
class Sightings:
    """N matches of one keyframe's features in another one's image.

    Attributes:
        owner, seer: numbers of the keyframe whose points they are, and of the one that sees them.
        rays: (N, 2) of the owner on the plane z = 1.
        points: (N, 3) in the owner's frame [m], NaN where unknown.
        depth_sigmas: (N,) relative standard deviations of their depth, NaN where unknown.
        pixels: (N, 2) in the seer's image.
        owner_readout, seer_readout: (N,) standard deviation of each camera's turn between the
            middle of its image and the match's row [rad].
        cells: (N,) cell of the seer's image.
        weights: (N,) 1, or less where the same match counts in the other direction, too.
    """

    owner: int
    seer: int
    rays: Array
    points: Array
    depth_sigmas: Array
    pixels: Array
    owner_readout: Array
    seer_readout: Array
    cells: NDArray[np.int64]
    weights: Array


@dataclass(frozen=True)
class Prior:
    """What is known of the poses beforehand.

    Attributes:
        position, rotation: standard deviations of each given pose, for each axis [m] [rad].
        scales: (K,) relative standard deviation of the scale of each keyframe's points.
    """

    position: float
    rotation: float
    scales: Array


@dataclass(frozen=True)
class Adjusted:
    """Keyframes adjusted to one another.

    Attributes:
        poses: (K, 4, 4) map <- camera.
        covariances: (K, 6, 6) [m, rad], in the sense of `transforms.perturb`.
        before, after: for each set of sightings, (N,) residuals [pixels] at the given and at the
            adjusted poses; infinite behind a camera.
        effects: (K, 4) relative scale of each keyframe's points, and its turn during its readout in
            standard deviations.
        iterations: until nothing moved.
    """

    poses: Array
    covariances: Array
    before: list[Array]
    after: list[Array]
    effects: Array
    iterations: int


def adjust(
    given: Sequence[Pose],
    cameras: Sequence[Camera],
    sightings: Sequence[Sightings],
    thresholds: Sequence[float],
    prior: Prior,
    start: Adjusted | None = None,
) -> Adjusted:
    """Move keyframes until their matches agree, each as far as its given pose allows.

    Args:
        given: map <- camera of each keyframe.
        cameras: of each keyframe.
        sightings: between them.
        thresholds: largest reprojection error of an inlier in each keyframe's image [pixels].
        prior: how well the given poses are known.
        start: where to begin, of other sightings of the same keyframes; at the given poses if None.
    """
    return _Adjustment(given, cameras, sightings, thresholds, prior, start).run()


class _Adjustment:
    """The state of the iteration."""

    def __init__(
        self,
        given: Sequence[Pose],
        cameras: Sequence[Camera],
        sightings: Sequence[Sightings],
        thresholds: Sequence[float],
        prior: Prior,
        start: Adjusted | None,
    ) -> None:
        self.given = np.array(given)
        self.poses, self.start = self.given.copy(), start
        self.cameras, self.thresholds, self.sightings = cameras, thresholds, sightings
        self.rays = [cameras[s.seer].normalize(s.pixels) for s in sightings]
        self.count = len(given)
        self.effects = np.zeros((self.count, 4))
        sigmas = [prior.position] * 3 + [prior.rotation] * 3
        self.sigmas = np.tile([*sigmas, 0.0, 1.0, 1.0, 1.0], (self.count, 1))
        self.sigmas[:, 6] = prior.scales
        self.variances: Array | None = None
        self.factor: Any = None

    def run(self) -> Adjusted:
        before = [square for _, square, _ in self._linearize()]
        if self.start is not None:
            self.poses, self.effects = self.start.poses.copy(), self.start.effects.copy()
        iterations = 0
        for iterations in range(1, _ITERATIONS + 1):  # noqa: B007
            moved = self._step()
            if np.quantile(moved, _MOST) < _SETTLED and moved.max() < _SWINGING:
                break
        after = [square for _, square, _ in self._linearize()]
        return Adjusted(
            self.poses,
            self._covariances(),
            [np.sqrt(square) for square in before],
            [np.sqrt(square) for square in after],
            self.effects,
            iterations,
        )

    def _linearize(self) -> list[tuple[Array, Array, NDArray[np.bool_]]]:
        """For each set: (N, 2, 20) by seer and owner, and residual; squares; which are rays."""
        found = []
        for s, rays in zip(self.sightings, self.rays, strict=True):
            owner, seer, camera = self.poses[s.owner], self.poses[s.seer], self.cameras[s.seer]
            count, scale = len(rays), 1.0 + self.effects[s.owner, 0]
            direction = np.column_stack([s.rays, np.ones(count)]) @ owner[:3, :3].T
            matches = Matches(
                rays,
                transforms.apply(owner, s.points * scale),
                np.broadcast_to(owner[:3, 3], (count, 3)),
                direction,
                s.depth_sigmas,
                np.zeros(count, np.int64),
                (camera.fx, camera.fy),
                self.thresholds[s.seer],
            )
            seen = linearize(seer, matches)
            by_turn = seen.by_pose[:, :, 3:] * s.seer_readout[:, None, None]
            by_own_turn = seen.by_keyframe[:, :, 3:6] * s.owner_readout[:, None, None]
            residual = seen.residual + by_turn @ self.effects[s.seer, 1:]
            residual += by_own_turn @ self.effects[s.owner, 1:]
            parts = [seen.by_pose, by_turn, seen.by_keyframe, by_own_turn, residual[:, :, None]]
            square = np.where(seen.ahead, (residual**2).sum(1), np.inf)
            found.append((np.concatenate(parts, 2), square, matches.with_ray))
        return found

    def _step(self) -> Array:
        """Move everything once; returns how far each keyframe moved, in standard deviations."""
        seen = self._linearize()
        self._size(seen)
        assert self.variances is not None
        normal = np.zeros((self.count, _SIZE, _SIZE))
        gradient = np.zeros((self.count, _SIZE))
        off, where = [], []
        for s, (blocks, square, is_ray) in zip(self.sightings, seen, strict=True):
            weights = self._weigh(square, is_ray, s)
            rows = (blocks * np.sqrt(weights)[:, None, None])[weights > 0].reshape(-1, 20)
            both = rows.T @ rows
            # A seer has no scale of its own: its points play no part.
            of_seer, of_owner = np.r_[0:6, 7:10], slice(9, 19)
            normal[s.seer][np.ix_(of_seer, of_seer)] += both[:9, :9]
            normal[s.owner] += both[of_owner, of_owner]
            gradient[s.seer, of_seer] += both[:9, 19]
            gradient[s.owner] += both[of_owner, 19]
            cross = np.zeros((_SIZE, _SIZE))
            cross[of_seer] = both[:9, of_owner]
            off.append(cross)
            where.append((s.seer, s.owner))
        self._add_prior(normal, gradient)
        self.factor = splu(
            _assembled(normal, off, where), "MMD_AT_PLUS_A", options={"SymmetricMode": True}
        )
        step = -self.factor.solve(gradient.ravel()).reshape(self.count, _SIZE)
        for i, moved in enumerate(step):
            self.poses[i] = transforms.perturb(self.poses[i], moved[:6])
        self.effects += step[:, 6:]
        # Against what one keyframe alone would be known to, which is less than all together.
        alone = np.sqrt(np.einsum("kii->ki", normal)[:, :6])
        return np.asarray(np.abs(step[:, :6] * alone).max(1))

    def _size(self, seen: Sequence[tuple[Array, Array, NDArray[np.bool_]]]) -> None:
        """Estimate the variances of residuals of points and of rays [pixels^2]."""
        square = np.concatenate([found[1] for found in seen])
        kind = np.concatenate([found[2] for found in seen])
        known = np.isfinite(square)
        first = self.variances is None
        variances = np.ones(2) if first else self.variances
        assert variances is not None
        for is_ray in (False, True):
            own = square[known & (kind == is_ray)]
            if not len(own):
                continue
            dimensions, which = (1, 1) if is_ray else (2, 0)
            if first:
                found = np.median(own) / _MEDIAN_SQUARE[dimensions - 1]
            else:
                weights = (_FREEDOM + dimensions) / (_FREEDOM + own / variances[which])
                found = (weights * own).mean() / dimensions
            variances[which] = max(float(found), _NOISE_FLOOR**2)
        self.variances = variances

    def _weigh(self, square: Array, is_ray: NDArray[np.bool_], s: Sightings) -> Array:
        assert self.variances is not None
        kind = is_ray.astype(int)
        robust = (_FREEDOM + 2 - kind) / (_FREEDOM + square / self.variances[kind])
        # What agrees with no pose near this one says nothing of how many a cell holds.
        agreeing = np.isfinite(square) & (robust > 0.1)
        members = np.bincount(s.cells[agreeing], minlength=int(s.cells.max(initial=0)) + 1)
        weights = s.weights * robust / (self.variances[kind] * np.maximum(members, 1)[s.cells])
        return np.asarray(np.where(np.isfinite(square), weights, 0.0))

    def _add_prior(self, normal: Array, gradient: Array) -> None:
        for i in range(self.count):
            moved = transforms.difference(self.poses[i], self.given[i])
            error = np.concatenate([moved, self.effects[i]])
            away = ((moved / self.sigmas[i, :6]) ** 2).sum()
            # A given pose that all matches contradict does not hold back its keyframe.
            trust = np.r_[np.full(6, min((_FREEDOM + 6) / (_FREEDOM + away), 1.0)), np.ones(4)]
            information = trust / np.maximum(self.sigmas[i], 1e-6) ** 2
            normal[i] += np.diag(information)
            gradient[i] += information * error

    def _covariances(self) -> Array:
        """(K, 6, 6): the keyframes' blocks of the inverse, some columns at a time."""
        found = np.zeros((self.count, 6, 6))
        some = _COLUMNS // 6
        for start in range(0, self.count, some):
            numbers = np.arange(start, min(start + some, self.count))
            columns = (numbers[:, None] * _SIZE + np.arange(6)).ravel()
            right = np.zeros((self.count * _SIZE, len(columns)))
            right[columns, np.arange(len(columns))] = 1.0
            inverse = self.factor.solve(right)
            for k, number in enumerate(numbers):
                rows = slice(number * _SIZE, number * _SIZE + 6)
                block = inverse[rows, 6 * k : 6 * k + 6]
                found[number] = (block + block.T) / 2
        return found


def _assembled(normal: Array, off: Sequence[Array], where: Sequence[tuple[int, int]]) -> csc_array:
    """The sparse symmetric matrix of blocks on the diagonal and between pairs."""
    count = len(normal)
    diagonal = np.arange(count)
    seers, owners = np.array(where, np.int64).reshape(-1, 2).T
    between = np.array(off).reshape(-1, _SIZE, _SIZE)
    blocks = np.concatenate([normal, between, between.transpose(0, 2, 1)])
    at = np.concatenate([diagonal, seers, owners]), np.concatenate([diagonal, owners, seers])
    inside = np.arange(_SIZE)
    rows = (at[0][:, None, None] * _SIZE + inside[:, None]) + 0 * inside
    columns = (at[1][:, None, None] * _SIZE + inside) + 0 * inside[:, None]
    shape = (count * _SIZE,) * 2
    return coo_array((blocks.ravel(), (rows.ravel(), columns.ravel())), shape=shape).tocsc()
