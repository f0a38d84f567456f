# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms: `T_a_b`, (4, 4) float64, maps points of frame b into frame a."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from transforms3d.axangles import axangle2mat
from transforms3d.quaternions import mat2quat, quat2mat

Pose = NDArray[np.float64]


def make(rotation: ArrayLike, translation: ArrayLike) -> Pose:
    """From a (3, 3) rotation and a (3,) translation."""
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = np.asarray(translation, np.float64).reshape(3)
    return pose


def is_rigid(pose: NDArray[np.float64]) -> bool:
    """Whether an array is a finite (4, 4) rigid transform, to the precision of float32."""
    return pose.shape == (4, 4) and bool(are_rigid(pose[None]).all())


def are_rigid(poses: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) whether each of (N, 4, 4) arrays is `is_rigid`."""
    finite = np.asarray(np.isfinite(poses).all(axis=(1, 2)))
    rotations = np.where(finite[:, None, None], poses, 0.0)[:, :3, :3]
    with np.errstate(over="ignore", invalid="ignore"):
        square = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)) <= 1e-4
        last = np.abs(poses[:, 3] - [0.0, 0.0, 0.0, 1.0]) <= 1e-4
        right = np.linalg.det(rotations) > 0
    return np.asarray(finite & square.all(axis=(1, 2)) & right & last.all(axis=1))


def from_quaternion(translation: ArrayLike, xyzw: ArrayLike) -> Pose:
    """From a translation [m] and a quaternion in ROS order (x, y, z, w), of any non-zero length.

    Raises:
        ValueError: a number is not finite, or the quaternion has no direction.
    """
    q = np.asarray(xyzw, np.float64).reshape(4)
    t = np.asarray(translation, np.float64).reshape(3)
    norm = np.linalg.norm(q)
    if not np.isfinite([*q, *t]).all() or norm < 1e-6:
        raise ValueError(
            f"translation {t.tolist()}, quaternion {q.tolist()}: not a pose; "
            "send finite numbers and a quaternion of length 1 (identity is 0, 0, 0, 1)"
        )
    x, y, z, w = q / norm
    return make(quat2mat([w, x, y, z]), t)


def to_quaternion(pose: Pose) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Translation (3,) and quaternion (x, y, z, w) of a pose."""
    w, x, y, z = mat2quat(pose[:3, :3])
    return pose[:3, 3].copy(), np.array([x, y, z, w])


def inverse(pose: Pose) -> Pose:
    """T_b_a from T_a_b."""
    rotation = pose[:3, :3].T
    return make(rotation, -rotation @ pose[:3, 3])


def apply(pose: Pose, points: ArrayLike) -> NDArray[np.float64]:
    """T_a_b on (..., 3) points of b: the points in a."""
    return np.asarray(np.asarray(points, np.float64) @ pose[:3, :3].T + pose[:3, 3])


def turn(pose: Pose, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) vectors of b, turned into a by T_a_b, (4, 4), or (N, 4, 4) of each vector's own."""
    if pose.ndim == 2:
        return np.asarray(vectors @ pose[:3, :3].T)
    return np.asarray(np.einsum("nij,nj->ni", pose[:, :3, :3], vectors))


def turn_back(pose: Pose, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `turn`: (N, 3) vectors of a, turned into b."""
    if pose.ndim == 2:
        return np.asarray(vectors @ pose[:3, :3])
    return np.asarray(np.einsum("nij,ni->nj", pose[:, :3, :3], vectors))


def rotation_from_vector(vector: ArrayLike) -> NDArray[np.float64]:
    """(3, 3) rotation about `vector` by its length [rad]."""
    v = np.asarray(vector, np.float64)
    angle = float(np.linalg.norm(v))
    return np.eye(3) if angle < 1e-14 else np.asarray(axangle2mat(v / angle, angle, True))


def rotation_vector(rotation: ArrayLike) -> NDArray[np.float64]:
    """(3,) axis times angle [rad] of a (3, 3) rotation, angle in [0, pi]."""
    w, *xyz = mat2quat(np.asarray(rotation, np.float64))
    sine = float(np.linalg.norm(xyz))
    # 2 atan2 keeps full precision at small angles, where arccos of the trace does not.
    scale = 2.0 if sine < 1e-14 else 2.0 * np.arctan2(sine, w) / sine
    return np.asarray(xyz) * scale


def rotation_angle(a: Pose, b: Pose) -> float:
    """Angle between two orientations [rad]."""
    return float(np.linalg.norm(rotation_vector(a[:3, :3].T @ b[:3, :3])))


def distance(a: Pose, b: Pose) -> float:
    """Distance between two origins [m]."""
    return float(np.linalg.norm(a[:3, 3] - b[:3, 3]))


def skew(vectors: ArrayLike) -> NDArray[np.float64]:
    """(..., 3) vectors to (..., 3, 3) cross-product matrices."""
    v = np.asarray(vectors, np.float64)
    matrix = np.zeros((*v.shape, 3))
    matrix[..., 0, 1], matrix[..., 0, 2] = -v[..., 2], v[..., 1]
    matrix[..., 1, 0], matrix[..., 1, 2] = v[..., 2], -v[..., 0]
    matrix[..., 2, 0], matrix[..., 2, 1] = -v[..., 1], v[..., 0]
    return matrix


def cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cross products of (..., 3), without what numpy's own spends on small arrays."""
    product = np.empty(np.broadcast_shapes(a.shape, b.shape))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        product[..., i] = a[..., j] * b[..., k] - a[..., k] * b[..., j]
    return product


def perturb(pose: Pose, delta: ArrayLike) -> Pose:
    """Move a pose by (6,) [dx dy dz, rx ry rz] along and about the fixed axes of its parent frame.

    This is the error that a geometry_msgs/PoseWithCovariance speaks of.
    """
    d = np.asarray(delta, np.float64)
    return make(rotation_from_vector(d[3:]) @ pose[:3, :3], pose[:3, 3] + d[:3])


def difference(pose: Pose, reference: Pose) -> NDArray[np.float64]:
    """The (6,) delta with `perturb(reference, delta) == pose`."""
    rotation = rotation_vector(pose[:3, :3] @ reference[:3, :3].T)
    return np.concatenate([pose[:3, 3] - reference[:3, 3], rotation])


def rotate_covariance(covariance: NDArray[np.float64], a_b: Pose) -> NDArray[np.float64]:
    """The covariance of a pose given in frame b, with its axes turned into frame a."""
    turn = np.kron(np.eye(2), a_b[:3, :3])
    return np.asarray(turn @ covariance @ turn.T)
