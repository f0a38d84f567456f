# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plants of blades and twigs, from a pot on a desk to a tree."""

from __future__ import annotations

import numpy as np

from mast3r_ros.training.worlds import curved
from mast3r_ros.training.worlds.items import Item, Rng
from mast3r_ros.training.worlds.mesh import Material, Mesh
from mast3r_ros.training.worlds.palette import Palette


def pot_plant(rng: Rng, palette: Palette) -> Item:
    """A pot with blades that grow out of its middle, or with leaves along some twigs."""
    size = rng.uniform(0.3, 1.8)
    wide = 0.12 + 0.08 * size
    pot, leaf, twig = palette.plain(0.15, 0.9, 0.6), palette.draw("leaf"), palette.draw("wood")

    def draw(mesh: Mesh) -> None:
        high = 0.12 + 0.15 * size
        with mesh.at(0.25, 0.25):
            mesh.occupy((-wide, wide), (-wide, wide), (0, 0.5 + 0.6 * size))
            rim = [(0.0, 0.9 * high), (0.9 * wide, 0.9 * high), (wide, high), (0.7 * wide, 0.0)]
            mesh.grid(curved.lathe(rim), pot)
            if rng.random() < 0.5:
                grow(mesh, rng, leaf, high, size)
                return
            for _ in range(int(rng.integers(2, 6))):
                end = np.append(rng.uniform(-0.35, 0.35, 2) * size, high + size * rng.random())
                path = curved.arc((0, 0, high), end, (0, 0, 0.1 * size), 4)
                mesh.grid(curved.tube(path, 0.012, 4), twig)
                for point in np.repeat(path[1:], 3, axis=0):
                    _leaf(mesh, rng, leaf, point, 0.12 + 0.1 * size)

    return Item(0.5, 0.5, 0.6, draw)


def grow(mesh: Mesh, rng: Rng, leaf: Material, high: float, size: float) -> None:
    """Long blades out of one place."""
    for _ in range(int(rng.integers(8, 22))):
        length = size * rng.uniform(0.3, 0.7)
        rise, droop = size * rng.uniform(0.3, 1.0), size * rng.uniform(0.1, 0.7)
        with mesh.at(0, 0, high, rng.uniform(0, 2 * np.pi)):
            mesh.grid(curved.blade(length, rng.uniform(0.02, 0.07), rise, droop), leaf, thin=True)


def tree(rng: Rng, palette: Palette) -> Item:
    """A tree of 3 to 8 m: a trunk, boughs, and a crown of large leaves that stand for many."""
    high = rng.uniform(3.0, 8.0)
    bark, leaf = palette.draw("wood"), palette.draw("leaf")

    def draw(mesh: Mesh) -> None:
        trunk = 0.04 * high
        mesh.occupy((-trunk, trunk), (-trunk, trunk), (0, 0.5 * high))
        lean = np.append(rng.uniform(-0.05, 0.05, 2) * high, 0)
        path = curved.arc((0, 0, 0), np.append(lean[:2], 0.7 * high), lean, 5)
        mesh.grid(curved.tube(path[::-1], np.linspace(0.5, 1, 5) * trunk, 7), bark)
        for _ in range(int(rng.integers(5, 10))):
            start = path[rng.integers(2, 5)]
            end = start + np.append(rng.uniform(-0.3, 0.3, 2), rng.uniform(0.05, 0.3)) * high
            mesh.grid(curved.tube([end, (start + end) / 2, start], 0.25 * trunk, 4), bark)
            for _ in range(12):
                at = start + (end - start) * rng.uniform(0.4, 1.1)
                _leaf(mesh, rng, leaf, at + rng.normal(0, 0.04 * high, 3), 0.09 * high)

    return Item(1.0, 1.0, high, draw)


def bush(mesh: Mesh, rng: Rng, palette: Palette) -> None:
    """A round bush, ragged."""
    wide, high = rng.uniform((0.3, 0.4), (0.9, 1.5))
    shape = curved.ball(wide, high, 12, 7)
    shape *= 1 + 0.12 * rng.standard_normal((*shape.shape[:2], 1))
    shape[:, -1] = shape[:, 0]
    mesh.grid(shape, palette.draw("leaf"))
    mesh.occupy((-wide, wide), (-wide, wide), (0, high))


def _leaf(
    mesh: Mesh, rng: Rng, leaf: Material, at: np.typing.NDArray[np.float64], size: float
) -> None:
    x, y, z = at.tolist()
    with mesh.at(x, y, z, rng.uniform(0, 2 * np.pi)):
        length = size * rng.uniform(0.6, 1.2)
        rise = length * rng.uniform(-0.6, 0.6)
        mesh.grid(curved.blade(length, 0.5 * length, rise, 0.3 * length, 2), leaf, thin=True)
