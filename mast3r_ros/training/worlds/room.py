# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A furnished room with its lights, drawn from a generator of random numbers."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.training.worlds import furniture, walls
from mast3r_ros.training.worlds.mesh import Mesh
from mast3r_ros.training.worlds.palette import Palette
from mast3r_ros.training.worlds.textures import Library

Rng = np.random.Generator

# Side of the map of the floor's shadows [pixels].
SHADOW_SIDE = 128
LIGHTS = 4
# What stands in a kind of room, and how often the kind is drawn.
_KINDS = {
    "living": ("sofa", "television", "bookshelf", "table", "plant", "lamp", "chest"),
    "bedroom": ("bed", "wardrobe", "chest", "table", "bookshelf", "lamp"),
    "office": ("table", "table", "bookshelf", "wardrobe", "plant", "cartons", "table"),
    "kitchen": ("kitchen", "appliance", "table", "chest", "kitchen"),
    "store": ("cartons", "bookshelf", "bookshelf", "wardrobe", "cartons", "appliance"),
    "any": tuple(furniture.KINDS),
}


@dataclass(frozen=True)
class Room:
    """What the renderer and the cameras need to know of a room.

    Attributes:
        vertices: (4 N, mesh.VERTEX_FLOATS), a quad each four.
        solids: (M, 10), its boxes as `Mesh.solids` has them.
        size: (3,) of the room [m]; it begins at the origin.
        lights: (LIGHTS, 6), position [m] and intensity by color.
        ambient: (3,) light from everywhere.
        shadows: (SHADOW_SIDE, SHADOW_SIDE) uint8, light on the floor, 128 where undisturbed.
        changed: how many of the last vertices belong to things that are not where they are at the
            other time of the place.
        far: how far colors are drawn [m]; what has a depth ends at 60 m.
    """

    vertices: NDArray[np.float32]
    solids: NDArray[np.float64]
    size: NDArray[np.float64]
    lights: NDArray[np.float32]
    ambient: NDArray[np.float32]
    shadows: NDArray[np.uint8]
    changed: int = 0
    far: float = 60.0


def make_room(rng: Rng, library: Library, wildness: float) -> Room:
    """Build and furnish a room of 2.5 to 12 m."""
    palette = Palette(library, rng, wildness * rng.random())
    names = list(_KINDS)
    kind = names[rng.integers(len(names))]
    small, large = (2.5, 5.5) if rng.random() < 0.6 else (3.5, 12.0)
    width, depth = rng.uniform(small, large), rng.uniform(small, min(large, 9.0))
    height = rng.uniform(2.3, 3.0) + 0.15 * max(0.0, max(width, depth) - 8)
    mesh = Mesh()
    # Under and over the walls too, so that no light comes through the joints.
    across, along = (-0.09, width + 0.09), (-0.09, depth + 0.09)
    mesh.box(across, along, (-0.1, 0), palette.draw("floor"))
    mesh.box(across, along, (height, height + 0.1), palette.draw("ceiling"))
    taken: list[NDArray[np.float64]] = []
    sunny = _build_walls(mesh, rng, palette, kind, (width, depth, height), taken)
    _place_inside(mesh, rng, palette, (width, depth), taken)
    lights, ambient = make_lights(mesh, rng, palette, (width, depth, height))
    solids = mesh.solids()
    size = np.array([width, depth, height])
    shadows = floor_shadows(rng, solids, size, sunny)
    return Room(mesh.vertices(), solids, size, lights, ambient, shadows)


