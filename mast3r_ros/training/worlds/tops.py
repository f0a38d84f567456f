# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Clutter at the density of people: things on whatever has a top, and on the floor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.training.worlds.mesh import Mesh
from mast3r_ros.training.worlds.palette import Palette
from mast3r_ros.training.worlds.things import THINGS

Rng = np.random.Generator

# Heights of tops that people put things on, their least side and the room that a thing needs [m].
_HEIGHTS = (0.25, 1.6)
_LEAST_SIDE = 0.12
_ROOM = 0.12
_MOST = 7  # things on one top


def clutter(rng: Rng, palette: Palette, furniture: Mesh, density: float) -> Mesh:
    """Things on the tops of a piece of furniture.

    Args:
        furniture: in the world; its boxes tell where tops are.
        density: things for each square meter.
    """
    mesh, solids = Mesh(), furniture.solids()
    for x, y, z, yaw, x0, x1, y0, y1, _, z1 in solids:
        high = z + z1
        if not _HEIGHTS[0] < high < _HEIGHTS[1] or min(x1 - x0, y1 - y0) < _LEAST_SIDE:
            continue
        count = min(_MOST, int(rng.poisson(density * (x1 - x0) * (y1 - y0))))
        for _ in range(count):
            at = rng.uniform((x0 + 0.04, y0 + 0.04), (x1 - 0.04, y1 - 0.04))
            c, s = np.cos(yaw), np.sin(yaw)
            spot = np.array([x + c * at[0] - s * at[1], y + s * at[0] + c * at[1], high])
            if is_clear(solids, spot):
                put(mesh, rng, palette, spot)
    return mesh


def put(mesh: Mesh, rng: Rng, palette: Palette, spot: NDArray[np.float64]) -> None:
    """Any thing at a place (3,), turned anyhow."""
    with mesh.at(spot[0], spot[1], spot[2], rng.uniform(0, 2 * np.pi)):
        THINGS[rng.integers(len(THINGS))](mesh, rng, palette)


def is_clear(solids: NDArray[np.float64], spot: NDArray[np.float64]) -> bool:
    """Whether nothing stands right over a place (3,)."""
    c, s = np.cos(solids[:, 3]), np.sin(solids[:, 3])
    d = spot - solids[:, :3]
    local = np.stack([c * d[:, 0] + s * d[:, 1], c * d[:, 1] - s * d[:, 0]], 1)
    over = ((local > solids[:, 4:8:2]) & (local < solids[:, 5:8:2])).all(1)
    low, high = solids[:, 2] + solids[:, 8], solids[:, 2] + solids[:, 9]
    return not bool((over & (low < spot[2] + _ROOM) & (high > spot[2] + 0.01)).any())
