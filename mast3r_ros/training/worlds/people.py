# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""People's silhouettes: limbs, trunk and head of usual sizes, standing, walking or sitting."""

from __future__ import annotations

import numpy as np

from mast3r_ros.training.worlds import curved
from mast3r_ros.training.worlds.items import Item, Rng
from mast3r_ros.training.worlds.mesh import Material, Mesh
from mast3r_ros.training.worlds.palette import Palette

# Skin, from dark to light (RGB).
_SKIN = ((0.28, 0.17, 0.12), (0.95, 0.78, 0.68))


def person(rng: Rng, palette: Palette) -> Item:
    """Someone of 1.5 to 1.95 m who looks along +y; one in four sits on something 0.45 m high."""
    tall = rng.uniform(1.5, 1.95)
    skin = _skin(rng, palette)
    top, legs = (
        palette.draw("cloth") if rng.random() < 0.6 else palette.plain(0.05, 0.9, 0.7)
        for _ in range(2)
    )
    hair, shoe = palette.plain(0.02, 0.5, 0.4), palette.plain(0.02, 0.9, 0.3)
    sits, stride = rng.random() < 0.25, rng.uniform(-0.25, 0.25)

    def draw(mesh: Mesh) -> None:
        hip = 0.5 if sits else 0.5 * tall
        with mesh.at(0.3, 0.3):
            mesh.occupy((-0.25, 0.25), (-0.25, 0.25), (0, hip + 0.5 * tall))
            for side in (-1, 1):
                x = 0.09 * side
                knee = np.array([x, 0.42, 0.5]) if sits else np.array([x, 0.03, 0.27 * tall])
                foot = np.array([x, 0.42 if sits else side * stride, 0.07])
                path = np.array([(x, 0.0, hip), knee, foot])
                mesh.grid(curved.tube(path, (0.095, 0.07, 0.055), 7), legs)
                sole = foot + np.array([(0, -0.06, -0.02), (0, 0.15, -0.03)])
                mesh.grid(curved.tube(sole, (0.05, 0.045), 5), shoe)
                hand = np.array([0.24 * side, rng.uniform(-0.1, 0.4), hip + rng.uniform(-0.1, 0.3)])
                shoulder = np.array([0.19 * side, 0.0, hip + 0.31 * tall])
                elbow = (hand + shoulder) / 2 + (0.06 * side, -0.08, 0)
                mesh.grid(curved.tube([shoulder, elbow, hand], (0.06, 0.045, 0.035), 6), top)
                with mesh.at(hand[0], hand[1], hand[2]):
                    mesh.grid(curved.ball(0.04, 0.1, 6, 4), skin)
            trunk = [(0.05, 0.35), (0.17, 0.32), (0.19, 0.24), (0.15, 0.1), (0.17, 0.0), (0, -0.05)]
            with mesh.at(0, 0, hip):
                mesh.grid(curved.lathe(np.array(trunk) * (1, tall), 9, 0.6), top)
            with mesh.at(0, 0.02, hip + 0.34 * tall):
                mesh.grid(curved.ball(0.085, 0.25, 8, 6), skin)
                with mesh.at(0, -0.02, 0.1):
                    mesh.grid(curved.ball(0.095, 0.17, 8, 5), hair)

    return Item(0.6, 0.6, 1.7, draw)


def _skin(rng: Rng, palette: Palette) -> Material:
    dark, light = (np.array(end, np.float32) for end in _SKIN)
    return palette.painted(dark + np.float32(rng.random()) * (light - dark))
