# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Yards and streets of the second version: facades, ground, trees, cars, people, and the sky."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mast3r_ros.training.worlds import cupboards, curved, greenery, lines, people
from mast3r_ros.training.worlds.interiors import add
from mast3r_ros.training.worlds.items import Item, Rng
from mast3r_ros.training.worlds.mesh import Mesh
from mast3r_ros.training.worlds.palette import Palette
from mast3r_ros.training.worlds.places import Lights, Place
from mast3r_ros.training.worlds.room import LIGHTS, overlaps, rectangle_of

_SKY = 400.0  # radius of the sky [m]: beyond the depth that is known
_SUN = 300.0  # of the sun [m], so far that its light is parallel


def make_yard(rng: Rng, palette: Palette) -> Place:
    """Build a yard or a street of 12 to 45 m."""
    width, depth = rng.uniform((14.0, 12.0), (45.0, 30.0)).tolist()
    place = Place((width, depth, 6.0), far=2 * _SKY)
    mesh = place.fixed
    mesh.box((-60, width + 60), (-60, depth + 60), (-0.1, 0), palette.draw("ground"))
    _ground(mesh, rng, palette, width, depth)
    with mesh.at(width / 2, depth / 2, -_SKY):
        # Seen from inside.
        sky = curved.ball(_SKY, 2 * _SKY, 12, 8)[:, ::-1]
        mesh.grid(sky, palette.glowing("sky", 1.0))
    frames = (
        (0.0, 0.0, 0.0, width),
        (width, 0.0, np.pi / 2, depth),
        (width, depth, np.pi, width),
        (0.0, depth, 1.5 * np.pi, depth),
    )
    for number in rng.permutation(4)[: rng.integers(2, 5)]:
        x, y, yaw, length = frames[number]
        with mesh.at(x, y, 0, yaw):
            _row_of_houses(mesh, rng, palette, length)
    kinds: tuple[Callable[[Rng, Palette], Item], ...] = (
        greenery.tree,
        people.person,
        car,
        car,
        lantern,
        bench,
        cupboards.cartons,
        bushes,
        bushes,
        railing,
    )
    for _ in range(int(rng.poisson(width * depth / 45))):
        item = kinds[rng.integers(len(kinds))](rng, palette)
        x, y = rng.uniform(0.5, width - 0.5), rng.uniform(0.5, depth - 0.5)
        yaw = rng.uniform(0, 2 * np.pi)
        rectangle = rectangle_of(x, y, yaw, (0, item.width), (0, item.depth))
        if not overlaps(rectangle, place.taken):
            add(place, rng, palette, item, (x, y, yaw), rectangle, 0.0)
    return place


def daylight(rng: Rng) -> Lights:
    """The sun, or an overcast sky."""
    lights = np.zeros((LIGHTS, 6), np.float32)
    sunny = rng.random() < 0.6
    angle, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 1.2)
    way = np.array([np.cos(height) * np.cos(angle), np.cos(height) * np.sin(angle), np.sin(height)])
    warm = 1 + rng.uniform(0, 0.2) * np.array([1.0, 0.0, -1.0])
    lights[0] = [*(_SUN * way), *((1.1 * _SUN**2 if sunny else 0.0) * warm)]
    ambient = rng.uniform(0.5, 0.9) * (1 + rng.uniform(-0.1, 0.1, 3))
    return lights, ambient.astype(np.float32)


def _ground(mesh: Mesh, rng: Rng, palette: Palette, width: float, depth: float) -> None:
    """A pavement with a kerb, and patches of another ground."""
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform((-5.0, -5.0), (width, depth))
        w, d = rng.uniform((3.0, 1.5), (width, 6.0))
        high = float(rng.choice([0.01, 0.13]))
        mesh.box((x, x + w), (y, y + d), (-0.05, high), palette.draw("ground"))


