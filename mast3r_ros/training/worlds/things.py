# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Small round things that people leave on tables and floors, drawn at the origin of a frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mast3r_ros.training.worlds import curved
from mast3r_ros.training.worlds.mesh import Mesh
from mast3r_ros.training.worlds.palette import Palette

Rng = np.random.Generator


def bottle(mesh: Mesh, rng: Rng, palette: Palette) -> None:
    """A bottle of 0.18 to 0.33 m with a label."""
    high, wide = rng.uniform((0.18, 0.03), (0.33, 0.045))
    neck = rng.uniform(0.25, 0.45)
    profile = [(0.0, high), (neck * wide, high), (neck * wide, 0.78 * high)]
    profile += [(wide, rng.uniform(0.55, 0.68) * high), (wide, 0.01), (0.8 * wide, 0.0)]
    mesh.grid(curved.lathe(profile), palette.plain(0.05, 0.9, 0.8))
    label = [(1.02 * wide, 0.45 * high), (1.02 * wide, 0.15 * high)]
    mesh.grid(curved.lathe(label), palette.draw("box"))


def cup(mesh: Mesh, rng: Rng, palette: Palette) -> None:
    """A cup or a mug of 0.07 to 0.12 m with a handle."""
    high, wide = rng.uniform((0.07, 0.035), (0.12, 0.045))
    foot = rng.uniform(0.6, 1.0) * wide
    paint = palette.plain(0.2, 1.0, 0.6)
    inside = [(0.9 * wide, high), (0.85 * foot, 0.2 * high), (0.0, 0.15 * high)]
    mesh.grid(curved.lathe([(wide, high), (wide, 0.6 * high), (foot, 0.0)]), paint)
    mesh.grid(curved.lathe(inside)[:, ::-1], palette.plain(0.1, 1.0, 0.2))
    mesh.grid(curved.lathe([(0.9 * wide, high + 1e-3), (wide, high)]), paint)
    path = curved.arc((wide, 0, 0.8 * high), (0.95 * wide, 0, 0.25 * high), (0.03, 0, 0))
    mesh.grid(curved.tube(path, 0.006, 5), paint)


def bowl(mesh: Mesh, rng: Rng, palette: Palette) -> None:
    """A bowl, here and there with fruit."""
    wide, high = rng.uniform((0.08, 0.05), (0.18, 0.1))
    angle = np.linspace(np.pi / 2, 0.25, 5)
    profile = np.column_stack([wide * np.sin(angle), high * (1 - np.cos(angle))])
    mesh.grid(curved.lathe(profile, 11), palette.plain(0.1, 1.0, 0.5), thin=True)
    for _ in range(int(rng.integers(0, 5))):
        x, y = rng.uniform(-0.45, 0.45, 2) * wide
        with mesh.at(x, y, rng.uniform(0.2, 0.6) * high):
            mesh.grid(curved.ball(rng.uniform(0.03, 0.045)), palette.plain(0.2, 0.9, 0.9))


def sphere(mesh: Mesh, rng: Rng, palette: Palette) -> None:
    """A ball or a balloon of 0.06 to 0.24 m."""
    radius = rng.uniform(0.03, 0.12)
    paint = palette.draw("cloth") if rng.random() < 0.4 else palette.plain(0.1, 0.95, 0.8)
    mesh.grid(curved.ball(radius, radius * rng.uniform(1.4, 2.3), 10, 6), paint)


def vase(mesh: Mesh, rng: Rng, palette: Palette) -> None:
    """A vase of any profile, here and there with twigs."""
    high, wide = rng.uniform((0.12, 0.04), (0.4, 0.1))
    heights = np.linspace(high, 0, 6)
    radius = wide * np.clip(rng.uniform(0.4, 1.0, 6), 0.3, 1.0)
    paint = palette.draw("stone") if rng.random() < 0.3 else palette.plain(0.05, 0.95, 0.6)
    mesh.grid(curved.lathe(np.column_stack([radius, heights])), paint, thin=True)
    twig, leaf = palette.plain(0.1, 0.4, 0.4), palette.draw("leaf")
    for _ in range(int(rng.integers(0, 6))):
        x, y = rng.uniform(-0.15, 0.15, 2)
        top = high + rng.uniform(0.1, 0.35)
        path = [(0, 0, 0.1), (0.4 * x, 0.4 * y, 0.8 * top), (x, y, top)]
        mesh.grid(curved.tube(path, 0.003, 3), twig)
        with mesh.at(x, y, top, rng.uniform(0, 6)):
            mesh.grid(curved.blade(0.09, 0.05, 0.04, 0.05, 2), leaf, thin=True)


def desk_lamp(mesh: Mesh, rng: Rng, palette: Palette) -> None:
    """A lamp with a foot, a bent arm and a shade."""
    high, out = rng.uniform((0.3, 0.0), (0.5, 0.25))
    paint = palette.plain(0.05, 0.95, 0.6)
    mesh.grid(curved.lathe([(0.0, 0.02), (0.08, 0.02), (0.09, 0.0)]), paint)
    arm = curved.arc((0, 0, 0.02), (out, 0, high), (-0.5 * out, 0, 0.05))
    mesh.grid(curved.tube(arm, 0.008, 5), paint)
    with mesh.at(out, 0, high - 0.1):
        shade = curved.lathe([(0.03, 0.12), (0.1, 0.0)])
        mesh.grid(shade, palette.glowing("cloth", rng.uniform(0, 0.9)), thin=True)


def rag(mesh: Mesh, rng: Rng, palette: Palette) -> None:
    """A heap of cloth: clothes, a towel, a bag."""
    wide, high = rng.uniform((0.12, 0.05), (0.3, 0.2))
    heap = curved.ball(wide, 2 * high, 12, 6)
    heap *= 1 + 0.2 * rng.standard_normal((*heap.shape[:2], 1))
    heap[:, -1] = heap[:, 0]
    heap[..., 2] = np.maximum(heap[..., 2] - high, 0.0)
    mesh.grid(heap, palette.draw("cloth"))


def carton(mesh: Mesh, rng: Rng, palette: Palette) -> None:
    """A package."""
    w, d, h = rng.uniform((0.08, 0.05, 0.04), (0.35, 0.25, 0.3))
    mesh.box((-w / 2, w / 2), (-d / 2, d / 2), (0, h), palette.draw("box"))


def papers(mesh: Mesh, rng: Rng, palette: Palette) -> None:
    """A sheet of paper, a magazine, or a pile of books."""
    top = 0.0
    for _ in range(int(rng.integers(1, 6))):
        w, d, h = rng.uniform((0.12, 0.18, 0.002), (0.22, 0.3, 0.04))
        cover = palette.draw("page") if rng.random() < 0.5 else palette.plain(0.1, 0.95, 0.7)
        with mesh.at(0, 0, top, rng.uniform(-0.4, 0.4)):
            mesh.box((-w / 2, w / 2), (-d / 2, d / 2), (0, h), palette.plain(0.7, 1.0, 0.1), cover)
        top += h


THINGS: tuple[Callable[[Mesh, Rng, Palette], None], ...] = (
    bottle,
    cup,
    bowl,
    sphere,
    vase,
    desk_lamp,
    rag,
    carton,
    papers,
)
