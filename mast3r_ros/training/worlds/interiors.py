# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rooms, corridors and halls of the second version: furnished, cluttered, with people in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mast3r_ros.training.worlds import (
    cupboards,
    curved,
    furniture,
    greenery,
    lines,
    people,
    seats,
    tops,
    walls,
)
from mast3r_ros.training.worlds.items import Item, Rng
from mast3r_ros.training.worlds.mesh import Mesh
from mast3r_ros.training.worlds.palette import Palette
from mast3r_ros.training.worlds.places import Place, Thing
from mast3r_ros.training.worlds.room import overlaps, rectangle_of

_Make = Callable[[Rng, Palette], Item]
_SEATS: tuple[_Make, ...] = (seats.side_chair, seats.office_chair, seats.stool, seats.side_chair)
# What stands at walls, and what stands free.
_LINING: tuple[_Make, ...] = (
    *(make for name, make in furniture.KINDS.items() if name not in ("plant", "bed")),
    furniture.table,
    furniture.table,
    greenery.pot_plant,
    *_SEATS,
)
_FREE: tuple[_Make, ...] = (
    furniture.table,
    furniture.table,
    cupboards.cartons,
    cupboards.chest,
    furniture.sofa,
    seats.round_table,
    greenery.pot_plant,
    people.person,
    people.person,
    *_SEATS,
    *_SEATS,
)
# Width, depth and height of a kind of interior [m], and how many things there are for its size.
_ROOMS = ((2.5, 2.5, 2.3), (6.0, 6.0, 3.0), 1.0)
_LARGE = ((4.0, 4.0, 2.4), (12.0, 9.0, 3.2), 0.9)
_CORRIDOR = ((8.0, 1.5, 2.3), (30.0, 3.2, 3.2), 0.35)
_HALL = ((10.0, 8.0, 3.0), (30.0, 20.0, 7.0), 0.4)
_KINDS = (_ROOMS, _ROOMS, _ROOMS, _LARGE, _LARGE, _CORRIDOR, _HALL)
_BARE = 0.35  # share of rooms whose walls have faint marks only


def make_interior(rng: Rng, palette: Palette) -> Place:
    """Build and furnish an interior."""
    low, high, crowd = _KINDS[rng.integers(len(_KINDS))]
    width, depth, height = rng.uniform(low, high).tolist()
    if rng.random() < 0.5:
        width, depth = depth, width
    place = Place((width, depth, height))
    mesh, density = place.fixed, rng.uniform(2, 24)
    across, along = (-0.09, width + 0.09), (-0.09, depth + 0.09)
    mesh.box(across, along, (-0.1, 0), palette.draw("floor"))
    ceiling = "bare wall" if rng.random() < 0.5 else "ceiling"
    mesh.box(across, along, (height, height + 0.1), palette.draw(ceiling))
    _raise_walls(place, rng, palette, crowd * rng.uniform(0.3, 1.2), density)
    _stand_free(place, rng, palette, crowd, density)
    return place


def _raise_walls(place: Place, rng: Rng, palette: Palette, crowd: float, density: float) -> None:
    width, depth, height = place.size
    style = walls.make_style(rng, palette)
    if rng.random() < _BARE:
        style = replace(style, wall=palette.draw("bare wall"))
    frames = (
        (0.0, 0.0, 0.0, width),
        (width, 0.0, np.pi / 2, depth),
        (width, depth, np.pi, width),
        (0.0, depth, 1.5 * np.pi, depth),
    )
    entrance = rng.integers(4)
    for number, (x, y, yaw, length) in enumerate(frames):
        doors = int(number == entrance) + int(rng.poisson(length / 9))
        windows = int(rng.poisson(length / 6))
        openings = walls.make_openings(rng, length, height, doors, windows)
        with place.fixed.at(x, y, 0, yaw):
            walls.build_wall(place.fixed, rng, palette, style, length, height, openings)
            covered = [(o.x[0] - 0.1, o.x[1] + 0.1, 9.0) for o in openings]
            count = int(rng.poisson(0.6 * length))
            walls.hang(place.fixed, rng, palette, length, list(covered), count)
            lines.wall_lines(
                place.fixed, rng, palette, length, height, int(rng.poisson(0.15 * length))
            )
            for opening in openings:
                if opening.kind == "window" and rng.random() < 0.3:
                    _curtain(place.fixed, rng, palette, opening)
        for opening in openings:
            if opening.kind == "passage":
                place.things.append(_leaf(rng, (x, y, yaw), style, opening))
            elif opening.kind == "window":
                place.sunny.append(_sunny_patch((x, y, yaw), opening))
        full = [(o.x[0] - 0.1, o.x[1] + 0.1) for o in openings if not o.z[0]]
        _line_wall(place, rng, palette, (x, y, yaw, length), full, crowd, density)


def _leaf(
    rng: Rng, frame: tuple[float, float, float], style: walls.Style, opening: walls.Opening
) -> Thing:
    """The leaf of an open door, its hinge at the opening's left."""
    x, y, yaw = frame
    (left, right), (_, high) = opening.x, opening.z
    hinge = x + np.cos(yaw) * left, y + np.sin(yaw) * left
    mesh = Mesh()
    with mesh.at(*hinge, 0, yaw + rng.uniform(0.0, 1.6)):
        mesh.box((0.01, right - left), (-0.04, 0), (0.01, high - 0.01), style.door)
        mesh.box((right - left - 0.2, right - left - 0.08), (0.0, 0.05), (1.0, 1.02), style.frame)
    return Thing(mesh, Mesh(), hinge, None)