def _row_of_houses(mesh: Mesh, rng: Rng, palette: Palette, length: float) -> None:
    """Along x, behind y = 0: facades of 6 to 18 m with doors and rows of windows."""
    x = -rng.uniform(0, 4)
    while x < length + 2:
        wide, back = rng.uniform(6, 18), rng.uniform(0, 2.5)
        storeys, storey = int(rng.integers(1, 5)), rng.uniform(2.7, 3.6)
        if rng.random() < 0.85:
            with mesh.at(x, -back):
                _facade(mesh, rng, palette, wide, storeys, storey)
        x += wide + rng.choice([0.0, 0.0, rng.uniform(1, 4)])


def _facade(
    mesh: Mesh, rng: Rng, palette: Palette, wide: float, storeys: int, storey: float
) -> None:
    wall, frame, glass = palette.draw("facade"), palette.plain(), palette.plain(0.02, 0.35, 0.3)
    mesh.box((0, wide), (-8, 0), (0, storeys * storey + 0.5), wall, palette.draw("ground"))
    ledge = rng.uniform(0.02, 0.2)
    mesh.box((0, wide), (0, ledge), (storeys * storey + 0.3, storeys * storey + 0.5), frame)
    columns = max(2, int(wide / rng.uniform(1.8, 3.5)))
    step = wide / columns
    w, h, sill = rng.uniform((0.35 * step, 1.1, 0.7), (0.75 * step, 1.7, 1.0))
    door, deep = int(rng.integers(columns)), rng.uniform(0.03, 0.12)
    balconies = rng.random() < 0.25
    for row in range(storeys):
        for column in range(columns):
            middle, low = (column + 0.5) * step, row * storey + sill
            if row == 0 and column == door:
                mesh.box((middle - 0.55, middle + 0.55), (0, deep), (0, 2.25), frame)
                mesh.box(
                    (middle - 0.48, middle + 0.48), (deep, deep + 0.01), (0, 2.15),
                    palette.draw("door"),
                )  # fmt: skip
                continue
            edges = (middle - w / 2, middle + w / 2)
            mesh.box((edges[0] - 0.08, edges[1] + 0.08), (0, deep), (low - 0.08, low + h), frame)
            pane = glass if rng.random() < 0.7 else palette.draw("outdoors")
            for left, right in ((edges[0], middle - 0.03), (middle + 0.03, edges[1])):
                mesh.box((left, right), (deep, deep + 0.005), (low, low + h - 0.06), pane)
            if balconies and row:
                mesh.box((edges[0] - 0.3, edges[1] + 0.3), (0, 1.0), (low - 0.9, low - 0.8), frame)
                with mesh.at(edges[0] - 0.3, 0.95, low - 0.8):
                    lines.fence(mesh, rng, palette, w + 0.6)


