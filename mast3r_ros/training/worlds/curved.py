# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Curved surfaces as grids of points for `Mesh.grid`: rows run down, columns to the right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]


def lathe(profile: ArrayLike, sides: int = 9, squeeze: float = 1.0) -> Points:
    """A profile turned about an upright axis.

    Args:
        profile: (R, 2) radius and height [m], from the top down.
        sides: of the polygon that stands for a circle.
        squeeze: depth over width.

    Returns:
        (R, sides + 1, 3) points [m].
    """
    radius, height = np.asarray(profile, np.float64).T[:, :, None]
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    x, y = radius * np.cos(angle), squeeze * radius * np.sin(angle)
    return np.stack([x, y, np.broadcast_to(height, x.shape)], -1)


def ball(radius: float, height: float | None = None, sides: int = 9, rings: int = 5) -> Points:
    """A ball, or an ellipsoid of another height, that stands on z = 0."""
    half = (2 * radius if height is None else height) / 2
    angle = np.linspace(0, np.pi, rings + 1)
    return lathe(np.column_stack([radius * np.sin(angle), half * (1 + np.cos(angle))]), sides)


def tube(path: ArrayLike, radius: ArrayLike, sides: int = 6) -> Points:
    """A tube about a path.

    Args:
        path: (N, 3) points [m].
        radius: of the tube, one or (N,) [m].
        sides: of the polygon that stands for a circle.

    Returns:
        (N, sides + 1, 3) points [m].
    """
    line = np.asarray(path, np.float64)
    way = np.gradient(line, axis=0)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    # A direction that the path does not take, nor any part of it that follows an axis.
    least = np.eye(3)[np.abs(way).mean(0).argmin()] + (0.031, 0.017, 0.023)
    first = np.cross(way, least)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(way, first)
    angle = np.linspace(0, 2 * np.pi, sides + 1)[None, :, None]
    wide = np.broadcast_to(np.asarray(radius, np.float64), len(line))[:, None, None]
    around = np.sin(angle) * first[:, None] + np.cos(angle) * second[:, None]
    return np.asarray(line[:, None] + wide * around)


def arc(start: ArrayLike, end: ArrayLike, sag: ArrayLike, count: int = 6) -> Points:
    """A path (count, 3) from one point to another, pulled aside by `sag` (3,) in its middle [m]."""
    t = np.linspace(0, 1, count)[:, None]
    first, last = np.asarray(start, np.float64), np.asarray(end, np.float64)
    return np.asarray(first + t * (last - first) + 4 * t * (1 - t) * np.asarray(sag, np.float64))


def blade(length: float, width: float, rise: float, droop: float, count: int = 3) -> Points:
    """A leaf that grows along x from the origin, rises and bows down, (count + 1, 3, 3) [m]."""
    t = np.linspace(0, 1, count + 1)
    wide = width * np.sin(np.pi * np.clip(0.12 + 0.85 * t, 0, 1))
    along = np.stack([length * t, np.zeros_like(t), rise * t - droop * t * t], 1)
    across = np.array([-0.5, 0.0, 0.5])
    points = along[:, None] + np.zeros((1, 3, 1))
    points[..., 1] += wide[:, None] * across
    # Folded along its middle.
    points[..., 2] += 0.3 * wide[:, None] * np.abs(across)
    return points


def sheet(
    rng: np.random.Generator, width: float, length: float, folds: float, count: int = 7
) -> Points:
    """Cloth hung down from z = 0 along x, its folds as deep as `folds`, (count, count + 3, 3)."""
    x = np.linspace(0, width, count + 3)
    z = np.linspace(0, -length, count)[:, None]
    waves = rng.uniform(1, 3) * np.pi * x / max(width, 0.1) * rng.uniform(1, 3)
    y = folds * np.sin(waves + rng.uniform(0, 6) + 0.6 * z) * (0.4 - 0.6 * z / length)
    return np.stack([x + 0 * z, y, z + 0 * x + 0.1 * folds * np.cos(waves)], -1)