def _sunny_patch(
    frame: tuple[float, float, float], opening: walls.Opening
) -> np.typing.NDArray[np.float64]:
    x, y, yaw = frame
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    left, right = opening.x
    corners = np.array([(left, 0.3), (right, 0.3), (right + 0.4, 1.9), (left + 0.4, 1.9)])
    return np.asarray(corners @ turn.T + (x, y))


def _curtain(mesh: Mesh, rng: Rng, palette: Palette, opening: walls.Opening) -> None:
    cloth, high = palette.draw("cloth"), opening.z[1] + 0.1
    for x in (opening.x[0] - 0.3, opening.x[1] - 0.15):
        with mesh.at(x, 0.1, high):
            mesh.grid(curved.sheet(rng, 0.45, high - rng.uniform(0.05, 0.9), 0.05), cloth, True)


def _line_wall(
    place: Place,
    rng: Rng,
    palette: Palette,
    frame: tuple[float, float, float, float],
    full: list[tuple[float, float]],
    crowd: float,
    density: float,
) -> None:
    """Furniture with its back to a wall, where no door is."""
    x0, y0, yaw, length = frame
    for _ in range(int(crowd * length)):
        item = _LINING[rng.integers(len(_LINING))](rng, palette)
        if item.width > length - 0.2:
            continue
        for _ in range(3):
            x = rng.uniform(0.1, length - item.width - 0.05)
            rectangle = rectangle_of(x0, y0, yaw, (x, x + item.width), (0.02, item.depth + 0.02))
            door = any(x < right and x + item.width > left for left, right in full)
            outside = (rectangle[2:] > np.array(place.size[:2])).any()
            if door or outside or overlaps(rectangle, place.taken):
                continue
            corner = x0 + np.cos(yaw) * x, y0 + np.sin(yaw) * x, yaw
            add(place, rng, palette, item, corner, rectangle, density)
            break


def _stand_free(place: Place, rng: Rng, palette: Palette, crowd: float, density: float) -> None:
    """What stands away from walls, lies on the floor, and hangs from the ceiling."""
    width, depth, height = place.size
    if rng.random() < 0.5:
        w, d = rng.uniform(1.0, min(3.0, width - 0.4)), rng.uniform(0.7, min(2.2, depth - 0.4))
        with place.fixed.at(rng.uniform(w / 2, width - w / 2), rng.uniform(d / 2, depth - d / 2)):
            place.fixed.box((-w / 2, w / 2), (-d / 2, d / 2), (0, 0.01), palette.draw("rug"))
    for _ in range(min(25, int(rng.poisson(crowd * width * depth / 4 * rng.random())))):
        item = _FREE[rng.integers(len(_FREE))](rng, palette)
        for _ in range(3):
            x, y = rng.uniform(0.3, width - 0.3), rng.uniform(0.3, depth - 0.3)
            yaw = rng.uniform(0, 2 * np.pi)
            rectangle = rectangle_of(x, y, yaw, (0, item.width), (0, item.depth))
            inside = (rectangle[:2] > 0.1).all() and (
                rectangle[2:] < np.array(place.size[:2]) - 0.1
            ).all()
            if inside and not overlaps(rectangle, place.taken):
                add(place, rng, palette, item, (x, y, yaw), rectangle, density)
                break
    for _ in range(int(rng.poisson(0.4 + 0.02 * density * width * depth / 4))):
        spot = np.array([rng.uniform(0.2, width - 0.2), rng.uniform(0.2, depth - 0.2), 0.0])
        if all(not (spot[:2] > r[:2]).all() or not (spot[:2] < r[2:]).all() for r in place.taken):
            mesh = Mesh()
            tops.put(mesh, rng, palette, spot)
            rectangle = np.concatenate([spot[:2] - 0.15, spot[:2] + 0.15])
            place.things.append(Thing(mesh, Mesh(), (spot[0], spot[1]), rectangle))
    for _ in range(int(rng.integers(0, 3))):
        lines.floor_cable(place.fixed, rng, palette, (width, depth))
    for _ in range(int(rng.integers(0, 3))):
        at = rng.uniform(0.2, 0.8, 2) * (width, depth)
        lines.hanging_lamp(place.fixed, rng, palette, (at[0], at[1], height))


def add(
    place: Place,
    rng: Rng,
    palette: Palette,
    item: Item,
    frame: tuple[float, float, float],
    rectangle: np.typing.NDArray[np.float64],
    density: float,
) -> None:
    """Put an item with things upon it into a place, its corner at x, y, turned by yaw."""
    mesh = Mesh()
    with mesh.at(frame[0], frame[1], 0, frame[2]), mesh.at(0, 0.02):
        item.draw(mesh)
    middle = (rectangle[:2] + rectangle[2:]) / 2
    place.taken.append(rectangle)
    load = tops.clutter(rng, palette, mesh, density)
    place.things.append(Thing(mesh, load, (middle[0], middle[1]), rectangle))