def car(rng: Rng, palette: Palette) -> Item:
    """A car of 3.6 to 4.8 m."""
    long, wide, high = rng.uniform((3.6, 1.65, 1.4), (4.8, 1.85, 1.75))
    paint, glass = palette.plain(0.03, 0.9, 0.9), palette.plain(0.02, 0.2, 0.2)
    tire, lamp = palette.plain(0.02, 0.12, 0.05), palette.plain(0.6, 1.0, 0.6)
    # The outline of a side: along the car and up, as shares.
    roof = np.array([(0.0, 0.3), (0.01, 0.55), (0.22, 0.6), (0.36, 0.97), (0.75, 1.0)])
    roof = np.concatenate([roof, [(0.95, 0.65), (1.0, 0.6), (1.0, 0.25)]]) * (long, high)

    def draw(mesh: Mesh) -> None:
        mesh.occupy((0, long), (0, wide), (0, high))
        x, z = roof.T
        # Narrower towards the roof, and rounded off.
        share = np.array([0.0, 0.04, 0.5, 0.96, 1.0])[:, None]
        tuck = 0.12 * np.clip(z / high - 0.6, 0, 1)
        y = wide * (tuck + share * (1 - 2 * tuck))
        drop = np.where((share == 0) | (share == 1), 0.04, 0.0)
        mesh.grid(np.stack([x + 0 * y, y, z - drop], -1).transpose(1, 0, 2)[:, ::-1], paint)
        for side in (0.0, wide):
            sill = np.stack([x, np.full_like(x, side), np.full_like(x, 0.22 * high)], -1)
            edge = np.stack([x, np.where(side > 0, y[-1], y[0]), z - 0.04], -1)
            mesh.grid(np.stack([edge, sill]), paint, thin=True)
            mid = 0.62 * edge + 0.38 * np.stack([x, edge[:, 1], np.full_like(x, 0.58 * high)], -1)
            band = np.stack([0.95 * edge[3:6] + 0.05 * mid[3:6], mid[3:6]])
            band += np.array([0, 0.012 * np.sign(side - 0.1), -0.03])
            mesh.grid(band, glass, thin=True)
            for at in (0.18 * long, 0.8 * long):
                wheel = curved.tube([(at, side - 0.1, 0.32), (at, side + 0.1, 0.32)], 0.32, 10)
                mesh.grid(wheel, tire)
                hub = curved.tube([(at, side - 0.11, 0.32), (at, side + 0.11, 0.32)], (0.2, 0.0), 8)
                mesh.grid(hub if side else hub[::-1, ::-1], lamp, thin=True)
        for at in (0.1 * wide, 0.75 * wide):
            mesh.box((-0.02, 0.05), (at, at + 0.15 * wide), (0.42 * high, 0.52 * high), lamp)

    return Item(long, wide, high, draw)


def lantern(rng: Rng, palette: Palette) -> Item:
    """A lantern or a sign on a post."""
    high, paint = rng.uniform(2.2, 6.0), palette.plain(0.05, 0.8, 0.2)

    def draw(mesh: Mesh) -> None:
        with mesh.at(0.15, 0.15):
            mesh.occupy((-0.05, 0.05), (-0.05, 0.05), (0, high))
            mesh.grid(curved.tube([(0, 0, high), (0, 0, 0)], (0.03, 0.05), 7), paint)
            if rng.random() < 0.5:
                with mesh.at(0, 0, high):
                    mesh.grid(curved.ball(0.2, 0.35), palette.plain(0.7, 1.0, 0.1))
            else:
                mesh.box(
                    (-0.3, 0.3), (0.05, 0.06), (high - 0.7, high - 0.1), palette.draw("poster")
                )

    return Item(0.3, 0.3, high, draw)


def bench(rng: Rng, palette: Palette) -> Item:
    """A bench of planks."""
    wood, metal, long = palette.draw("wood"), palette.draw("metal"), rng.uniform(1.3, 2.0)

    def draw(mesh: Mesh) -> None:
        for y in (0.1, 0.23, 0.36):
            mesh.box((0, long), (y, y + 0.1), (0.42, 0.46), wood)
        for z in (0.58, 0.72):
            mesh.box((0, long), (0.03, 0.06), (z, z + 0.1), wood)
        for x in (0.15, long - 0.2):
            mesh.box((x, x + 0.05), (0.05, 0.45), (0.36, 0.42), metal)
            mesh.box((x, x + 0.05), (0.03, 0.07), (0, 0.8), metal)
            mesh.box((x, x + 0.05), (0.4, 0.44), (0, 0.42), metal)

    return Item(long, 0.5, 0.8, draw)


def bushes(rng: Rng, palette: Palette) -> Item:
    """A group of bushes."""
    count = int(rng.integers(1, 4))

    def draw(mesh: Mesh) -> None:
        for i in range(count):
            with mesh.at(0.8 + 1.0 * i, 0.8 + rng.normal(0, 0.2)):
                greenery.bush(mesh, rng, palette)

    return Item(0.6 + count, 1.6, 1.5, draw)


def railing(rng: Rng, palette: Palette) -> Item:
    """A stretch of fence."""
    long = rng.uniform(2.0, 8.0)
    return Item(long, 0.1, 1.0, lambda mesh: lines.fence(mesh, rng, palette, long))
