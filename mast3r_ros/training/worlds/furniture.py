# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Furniture of the usual sizes, each thing in a frame of its own: back at y = 0, floor at z = 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mast3r_ros.training.worlds.mesh import Material, Mesh
from mast3r_ros.training.worlds.palette import Palette

Rng = np.random.Generator


@dataclass(frozen=True)
class Item:
    """A thing of some width (x) and depth (y) [m], and how it is drawn into a mesh.

    `height` is that of its bulk: what stands over a window would hide it.
    """

    width: float
    depth: float
    height: float
    draw: Callable[[Mesh], None]


def clutter(
    mesh: Mesh, rng: Rng, palette: Palette, x: tuple[float, float], y: tuple[float, float], z: float
) -> None:
    """Small things upon a surface."""
    for _ in range(int(rng.integers(0, 5))):
        at = rng.uniform(*x), rng.uniform(*y)
        kind = rng.integers(4)
        with mesh.at(*at, z, rng.uniform(-0.6, 0.6)):
            if kind == 0:
                mesh.drum(0, 0, (0, rng.uniform(0.08, 0.3)), rng.uniform(0.03, 0.06), _any(palette))
            elif kind == 1:
                w, d, h = rng.uniform((0.1, 0.05, 0.05), (0.35, 0.25, 0.3))
                mesh.box((-w / 2, w / 2), (-d / 2, d / 2), (0, h), palette.draw("box"))
            elif kind == 2:
                top = 0.0
                for _ in range(int(rng.integers(1, 5))):
                    w, h = rng.uniform((0.15, 0.015), (0.3, 0.05))
                    material = _any(palette)
                    mesh.box((-w / 2, w / 2), (-0.1, 0.1), (top, top + h), material)
                    top += h
            else:
                mesh.box((-0.1, 0.1), (-0.14, 0.14), (0, 0.004), palette.draw("page"))


def _any(palette: Palette) -> Material:
    return palette.plain()


def table(rng: Rng, palette: Palette) -> Item:
    """A table or desk, 0.72 to 0.76 m high, with chairs before it."""
    width, depth, height = rng.uniform((0.9, 0.6, 0.72), (1.9, 0.95, 0.76))
    top, legs = palette.draw("wood"), palette.draw("metal")
    seats = int(rng.integers(0, 3))
    desk = rng.random() < 0.5

    def draw(mesh: Mesh) -> None:
        thick = rng.uniform(0.02, 0.05)
        mesh.box((0, width), (0, depth), (height - thick, height), top)
        leg = rng.uniform(0.03, 0.07)
        for x in (0.03, width - 0.03 - leg):
            for y in (0.03, depth - 0.03 - leg):
                mesh.box((x, x + leg), (y, y + leg), (0, height - thick), legs)
        if desk:
            x, w, h = rng.uniform((0.1, 0.4, 0.25), (width - 0.6, 0.6, 0.4))
            case = palette.plain(0.02, 0.3, 0.1)
            mesh.box((x, x + w), (0.12, 0.16), (height + 0.1, height + 0.1 + h), case)
            inner = (x + 0.015, x + w - 0.015), (0.16, 0.162), (height + 0.115, height + 0.085 + h)
            mesh.box(*inner, palette.glowing("screen", 0.5))
            mesh.box(
                (x + w / 2 - 0.1, x + w / 2 + 0.1), (0.06, 0.25), (height, height + 0.015), case
            )
            mesh.box(
                (x + w / 2 - 0.03, x + w / 2 + 0.03), (0.1, 0.13), (height, height + 0.15), case
            )
            mesh.box((x, x + 0.43), (0.4, 0.53), (height, height + 0.02), case)
            lower = rng.uniform(0.38, 0.45)
            if rng.random() < 0.5:
                drawers(
                    mesh, palette, (width - 0.12 - lower, width - 0.12), (0.05, depth - 0.05), 0.6
                )
        clutter(mesh, rng, palette, (0.1, width - 0.1), (0.1, depth - 0.1), height)
        for i in range(seats):
            with mesh.at(width * (i + 0.5) / seats, depth + rng.uniform(0, 0.25), 0, 0):
                chair(mesh, rng, palette)

    return Item(width, depth + (0.55 if seats else 0), height, draw)


def chair(mesh: Mesh, rng: Rng, palette: Palette) -> None:
    """A chair that faces -y, its seat 0.45 m high; the frame stands under the seat's middle."""
    frame, seat = palette.draw("wood"), palette.draw("cloth" if rng.random() < 0.5 else "wood")
    half, back = 0.21, rng.uniform(0.8, 1.0)
    with mesh.at(0, 0, 0, rng.uniform(-0.5, 0.5)):
        mesh.box((-half, half), (-half, half), (0.42, 0.46), seat)
        for x in (-half, half - 0.035):
            mesh.box((x, x + 0.035), (-half, -half + 0.035), (0, 0.42), frame)
            mesh.box((x, x + 0.035), (half - 0.035, half), (0, back), frame)
        mesh.box((-half, half), (half - 0.03, half - 0.005), (back - 0.3, back), seat)


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


