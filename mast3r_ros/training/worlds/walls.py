# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Walls with doors and windows in them, skirting, and what hangs on them.

A wall stands in a frame of its own: x along it, y into the room, z up; it lies behind y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mast3r_ros.training.worlds.mesh import Material, Mesh
from mast3r_ros.training.worlds.palette import Palette

Rng = np.random.Generator


@dataclass(frozen=True)
class Opening:
    """A hole in a wall: its extent along the wall and in height [m], and what is in it."""

    x: tuple[float, float]
    z: tuple[float, float]
    kind: str


@dataclass(frozen=True)
class Style:
    """What a room's walls and their doors and windows are made of."""

    wall: Material
    skirting: Material
    frame: Material
    door: Material
    thickness: float


def make_style(rng: Rng, palette: Palette) -> Style:
    """Draw what a room has in common."""
    paint = palette.plain(0.6, 1.0, 0.1) if rng.random() < 0.6 else palette.draw("wood")
    return Style(palette.draw("wall"), paint, paint, palette.draw("door"), rng.uniform(0.1, 0.35))


def make_openings(
    rng: Rng, length: float, height: float, doors: int, windows: int
) -> list[Opening]:
    """Doors of 0.8 to 1 by 2 m and windows, none over another."""
    openings: list[Opening] = []
    for i in range(doors + windows):
        if i < doors:
            width, low, high = rng.uniform((0.8, 0.0, 1.95), (1.0, 0.0, 2.1))
            kind = "door" if rng.random() < 0.75 else "passage"
        else:
            width, low, high = rng.uniform((0.6, 0.75, 1.9), (2.2, 1.05, 2.25))
            kind = "window"
        width, high = min(width, length - 0.6), min(high, height - 0.15)
        x = rng.uniform(0.3, max(0.31, length - 0.3 - width))
        if all(x > other.x[1] + 0.2 or x + width < other.x[0] - 0.2 for other in openings):
            openings.append(Opening((x, x + width), (low, high), kind))
    return sorted(openings, key=lambda opening: opening.x)


def build_wall(
    mesh: Mesh,
    rng: Rng,
    palette: Palette,
    style: Style,
    length: float,
    height: float,
    openings: list[Opening],
) -> None:
    """The wall in the mesh's present frame."""
    behind = (-style.thickness, 0.0)
    x = 0.0
    for opening in openings:
        (left, right), (low, high) = opening.x, opening.z
        mesh.box((x, left), behind, (0, height), style.wall)
        mesh.box((left, right), behind, (high, height), style.wall)
        if low:
            mesh.box((left, right), behind, (0, low), style.wall)
        x = right
    mesh.box((x, length), behind, (0, height), style.wall)
    _skirting(mesh, style, length, openings, rng.uniform(0.05, 0.15))
    for opening in openings:
        if opening.kind == "window":
            _window(mesh, rng, palette, style, opening)
        else:
            _door(mesh, rng, palette, style, opening)


def _skirting(
    mesh: Mesh, style: Style, length: float, openings: list[Opening], height: float
) -> None:
    x = 0.0
    for left, right in [opening.x for opening in openings if not opening.z[0]]:
        mesh.box((x, left - 0.06), (0, 0.012), (0, height), style.skirting)
        x = right + 0.06
    mesh.box((x, length), (0, 0.012), (0, height), style.skirting)


def _door(mesh: Mesh, rng: Rng, palette: Palette, style: Style, opening: Opening) -> None:
    (left, right), (_, high) = opening.x, opening.z
    mesh.box((left, right), (-style.thickness, 0), (-0.05, 0.002), style.frame)
    for x in (left - 0.06, right):
        mesh.box((x, x + 0.06), (0, 0.02), (0, high + 0.06), style.frame)
    mesh.box((left, right), (0, 0.02), (high, high + 0.06), style.frame)
    if opening.kind == "passage":
        _space_behind(mesh, rng, palette, style, opening)
        return
    inside = rng.uniform(-0.08, -0.03)
    mesh.box((left, right), (inside - 0.04, inside), (0.01, high), style.door)
    width = right - left
    if rng.random() < 0.5:
        for low, top in ((0.2, 0.9), (1.05, high - 0.15)):
            panel = (left + 0.15 * width, right - 0.15 * width)
            mesh.box(panel, (inside, inside + 0.012), (low, top), style.door)
    handle = palette.plain(0.2, 0.9, 0.1)
    x = left + 0.07
    mesh.box((x, x + 0.12), (inside + 0.04, inside + 0.055), (1.0, 1.02), handle)
    mesh.box((x, x + 0.02), (inside, inside + 0.05), (1.0, 1.02), handle)


