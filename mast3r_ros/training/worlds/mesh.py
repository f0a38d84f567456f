# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rooms as textured quads: boxes in the frame of the thing they belong to, to vertices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Color = tuple[float, float, float]

# Floats of a vertex: position 3, normal 3, texture coordinate 2, layer, dark 3, light 3,
# recolor, glow.
VERTEX_FLOATS = 17
# The outward axis, the sign and the upward axis of a box's faces.
_FACES = ((0, 1, 2), (0, -1, 2), (1, 1, 2), (1, -1, 2), (2, 1, 1), (2, -1, 1))


@dataclass(frozen=True)
class Material:
    """What covers a surface.

    Attributes:
        layer: of the texture library.
        size: width and height that the texture covers [m]; (0, 0) stretches it over the face.
        dark, light: the colors that black and white of the texture become, as far as
        recolor: says, 0 (the texture's own colors) to 1.
        glow: 1 for what shines by itself, 0 for what is lit.
    """

    layer: int
    size: tuple[float, float]
    dark: Color = (0.0, 0.0, 0.0)
    light: Color = (1.0, 1.0, 1.0)
    recolor: float = 0.0
    glow: float = 0.0

    def row(self) -> tuple[float, ...]:
        """As the numbers of a vertex, after the texture's size."""
        return (*self.size, self.layer, *self.dark, *self.light, self.recolor, self.glow)


class Mesh:
    """Collects boxes and curved surfaces. World frame: z up, meters."""

    def __init__(self) -> None:
        self._boxes: list[tuple[float, ...]] = []
        self._grids: list[NDArray[np.float32]] = []
        self._bounds: list[tuple[float, ...]] = []
        self._origin = (0.0, 0.0, 0.0)
        self._yaw = 0.0

    @contextmanager
    def at(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> Iterator[None]:
        """Within, boxes are given in a frame that stands there, turned about z [rad]."""
        before = self._origin, self._yaw
        (x0, y0, z0), yaw0 = before
        c, s = np.cos(yaw0), np.sin(yaw0)
        self._origin = (x0 + c * x - s * y, y0 + s * x + c * y, z0 + z)
        self._yaw = yaw0 + yaw
        yield
        self._origin, self._yaw = before

    def box(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        z: tuple[float, float],
        material: Material,
        top: Material | None = None,
    ) -> None:
        """A box between two values on each axis; `top` covers its upper and lower face."""
        self._boxes.append(
            (*self._origin, self._yaw, *x, *y, *z, *material.row(), *(top or material).row())
        )

    def drum(
        self, x: float, y: float, z: tuple[float, float], radius: float, material: Material
    ) -> None:
        """A prism of eight sides about an upright axis: four boxes whose edges meet."""
        long, short = radius * np.cos(np.pi / 8), radius * np.sin(np.pi / 8)
        for i in range(4):
            with self.at(x, y, 0.0, i * np.pi / 4):
                self.box((-long, long), (-short, short), z, material)

    def grid(self, points: NDArray[np.float64], material: Material, thin: bool = False) -> None:
        """A curved surface through (R, C, 3) points of the present frame.

        It is seen from where rows run down and columns run to the right; a `thin` one from behind
        as well.
        """
        c, s = np.cos(self._yaw), np.sin(self._yaw)
        turned = points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + self._origin
        self._grids.append(_grid_vertices(turned, material))
        if thin:
            self._grids.append(_grid_vertices(turned[:, ::-1], material))

    def occupy(
        self, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]
    ) -> None:
        """Keep a box of the present frame free of cameras and dark on the floor: it is not seen."""
        self._bounds.append((*self._origin, self._yaw, *x, *y, *z))

    def solids(self) -> NDArray[np.float64]:
        """Boxes as (N, 10): the frame's x, y, z, yaw, and low and high x, y, z in it."""
        return np.array([*(box[:10] for box in self._boxes), *self._bounds]).reshape(-1, 10)

    def vertices(self) -> NDArray[np.float32]:
        """(4 N, VERTEX_FLOATS): four corners a quad, as a strip."""
        if not self._boxes:
            return np.concatenate([np.empty((0, VERTEX_FLOATS), np.float32), *self._grids])
        corner, right, down, rows = self._box_quads()
        width = np.linalg.norm(right, axis=1)
        height = np.linalg.norm(down, axis=1)
        normal = np.cross(down, right) / np.maximum(width * height, 1e-12)[:, None]
        out = np.empty((len(corner), 4, VERTEX_FLOATS), np.float32)
        # Textures hang in the world, so that they go on across the pieces of a wall.
        size = np.where(rows[:, :2] > 0, rows[:, :2], np.stack([width, height], 1) + 1e-12)
        origin = np.stack(
            [
                np.einsum("ni,ni->n", corner, right) / np.maximum(width, 1e-12),
                np.einsum("ni,ni->n", corner, down) / np.maximum(height, 1e-12),
            ],
            1,
        )
        origin = np.where(rows[:, :2] > 0, origin, 0)
        for i, (a, b) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
            out[:, i, :3] = corner + a * right + b * down
            out[:, i, 6] = (origin[:, 0] + a * width) / size[:, 0]
            out[:, i, 7] = (origin[:, 1] + b * height) / size[:, 1]
        out[:, :, 3:6] = normal[:, None]
        out[:, :, 8:] = rows[:, None, 2:]
        return np.concatenate([out.reshape(-1, VERTEX_FLOATS), *self._grids])

    def _box_quads(self) -> tuple[NDArray[np.float64], ...]:
        boxes = np.array(self._boxes, np.float64).reshape(-1, 32)
        c, s = np.cos(boxes[:, 3]), np.sin(boxes[:, 3])
        zero, one = np.zeros_like(c), np.ones_like(c)
        axes = np.stack([c, s, zero, -s, c, zero, zero, zero, one], 1).reshape(-1, 3, 3)
        low, high = boxes[:, 4:10:2], boxes[:, 5:10:2]
        center = boxes[:, :3] + np.einsum("ni,nij->nj", (low + high) / 2, axes)
        # Each axis as a vector of half the box's length along it.
        axes = axes * ((high - low) / 2)[:, :, None]
        corner, right, down, rows = [], [], [], []
        for out, sign, up in _FACES:
            across = 3 - out - up
            # right = up x normal
            turn = sign if (out - up) % 3 == 1 else -sign
            r = turn * axes[:, across]
            corner.append(center + sign * axes[:, out] + axes[:, up] - r)
            right.append(2 * r)
            down.append(-2 * axes[:, up])
            rows.append(boxes[:, 10:21] if out < 2 else boxes[:, 21:32])
        return tuple(np.concatenate(part) for part in (corner, right, down, rows))


