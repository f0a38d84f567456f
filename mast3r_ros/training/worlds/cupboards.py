# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Furniture that holds things: drawers, shelves, cupboards, kitchens, cartons."""

from __future__ import annotations

from mast3r_ros.training.worlds.items import Item, Rng, clutter
from mast3r_ros.training.worlds.mesh import Mesh
from mast3r_ros.training.worlds.palette import Palette


def drawers(
    mesh: Mesh, palette: Palette, x: tuple[float, float], y: tuple[float, float], height: float
) -> None:
    """A chest of drawers 0.15 to 0.25 m high each, fronts towards +y."""
    body, front, knob = palette.draw("wood"), palette.draw("wood"), palette.plain(0.1, 0.9, 0.1)
    mesh.box(x, (y[0], y[1] - 0.02), (0.04, height), body)
    count = max(2, round(height / 0.2))
    step = (height - 0.06) / count
    middle = (x[0] + x[1]) / 2
    for i in range(count):
        low = 0.05 + i * step
        face = (x[0] + 0.01, x[1] - 0.01), (y[1] - 0.02, y[1]), (low, low + step - 0.012)
        mesh.box(*face, front)
        handle = low + step / 2
        mesh.box(
            (middle - 0.06, middle + 0.06), (y[1], y[1] + 0.025), (handle, handle + 0.012), knob
        )


def chest(rng: Rng, palette: Palette) -> Item:
    """A chest of drawers with things upon it."""
    width, depth, height = rng.uniform((0.4, 0.4, 0.6), (1.2, 0.55, 1.2))

    def draw(mesh: Mesh) -> None:
        drawers(mesh, palette, (0, width), (0, depth), height)
        clutter(mesh, rng, palette, (0.1, width - 0.1), (0.1, depth - 0.1), height)

    return Item(width, depth, height, draw)


def bookshelf(rng: Rng, palette: Palette) -> Item:
    """Boards 0.3 to 0.4 m apart, with books and other things on them."""
    width, depth, step = rng.uniform((0.6, 0.25, 0.3), (1.6, 0.4, 0.4))
    count = int(rng.integers(2, 7))
    height = 0.05 + count * step
    wood = palette.draw("wood")
    back = palette.draw("wood") if rng.random() < 0.7 else None

    def draw(mesh: Mesh) -> None:
        thick = 0.02
        for x in (0, width - thick):
            mesh.box((x, x + thick), (0, depth), (0, height), wood)
        for i in range(count + 1):
            z = 0.05 + i * step
            mesh.box((thick, width - thick), (0, depth), (z - thick, z), wood)
        if back:
            mesh.box((thick, width - thick), (0, 0.008), (0.03, height), back)
        for i in range(count):
            x, z = thick + 0.02, 0.05 + i * step
            while x < width - 0.25:
                w = rng.uniform(0.15, 0.5)
                end = min(x + w, width - thick - 0.01)
                kind = rng.random()
                if kind < 0.55:
                    row = (0.02, rng.uniform(0.15, depth - 0.02))
                    paper = palette.plain(0.6, 0.95, 0.1)
                    high = z + step * rng.uniform(0.6, 0.9)
                    mesh.box((x, end), (row[0], row[1] - 0.004), (z, high - 0.004), paper)
                    mesh.box((x, end), (row[1] - 0.004, row[1]), (z, high), palette.draw("books"))
                elif kind < 0.8:
                    size = rng.uniform(0.1, step * 0.85)
                    material = palette.draw("box")
                    mesh.box((x, end - 0.05), (0.03, depth - 0.04), (z, z + size), material)
                x = end + rng.uniform(0, 0.12)
        if height < 1.8:
            clutter(mesh, rng, palette, (0.1, width - 0.1), (0.1, depth - 0.08), height)

    return Item(width, depth, height, draw)