def _space_behind(mesh: Mesh, rng: Rng, palette: Palette, style: Style, opening: Opening) -> None:
    """Some corridor, seen through an open door."""
    (left, right), (_, high) = opening.x, opening.z
    near = -style.thickness
    far, low, top = (
        near - rng.uniform(1.0, 4.0),
        left - rng.uniform(0.1, 2),
        right + rng.uniform(0.1, 2),
    )
    wall, floor = palette.draw("wall"), palette.draw("floor")
    mesh.box((low, top), (far, near), (-0.05, 0.0), floor)
    mesh.box((low, top), (far, near), (high + 0.3, high + 0.35), palette.draw("ceiling"))
    mesh.box((low, top), (far - 0.05, far), (0, high + 0.3), wall)
    mesh.box((low - 0.05, low), (far, near), (0, high + 0.3), wall)
    mesh.box((top, top + 0.05), (far, near), (0, high + 0.3), wall)


def _window(mesh: Mesh, rng: Rng, palette: Palette, style: Style, opening: Opening) -> None:
    (left, right), (low, high) = opening.x, opening.z
    deep = -0.7 * style.thickness
    bar, frame = 0.05, style.frame
    for x in (left, right - bar):
        mesh.box((x, x + bar), (deep, deep + 0.05), (low, high), frame)
    for z in (low, high - bar):
        mesh.box((left, right), (deep, deep + 0.05), (z, z + bar), frame)
    for i in range(1, max(1, round((right - left) / 0.7))):
        x = left + (right - left) * i / max(1, round((right - left) / 0.7))
        mesh.box((x - 0.03, x + 0.03), (deep, deep + 0.05), (low, high), frame)
    mesh.box((left - 0.03, right + 0.03), (deep, 0.06), (low - 0.03, low), frame)
    if rng.random() < 0.35:
        cloth = palette.draw("cloth")
        for x in (left - 0.25, right - 0.1):
            for i in range(5):
                fold = 0.05 + 0.02 * (i % 2)
                folds = (x + 0.07 * i, x + 0.07 * (i + 1))
                mesh.box(folds, (fold, fold + 0.03), (0.1, high + 0.15), cloth)
    # Beyond: a tall backdrop some way off; above and beside it is sky, at no depth.
    off = -rng.uniform(3, 15)
    wide = 1.2 * -off
    middle = (left + right) / 2
    backdrop = palette.glowing("outdoors", 0.9)
    if rng.random() < 0.85:
        mesh.box((middle - wide, middle + wide), (off - 0.1, off), (-3, 0.9 * wide), backdrop)


def hang(
    mesh: Mesh,
    rng: Rng,
    palette: Palette,
    length: float,
    taken: list[tuple[float, float, float]],
    count: int,
) -> None:
    """Pictures, posters and the like where nothing stands before them.

    Args:
        taken: stretches of the wall with the height that they are taken to.
    """
    for _ in range(count):
        kind = rng.integers(5)
        w, h = rng.uniform((0.25, 0.25), (1.1, 0.9))
        x, z = rng.uniform(0.1, max(0.11, length - w - 0.1)), rng.uniform(1.1, 1.5)
        if any(x < right and x + w > left and z < top for left, right, top in taken):
            continue
        taken.append((x - 0.05, x + w + 0.05, 9.0))
        if kind < 3:
            frame, bar = palette.plain(0.02, 0.95, 0.3), rng.uniform(0.015, 0.06)
            mesh.box((x - bar, x + w + bar), (0, 0.02), (z - bar, z + h + bar), frame)
            mesh.box((x, x + w), (0.02, 0.022), (z, z + h), palette.draw("picture"))
        elif kind == 3:
            mesh.box((x, x + w), (0, 0.003), (z, z + h), palette.draw("poster"))
        else:
            mesh.box((x, x + w), (0, 0.24), (z, z + 0.025), palette.draw("wood"))
            mesh.box((x, x + 0.6 * w), (0.03, 0.2), (z + 0.025, z + 0.25), palette.draw("books"))