def bed(rng: Rng, palette: Palette) -> Item:
    """A bed 2 m long, its head at the wall."""
    width, high = float(rng.choice([0.9, 1.4, 1.6])), rng.uniform(0.25, 0.4)
    frame, cover, pillow = palette.draw("wood"), palette.draw("cloth"), palette.plain(0.6, 1.0, 0.2)

    def draw(mesh: Mesh) -> None:
        mesh.box((0, width), (0, 0.05), (0, high + rng.uniform(0.3, 0.7)), frame)
        mesh.box((0, width), (0.05, 2.05), (0.08, high), frame)
        mesh.box(
            (0.02, width - 0.02), (0.06, 2.0), (high, high + 0.18), palette.plain(0.6, 1.0, 0.1)
        )
        mesh.box((-0.01, width + 0.01), (0.6, 2.06), (high - 0.1, high + 0.22), cover)
        count = 1 if width < 1 else 2
        for i in range(count):
            x = width * (i + 0.5) / count
            mesh.box((x - 0.3, x + 0.3), (0.1, 0.5), (high + 0.18, high + 0.3), pillow)

    return Item(width, 2.06, 0.6, draw)


def sofa(rng: Rng, palette: Palette) -> Item:
    """A sofa or armchair, its seat 0.42 m high."""
    seats = int(rng.integers(1, 4))
    width, depth = 0.36 + 0.62 * seats, rng.uniform(0.8, 0.95)
    cloth, feet = palette.draw("cloth"), palette.draw("wood")

    def draw(mesh: Mesh) -> None:
        mesh.box((0, width), (0, depth), (0.06, 0.3), cloth)
        mesh.box((0, width), (0, 0.22), (0.3, rng.uniform(0.75, 0.95)), cloth)
        for x in (0.0, width - 0.18):
            mesh.box((x, x + 0.18), (0, depth), (0.3, 0.6), cloth)
            mesh.box((x + 0.02, x + 0.07), (0.05, depth - 0.05), (0, 0.06), feet)
        for i in range(seats):
            x = 0.18 + 0.62 * i
            mesh.box((x + 0.005, x + 0.615), (0.2, depth + 0.02), (0.3, 0.43), cloth)
            if rng.random() < 0.5:
                with mesh.at(x + 0.3, 0.3, 0.43, rng.uniform(-0.5, 0.5)):
                    mesh.box((-0.2, 0.2), (-0.07, 0.07), (0, 0.38), palette.draw("cloth"))

    return Item(width, depth, 0.9, draw)


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


def television(rng: Rng, palette: Palette) -> Item:
    """A television of 0.9 to 1.4 m on a low board."""
    width, size = rng.uniform((1.2, 0.9), (1.9, 1.3))
    wood, case = palette.draw("wood"), palette.plain(0.01, 0.15, 0.05)

    def draw(mesh: Mesh) -> None:
        mesh.box((0, width), (0, 0.42), (0.08, 0.48), wood)
        middle, high = width / 2, size * 9 / 16
        mesh.box((middle - 0.2, middle + 0.2), (0.1, 0.3), (0.48, 0.5), case)
        mesh.box((middle - size / 2, middle + size / 2), (0.16, 0.2), (0.55, 0.55 + high), case)
        picture = palette.glowing("picture" if rng.random() < 0.5 else "screen", 0.7)
        inner = (middle - size / 2 + 0.02, middle + size / 2 - 0.02), (0.2, 0.203)
        mesh.box(*inner, (0.57, 0.53 + high), picture)
        clutter(mesh, rng, palette, (0.05, 0.3), (0.1, 0.3), 0.48)

    return Item(width, 0.42, 1.2, draw)


def plant(rng: Rng, palette: Palette) -> Item:
    """A pot with leaves, each a small board."""
    height = rng.uniform(0.5, 1.7)
    pot, leaf = palette.plain(0.2, 0.9, 0.5), palette.draw("cloth")

    def draw(mesh: Mesh) -> None:
        mesh.drum(0.25, 0.25, (0, 0.3), 0.16, pot)
        mesh.box((0.235, 0.265), (0.235, 0.265), (0.3, height), palette.draw("wood"))
        for _ in range(int(rng.integers(6, 18))):
            reach, z = rng.uniform((0.08, 0.35), (0.3, height))
            with mesh.at(0.25, 0.25, z, rng.uniform(0, 2 * np.pi)):
                mesh.box((0, reach), (-0.04, 0.04), (0, rng.uniform(0.01, 0.2)), leaf)

    return Item(0.5, 0.5, 0.6, draw)


def lamp(rng: Rng, palette: Palette) -> Item:
    """A standing lamp."""
    height = rng.uniform(1.3, 1.7)
    pole = palette.plain(0.05, 0.8, 0.1)

    def draw(mesh: Mesh) -> None:
        mesh.drum(0.2, 0.2, (0, 0.02), 0.15, pole)
        mesh.box((0.188, 0.212), (0.188, 0.212), (0, height), pole)
        mesh.drum(0.2, 0.2, (height - 0.25, height), 0.18, palette.glowing("cloth", 0.8))

    return Item(0.4, 0.4, 0.4, draw)


KINDS: dict[str, Callable[[Rng, Palette], Item]] = {
    "table": table,
    "chest": chest,
    "bookshelf": bookshelf,
    "wardrobe": wardrobe,
    "bed": bed,
    "sofa": sofa,
    "kitchen": kitchen,
    "appliance": appliance,
    "cartons": cartons,
    "television": television,
    "plant": plant,
    "lamp": lamp,
}
