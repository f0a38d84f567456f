# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Thin things: cables on floors, along walls and down from ceilings, pipes, bare frames."""

from __future__ import annotations

import numpy as np

from mast3r_ros.training.worlds import curved
from mast3r_ros.training.worlds.mesh import Mesh
from mast3r_ros.training.worlds.palette import Palette

Rng = np.random.Generator


def floor_cable(mesh: Mesh, rng: Rng, palette: Palette, size: tuple[float, float]) -> None:
    """A cable that winds over the floor."""
    width, depth = size
    free = np.array([width, depth]) - 0.1
    step = np.cumsum(rng.normal(0, 0.35, (9, 2)), axis=0) + rng.uniform((0.0, 0.0), free)
    # Thrown back by the walls.
    spot = 0.05 + free - np.abs(step % (2 * free) - free)
    path = np.column_stack([spot, np.full(9, 0.006)])
    mesh.grid(curved.tube(path, rng.uniform(0.004, 0.008), 4), palette.plain(0.02, 0.9, 0.5))


def wall_lines(
    mesh: Mesh, rng: Rng, palette: Palette, length: float, height: float, count: int
) -> None:
    """In a wall's frame: pipes and ducts along it, cables that hang down it, and its sockets."""
    for _ in range(count):
        kind, paint = rng.integers(4), palette.plain(0.05, 0.95, 0.3)
        x, z = rng.uniform(0.1, length - 0.1), rng.uniform(0.2, height - 0.1)
        if kind == 0:
            radius = rng.uniform(0.008, 0.05)
            ends = [(0.0, radius + 0.01, z), (length, radius + 0.01, z)]
            mesh.grid(curved.tube(ends, radius, 6), paint)
        elif kind == 1:
            path = curved.arc((x, 0.02, z), (x + rng.normal(0, 0.5), 0.02, 0.0), (0.1, 0.02, -0.1))
            mesh.grid(curved.tube(path, 0.005, 4), paint)
        elif kind == 2:
            radius = rng.uniform(0.01, 0.06)
            ends = [(x, radius + 0.01, height), (x, radius + 0.01, 0.0)]
            mesh.grid(curved.tube(ends, radius, 6), paint)
        else:
            mesh.box((x, x + 0.08), (0, 0.012), (0.25, 0.33), paint)
            mesh.box((x, x + 0.08), (0, 0.012), (1.05, 1.13), paint)


def hanging_lamp(mesh: Mesh, rng: Rng, palette: Palette, at: tuple[float, float, float]) -> None:
    """A lamp on a cable from the ceiling at a place."""
    drop = rng.uniform(0.2, 0.25 * at[2])
    wide, high = rng.uniform((0.1, 0.1), (0.3, 0.3))
    with mesh.at(*at):
        mesh.grid(curved.tube([(0, 0, 0), (0, 0, -drop)], 0.005, 4), palette.plain(0.02, 0.9, 0.1))
        with mesh.at(0, 0, -drop - high):
            profile = [(0.02, high), (rng.uniform(0.5, 1.0) * wide, 0.6 * high), (wide, 0.0)]
            shade = palette.glowing("cloth", rng.uniform(0.2, 1.0))
            mesh.grid(curved.lathe(profile, 10), shade, thin=True)


def fence(mesh: Mesh, rng: Rng, palette: Palette, length: float) -> None:
    """Along x from the origin: posts and bars one can see through."""
    metal, high = palette.draw("metal"), rng.uniform(0.8, 2.0)
    step = rng.uniform(0.12, 0.3)
    for x in np.arange(0, length, step):
        mesh.box((x, x + 0.015), (0, 0.015), (0, high), metal)
    for z in (0.15, high - 0.05):
        mesh.box((0, length), (-0.005, 0.02), (z, z + 0.04), metal)