def _build_walls(
    mesh: Mesh,
    rng: Rng,
    palette: Palette,
    kind: str,
    size: tuple[float, float, float],
    taken: list[NDArray[np.float64]],
) -> list[NDArray[np.float64]]:
    """Four walls and what stands and hangs at them; the middles of windows on the floor plan."""
    width, depth, height = size
    style = walls.make_style(rng, palette)
    frames = (
        (0.0, 0.0, 0.0, width),
        (width, 0.0, np.pi / 2, depth),
        (width, depth, np.pi, width),
        (0.0, depth, 1.5 * np.pi, depth),
    )
    sunny = []
    doors = rng.permutation([1, int(rng.random() < 0.4), 0, 0])
    crowd = rng.uniform(0.3, 1.2)
    for (x, y, yaw, length), door in zip(frames, doors, strict=True):
        accent = walls.make_style(rng, palette) if rng.random() < 0.2 else style
        with mesh.at(x, y, 0, yaw):
            windows = int(rng.integers(0, 2 + int(length > 5)))
            openings = walls.make_openings(rng, length, height, int(door), windows)
            walls.build_wall(mesh, rng, palette, accent, length, height, openings)
            full = [
                (opening.x[0] - 0.1, opening.x[1] + 0.1, opening.z[0] or 9.0)
                for opening in openings
            ]
            _line_wall(mesh, rng, palette, kind, (x, y, yaw, length), full, crowd, taken)
            covered = full + [(opening.x[0] - 0.1, opening.x[1] + 0.1, 9.0) for opening in openings]
            walls.hang(mesh, rng, palette, length, covered, int(rng.integers(0, 3 + int(length))))
        for opening in openings:
            if opening.kind == "window":
                middle = np.mean(opening.x)
                turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
                corners = [(opening.x[0], 0.3), (opening.x[1], 0.3), (middle + 0.9, 1.9)]
                corners.append((middle - 0.3, 1.9))
                sunny.append(np.array(corners) @ turn.T + (x, y))
    return sunny


def _line_wall(
    mesh: Mesh,
    rng: Rng,
    palette: Palette,
    kind: str,
    frame: tuple[float, float, float, float],
    full: list[tuple[float, float, float]],
    crowd: float,
    taken: list[NDArray[np.float64]],
) -> None:
    """Put furniture against the wall; `full` gains the stretches that it covers."""
    x0, y0, yaw, length = frame
    for _ in range(int(crowd * length)):
        item = furniture.KINDS[str(rng.choice(_KINDS[kind]))](rng, palette)
        if item.width > length - 0.2:
            continue
        for _ in range(3):
            x = rng.uniform(0.1, length - item.width - 0.05)
            rectangle = rectangle_of(x0, y0, yaw, (x, x + item.width), (0.02, item.depth + 0.02))
            blocked = any(x < b and x + item.width > a and item.height > top for a, b, top in full)
            # A passage before doors.
            door = any(x < b and x + item.width > a and top == 9.0 for a, b, top in full)
            if blocked or door or overlaps(rectangle, taken):
                continue
            taken.append(rectangle)
            full.append((x, x + item.width, item.height))
            with mesh.at(x, 0.02):
                item.draw(mesh)
            break


def _place_inside(
    mesh: Mesh,
    rng: Rng,
    palette: Palette,
    size: tuple[float, float],
    taken: list[NDArray[np.float64]],
) -> None:
    """Things that stand free: tables, piles, rugs, columns, screens of wall height."""
    width, depth = size
    if rng.random() < 0.5:
        w, d = rng.uniform(1.0, min(3.0, width - 0.4)), rng.uniform(0.7, min(2.2, depth - 0.4))
        with mesh.at(rng.uniform(w / 2, width - w / 2), rng.uniform(d / 2, depth - d / 2)):
            mesh.box((-w / 2, w / 2), (-d / 2, d / 2), (0, 0.01), palette.draw("rug"))
    for _ in range(int(width * depth / 8 * rng.random() + rng.random())):
        name = str(rng.choice(("table", "cartons", "plant", "chest", "sofa", "bookshelf")))
        item = furniture.KINDS[name](rng, palette)
        yaw = rng.integers(4) * np.pi / 2
        for _ in range(3):
            x, y = rng.uniform(0.5, width - 0.5), rng.uniform(0.5, depth - 0.5)
            across = (-item.width / 2, item.width / 2), (-item.depth / 2, item.depth / 2)
            rectangle = rectangle_of(x, y, yaw, *across)
            inside = (rectangle[:2] > 0.3).all() and (rectangle[2:] < np.array(size) - 0.3).all()
            if not inside or overlaps(rectangle, taken):
                continue
            taken.append(rectangle)
            with (
                mesh.at(x, y, 0, yaw + rng.uniform(-0.3, 0.3)),
                mesh.at(-item.width / 2, -item.depth / 2),
            ):
                item.draw(mesh)
            break