def _grid_vertices(points: NDArray[np.float64], material: Material) -> NDArray[np.float32]:
    """Quads between (R, C, 3) points, with normals that go smoothly from one to the next."""
    corners = (np.s_[:-1, :-1], np.s_[:-1, 1:], np.s_[1:, :-1], np.s_[1:, 1:])
    falling, rising = points[1:, 1:] - points[:-1, :-1], points[1:, :-1] - points[:-1, 1:]
    faces = np.empty_like(falling)
    # As np.cross, which takes longer than the product itself on grids this small.
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        faces[..., i] = rising[..., j] * falling[..., k] - rising[..., k] * falling[..., j]
    normal = np.zeros_like(points)
    for corner in corners:
        normal[corner] += faces
    if np.abs(points[:, 0] - points[:, -1]).max() < 1e-6:
        # Closed: no seam.
        normal[:, 0] += normal[:, -1]
        normal[:, -1] = normal[:, 0]
    normal /= np.sqrt((normal * normal).sum(-1, keepdims=True)) + 1e-12
    rows, columns = points.shape[:2]
    full = np.empty((rows, columns, VERTEX_FLOATS), np.float32)
    full[..., :3], full[..., 3:6] = points, normal
    across, along = (_length(points[rows // 2]), _length(points[:, 0]))
    width, height = material.size if material.size[0] else (across, along)
    full[..., 6] = np.arange(columns) * (across / width / (columns - 1) if width else 0.0)
    full[..., 7] = np.arange(rows)[:, None] * (along / height / (rows - 1) if height else 0.0)
    full[..., 8:] = material.row()[2:]
    return np.stack([full[corner] for corner in corners], 2).reshape(-1, VERTEX_FLOATS)


def _length(path: NDArray[np.float64]) -> float:
    """Of a path of (N, 3) points."""
    step = path[1:] - path[:-1]
    return float(np.sqrt((step * step).sum(1)).sum())


def indices(vertices: int) -> NDArray[np.int32]:
    """The two triangles of each of a mesh's quads, front sides counter-clockwise."""
    first = np.arange(0, vertices, 4, dtype=np.int32)[:, None]
    return np.asarray((first + np.array([0, 2, 1, 1, 2, 3], np.int32)).ravel(), np.int32)
