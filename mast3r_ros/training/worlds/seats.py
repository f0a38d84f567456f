# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Chairs, stools and round tables on thin legs."""

from __future__ import annotations

import numpy as np

from mast3r_ros.training.worlds import curved
from mast3r_ros.training.worlds.items import Item, Rng
from mast3r_ros.training.worlds.mesh import Material, Mesh
from mast3r_ros.training.worlds.palette import Palette


def side_chair(rng: Rng, palette: Palette) -> Item:
    """A chair of bent tubes with a shell or a cushion, its seat 0.45 m high."""
    frame, seat = palette.draw("metal"), _cover(rng, palette)
    thin, back = rng.uniform(0.008, 0.014), rng.uniform(0.75, 0.95)

    def draw(mesh: Mesh) -> None:
        with mesh.at(0.25, 0.25):
            _legs(mesh, frame, 0.2, 0.44, thin)
            mesh.occupy((-0.2, 0.2), (-0.2, 0.2), (0, 0.46))
            mesh.grid(_cushion(0.21, 0.05, 0.43), seat)
            for x in (-0.18, 0.18):
                post = [(x, -0.19, 0.42), (x, -0.21, 0.65), (x, -0.25, back)]
                mesh.grid(curved.tube(post, thin, 5), frame)
            _back(mesh, seat, back)

    return Item(0.5, 0.5, 0.5, draw)


def office_chair(rng: Rng, palette: Palette) -> Item:
    """A chair on a column with five feet."""
    frame, seat = palette.plain(0.02, 0.35, 0.1), _cover(rng, palette)
    turn, high = rng.uniform(0, 2 * np.pi), rng.uniform(0.42, 0.55)
    back = high + rng.uniform(0.4, 0.65)

    def draw(mesh: Mesh) -> None:
        with mesh.at(0.35, 0.35, 0, turn):
            for angle in 2 * np.pi * np.arange(5) / 5:
                x, y = 0.3 * np.cos(angle), 0.3 * np.sin(angle)
                mesh.grid(curved.tube([(0, 0, 0.12), (x, y, 0.06)], (0.025, 0.018), 5), frame)
                with mesh.at(x, y):
                    mesh.grid(curved.ball(0.03, 0.06, 6, 4), frame)
            mesh.grid(curved.tube([(0, 0, high), (0, 0, 0.1)], 0.025, 6), frame)
            mesh.grid(_cushion(0.25, 0.08, high), seat)
            mesh.occupy((-0.25, 0.25), (-0.25, 0.25), (0, high + 0.1))
            spine = [(0, -0.2, high), (0, -0.28, high + 0.15), (0, -0.26, back - 0.1)]
            mesh.grid(curved.tube(spine, 0.02, 5), frame)
            _back(mesh, seat, back, 0.24, 0.45)
            if rng.random() < 0.6:
                for side in (-1, 1):
                    rest = np.array([(0.27, -0.1, high), (0.29, -0.05, high + 0.2)])
                    rest = np.concatenate([rest, [(0.29, 0.15, high + 0.21)]]) * (side, 1, 1)
                    mesh.grid(curved.tube(rest, 0.02, 5), frame)

    return Item(0.7, 0.7, 0.5, draw)


def stool(rng: Rng, palette: Palette) -> Item:
    """A round seat on thin legs, 0.4 to 0.8 m high."""
    high, wide = rng.uniform((0.4, 0.14), (0.8, 0.2))
    frame, seat = palette.draw("metal"), _cover(rng, palette)

    def draw(mesh: Mesh) -> None:
        with mesh.at(0.25, 0.25):
            _legs(mesh, frame, wide, high, 0.01)
            disc = [(0.0, high + 0.04), (wide, high + 0.03), (wide, high), (0.0, high - 0.01)]
            mesh.grid(curved.lathe(disc, 11), seat)
            mesh.occupy((-wide, wide), (-wide, wide), (0, high))

    return Item(0.5, 0.5, 0.4, draw)


def round_table(rng: Rng, palette: Palette) -> Item:
    """A round table on one column or on thin legs."""
    wide, high = rng.uniform((0.3, 0.45), (0.65, 0.76))
    frame, top = palette.draw("metal"), palette.draw("wood")

    def draw(mesh: Mesh) -> None:
        with mesh.at(wide, wide):
            disc = [(0.0, high), (wide, high), (wide, high - 0.03), (0.0, high - 0.03)]
            mesh.grid(curved.lathe(disc, 16), top)
            # Round, but what stands on it needs a flat top.
            half = 0.68 * wide
            mesh.occupy((-half, half), (-half, half), (high - 0.03, high))
            if rng.random() < 0.5:
                foot = [(0.03, high - 0.03), (0.03, 0.05), (0.6 * wide, 0.0)]
                mesh.grid(curved.lathe(foot), frame)
            else:
                _legs(mesh, frame, 0.7 * wide, high - 0.03, 0.015)

    return Item(2 * wide, 2 * wide, high, draw)


def _legs(mesh: Mesh, frame: Material, half: float, high: float, thin: float) -> None:
    """Four legs that spread a little."""
    for x in (-half, half):
        for y in (-half, half):
            mesh.grid(curved.tube([(0.85 * x, 0.85 * y, high), (x, y, 0)], thin, 5), frame)


def _cushion(half: float, thick: float, z: float) -> curved.Points:
    profile = [(0.0, thick), (0.8 * half, thick), (half, 0.6 * thick), (half, 0.2 * thick)]
    profile += [(0.9 * half, 0.0), (0.0, 0.0)]
    return curved.lathe(np.array(profile) + np.array([0.0, z]), 12)


def _back(mesh: Mesh, cover: Material, top: float, half: float = 0.2, high: float = 0.32) -> None:
    """A back rest, bowed about an upright axis."""
    x = np.linspace(-half, half, 5)
    z = top - np.linspace(0, high, 4)[:, None]
    y = -0.25 + 0.06 * (x / half) ** 2 + 0.02 * np.sin(8 * z)
    mesh.grid(np.stack([x + 0 * z, y, z + 0 * x], -1)[:, ::-1], cover, thin=True)


def _cover(rng: Rng, palette: Palette) -> Material:
    kinds = ("cloth", "wood")
    return palette.plain() if rng.random() < 0.4 else palette.draw(kinds[rng.integers(2)])