def rectangle_of(
    x0: float, y0: float, yaw: float, x: tuple[float, float], y: tuple[float, float]
) -> NDArray[np.float64]:
    """A rectangle of a frame in the world: low x, low y, high x, high y."""
    c, s = np.cos(yaw), np.sin(yaw)
    corners = np.array([(a, b) for a in x for b in y]) @ np.array([[c, s], [-s, c]]) + (x0, y0)
    return np.concatenate([corners.min(0), corners.max(0)])


def overlaps(rectangle: NDArray[np.float64], taken: list[NDArray[np.float64]]) -> bool:
    if not taken:
        return False
    others = np.stack(taken)
    return bool(((rectangle[:2] < others[:, 2:]) & (rectangle[2:] > others[:, :2])).all(1).any())


def make_lights(
    mesh: Mesh, rng: Rng, palette: Palette, size: tuple[float, float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lamps at the ceiling and daylight, some warm, some cold, unevenly strong."""
    width, depth, height = size
    lights = np.zeros((LIGHTS, 6), np.float32)
    count = int(rng.integers(1, LIGHTS + 1))
    warmth = rng.uniform(-0.25, 0.25)
    for i in range(count):
        x, y = rng.uniform(0.15, 0.85, 2) * (width, depth)
        z = height - rng.uniform(0.15, 0.5)
        tint = 1 + (warmth + rng.uniform(-0.05, 0.05)) * np.array([1, 0, -1])
        # As bright however large the room is.
        strength = rng.uniform(0.5, 1.5) * (0.4 * width * depth + 2) / count
        lights[i] = [x, y, z, *(strength * tint)]
        w, d = rng.uniform(0.1, 0.6, 2)
        shade = palette.glowing("wall", 1.0)
        mesh.box((x - w, x + w), (y - d, y + d), (height - 0.08, height), shade)
    ambient = rng.uniform(0.15, 0.5) * (1 + rng.uniform(-0.12, 0.12, 3))
    return lights, ambient.astype(np.float32)


def floor_shadows(
    rng: Rng,
    solids: NDArray[np.float64],
    size: NDArray[np.float64],
    sunny: list[NDArray[np.float64]],
) -> NDArray[np.uint8]:
    """What furniture takes from the floor's light, and what the sun adds through windows."""
    light = np.full((SHADOW_SIDE, SHADOW_SIDE), 128, np.float32)
    scale = SHADOW_SIDE / size[:2]
    if rng.random() < 0.5:
        for corners in sunny:
            cv2.fillConvexPoly(light, (corners * scale).astype(np.int32), 220.0)
    x, y, z, yaw = solids[:, :4].T
    low, high = solids[:, 4::2], solids[:, 5::2]
    near = (z + low[:, 2] < 1.0) & (z + high[:, 2] > 0.05)
    near &= np.prod(high - low, 1) > 1e-3
    c, s = np.cos(yaw), np.sin(yaw)
    corners = np.stack(
        [
            np.stack([x + c * a - s * b, y + s * a + c * b], 1)
            for a, b in (
                (low[:, 0], low[:, 1]),
                (high[:, 0], low[:, 1]),
                (high[:, 0], high[:, 1]),
                (low[:, 0], high[:, 1]),
            )
        ],
        1,
    )
    for corner in (corners[near] * scale).astype(np.int32):
        cv2.fillConvexPoly(light, corner, 40.0)
    return cv2.GaussianBlur(light, (0, 0), 3.0).astype(np.uint8)
