# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Furniture of the usual sizes to sit at, sit on and lie on, and what else stands in rooms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mast3r_ros.training.worlds import cupboards
from mast3r_ros.training.worlds.items import Item, Rng, clutter
from mast3r_ros.training.worlds.mesh import Mesh
from mast3r_ros.training.worlds.palette import Palette


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
                cupboards.drawers(
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
    "chest": cupboards.chest,
    "bookshelf": cupboards.bookshelf,
    "wardrobe": cupboards.wardrobe,
    "bed": bed,
    "sofa": sofa,
    "kitchen": cupboards.kitchen,
    "appliance": cupboards.appliance,
    "cartons": cupboards.cartons,
    "television": television,
    "plant": plant,
    "lamp": lamp,
}