def wardrobe(rng: Rng, palette: Palette) -> Item:
    """A cupboard with two or three doors."""
    width, depth, height = rng.uniform((0.8, 0.45, 1.2), (2.0, 0.62, 2.2))
    body, front, knob = palette.draw("wood"), palette.draw("wood"), palette.plain(0.1, 0.9, 0.1)
    doors = max(2, round(width / 0.55))

    def draw(mesh: Mesh) -> None:
        mesh.box((0, width), (0, depth - 0.02), (0, height), body)
        step = width / doors
        for i in range(doors):
            face = (i * step + 0.006, (i + 1) * step - 0.006), (depth - 0.02, depth)
            mesh.box(*face, (0.08, height - 0.02), front)
            x = (i + (0.12 if i % 2 else 0.88)) * step
            mesh.box((x - 0.01, x + 0.01), (depth, depth + 0.03), (0.9, 1.05), knob)

    return Item(width, depth, height, draw)


def kitchen(rng: Rng, palette: Palette) -> Item:
    """Units 0.6 m wide under a worktop 0.9 m high, and cupboards above."""
    units = int(rng.integers(2, 6))
    width = 0.6 * units
    top, front, knob = palette.draw("stone"), palette.draw("wood"), palette.plain(0.2, 0.9, 0.1)
    splash, upper = palette.draw("stone"), rng.random() < 0.7

    def draw(mesh: Mesh) -> None:
        mesh.box((0, width), (0, 0.54), (0, 0.1), palette.plain(0.02, 0.3, 0.1))
        mesh.box((0, width), (0, 0.58), (0.1, 0.86), front)
        mesh.box((0, width), (0, 0.63), (0.86, 0.9), top)
        mesh.box((0, width), (0, 0.01), (0.9, 1.45), splash)
        for i in range(units):
            x = 0.6 * i
            mesh.box((x + 0.004, x + 0.596), (0.58, 0.6), (0.12, 0.85), front)
            mesh.box((x + 0.2, x + 0.4), (0.6, 0.63), (0.75, 0.765), knob)
            if upper:
                mesh.box((x + 0.003, x + 0.597), (0, 0.35), (1.45, 2.1), front)
                mesh.box((x + 0.5, x + 0.515), (0.35, 0.38), (1.5, 1.65), knob)
        clutter(mesh, rng, palette, (0.1, width - 0.1), (0.1, 0.5), 0.9)

    return Item(width, 0.63, 2.1 if upper else 1.45, draw)


def appliance(rng: Rng, palette: Palette) -> Item:
    """A refrigerator, or a machine of 0.6 by 0.85 m."""
    height = rng.uniform(1.5, 2.0) if rng.random() < 0.5 else 0.85
    case, dark = palette.plain(0.5, 1.0, 0.15), palette.plain(0.02, 0.4, 0.1)
    split = height * rng.uniform(0.3, 0.7)

    def draw(mesh: Mesh) -> None:
        mesh.box((0, 0.6), (0, 0.6), (0.03, height), case)
        mesh.box((0.0, 0.6), (0.6, 0.602), (split, split + 0.01), dark)
        mesh.box((0.04, 0.06), (0.6, 0.64), (split + 0.05, min(split + 0.4, height - 0.05)), dark)
        for _ in range(int(rng.integers(0, 4))):
            x, z = rng.uniform((0.1, 0.2), (0.45, height - 0.2))
            mesh.box((x, x + 0.1), (0.6, 0.602), (z, z + 0.14), palette.draw("poster"))
        clutter(mesh, rng, palette, (0.1, 0.5), (0.1, 0.5), height)

    return Item(0.6, 0.62, height, draw)


def cartons(rng: Rng, palette: Palette) -> Item:
    """A pile of cartons."""
    columns = int(rng.integers(1, 4))
    side = rng.uniform(0.3, 0.55)

    def draw(mesh: Mesh) -> None:
        for i in range(columns):
            z = 0.0
            for _ in range(int(rng.integers(1, 4))):
                w, d, h = side * rng.uniform((0.7, 0.7, 0.5), (0.98, 0.98, 1.0))
                with mesh.at(side * (i + 0.5), side / 2, z, rng.uniform(-0.12, 0.12)):
                    mesh.box((-w / 2, w / 2), (-d / 2, d / 2), (0, h), palette.draw("box"))
                z += h

    return Item(side * columns, side, 1.0, draw)
