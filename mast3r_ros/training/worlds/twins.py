# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rooms that are alike but for the pictures on some cartons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.training.worlds import cameras
from mast3r_ros.training.worlds.mesh import Material, Mesh
from mast3r_ros.training.worlds.palette import Palette
from mast3r_ros.training.worlds.room import Room

Rng = np.random.Generator


def with_carton(room: Room, box: NDArray[np.float64], material: Material) -> Room:
    """The room with a carton between two corners, (2, 3) [m]."""
    mesh = Mesh()
    low, high = box
    mesh.box((low[0], high[0]), (low[1], high[1]), (low[2], high[2]), material)
    return replace(
        room,
        vertices=np.concatenate([room.vertices, mesh.vertices()]),
        solids=np.concatenate([room.solids, mesh.solids()]),
    )


def make_twins(rng: Rng, room: Room, palette: Palette, cartons: int) -> tuple[Room, Room]:
    """Two of the room, with cartons at the same places that show different pictures."""
    one = other = room
    for _ in range(cartons):
        side, height = rng.uniform(0.4, 0.6), rng.uniform(0.7, 1.2)
        spot = rng.uniform(0.5, room.size[:2] - 0.5)
        if not cameras.is_free(one, np.array([*spot, 0.6])):
            continue
        box = np.array([[*(spot - side / 2), 0.0], [*(spot + side / 2), height]])
        one = with_carton(one, box, palette.draw("picture"))
        other = with_carton(other, box, palette.draw("picture"))
    return one, other
