# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Several views as one generalized camera, whose shape is known as well as extrinsics and odometry.

The views are tied to a body: each camera sits on it somewhere, and was where the body was when the
image was taken. What odometry is wrong about is a random effect of each view. Odometry integrates
its errors, so an older view has the errors of a younger one, and more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rig:
    """V views of one query.

    Attributes:
        body_cameras: (V, 4, 4) body now <- camera when its image was taken, by odometry.
        bodies: (V, 3) where the body was then, in the body's frame now [m].
        focals: (V, 2) fx and fy [pixels].
        motion: (V, 6, S) how each view's body moves in the body's frame now, in the sense of
            `transforms.perturb`, by one standard deviation of each of S independent errors of
            odometry. With S = 0, odometry is exact.
    """

    body_cameras: Array
    bodies: Array
    focals: Array
    motion: Array

    def __len__(self) -> int:
        return len(self.focals)

    @property
    def errors(self) -> int:
        """S, the number of odometry's independent errors."""
        return int(self.motion.shape[2])

    def by_body(self, view: int, pose: Pose) -> Array:
        """(6, 6 + S) derivative of a view's camera pose by the body's pose and odometry's errors.

        Args:
            view: number of the view.
            pose: map <- body now.
        """
        turn = pose[:3, :3]
        center = self.body_cameras[view, :3, 3]
        return np.hstack(
            [
                _moved_along(turn @ center),
                _moved_along(turn @ (center - self.bodies[view]))
                @ np.kron(np.eye(2), turn)
                @ self.motion[view],
            ]
        )


def make_rig(
    body_cameras: Sequence[Pose],
    now_thens: Sequence[Pose],
    motion_covariances: Sequence[Array | None],
    focals: Sequence[tuple[float, float]],
) -> Rig:
    """Tie views to a body.

    Args:
        body_cameras: body <- camera, the extrinsics.
        now_thens: body now <- body when the image was taken, by odometry.
        motion_covariances: (6, 6) of `now_thens`, in the sense of `transforms.perturb`; None where
            it is exact.
        focals: (fx, fy) of each camera [pixels].
    """
    covariances = [np.zeros((6, 6)) if c is None else c for c in motion_covariances]
    return Rig(
        np.stack([then @ camera for then, camera in zip(now_thens, body_cameras, strict=True)]),
        np.stack([then[:3, 3] for then in now_thens]),
        np.array(focals, np.float64),
        _steps(now_thens, covariances),
    )


def move_covariance(covariance: Array, pose: Pose, lever: Pose) -> Array:
    """The covariance of `pose @ lever` from that of `pose`, both in the sense of `perturb`."""
    by_pose = _moved_along(pose[:3, :3] @ lever[:3, 3])
    return np.asarray(by_pose @ covariance @ by_pose.T)


def _moved_along(arm: Array) -> Array:
    """(6, 6) derivative of a pose by that of the body it is fixed to, `arm` away."""
    jacobian = np.eye(6)
    jacobian[:3, 3:] = -transforms.skew(arm)
    return jacobian


def _steps(now_thens: Sequence[Pose], covariances: Sequence[Array]) -> Array:
    """(V, 6, S): the errors of the way back from now to each view, one step after the other.

    What a covariance has in excess of that of the next younger view is the error of the step
    between the two; images of one instant have one motion, and no step between them.
    """
    order = np.argsort([np.trace(c) for c in covariances], kind="stable")
    roots: list[Array] = []
    motion: list[Array] = [np.zeros((6, 0))] * len(now_thens)
    carried, last, at = np.zeros((6, 0)), np.zeros((6, 6)), np.zeros(3)
    for view in order:
        moved = _moved_along(now_thens[view][:3, 3] - at)
        step = _root(covariances[view] - moved @ last @ moved.T)
        carried = np.hstack([moved @ carried, step])
        roots.append(step)
        motion[view] = carried
        last, at = carried @ carried.T, now_thens[view][:3, 3]
    total = sum(root.shape[1] for root in roots)
    return np.stack([np.pad(m, ((0, 0), (0, total - m.shape[1]))) for m in motion])


def _root(covariance: Array) -> Array:
    """(6, R) with R R^T the nearest covariance; nothing below a billionth of the largest."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    kept = values > max(1e-9 * float(np.abs(values).max(initial=0.0)), 1e-16)
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))
