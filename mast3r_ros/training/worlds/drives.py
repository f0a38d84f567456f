# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A robot that drives through a rendered room: what its cameras see, with exact truth.

On its way it passes a black-out (its images are black), and is carried to another place of the
room, of which its odometry knows nothing. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.training.worlds import cameras
from mast3r_ros.training.worlds.photometry import expose
from mast3r_ros.training.worlds.renderer import Model, Renderer
from mast3r_ros.training.worlds.room import Room, make_room
from mast3r_ros.training.worlds.textures import make_library
from mast3r_ros.training.worlds.views import View

Rng = np.random.Generator
Array = NDArray[np.float64]

# Time between two moments [ns].
_PERIOD = 400_000_000
# Way and turn in that time: an indoor robot at 0.4 m/s.
_STEP, _TURN = 0.16, 0.25
# The cameras sit on a ring around the middle of the robot, looking outward, slightly down.
_HEIGHT, _RING, _PITCH = 0.6, 0.12, -0.05
_FIELD_OF_VIEW = 75.0  # [degrees]
# Where keyframes are taken, and in how many directions.
_PLACES, _HEADINGS = 8, 4
# Part of the drive at which the black-out begins, how many moments it takes, and when the robot is
# carried away, by this much at the least [m].
_DARK, _DARK_MOMENTS, _CARRIED = 0.3, 12, 0.75
_CARRIED_BY = 1.0
# Exposure and noise as between two passes of one camera on one day.
_AUGMENT = 0.5
_TRIALS = 500


@dataclass(frozen=True)
class Moment:
    """Where the robot is at one instant.

    Attributes:
        stamp: [ns].
        body: map <- body, (4, 4): x ahead, z up, on the floor.
        dark: its images are black.
        carried: it was carried here since the moment before.
    """

    stamp: int
    body: Pose
    dark: bool = False
    carried: bool = False


@dataclass(frozen=True)
class Drive:
    """A room, a map of it, and the way of a robot through it.

    Attributes:
        keyframes: with depth, their poses in the map.
        moments: the way.
        mounts: body <- camera of each camera of the rig.
    """

    keyframes: tuple[View, ...]
    moments: tuple[Moment, ...]
    mounts: tuple[Pose, ...]
    _model: Model
    _world: DriveWorld
    _seed: int

    def views(self) -> Iterator[tuple[Moment, list[View]]]:
        """Each moment with the images of all cameras."""
        for number, moment in enumerate(self.moments):
            rng = np.random.default_rng([self._seed, 7, number])
            yield (
                moment,
                [
                    self._world.view(rng, self._model, moment.body @ mount, moment.dark)
                    for mount in self.mounts
                ],
            )


class DriveWorld:
    """Drives, each in a room of its own that was held out of training.

    Args:
        size: of the images.

    Raises:
        NoOpenGL, TexturesMissing: something is not installed.
    """

    def __init__(self, size: ImageSize) -> None:
        self.library = make_library(0, "held-out")
        self.renderer = Renderer(self.library)
        width, height = size
        focal = width / 2 / np.tan(np.deg2rad(_FIELD_OF_VIEW) / 2)
        self.camera = Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)

    def drive(self, seed: int, count: int, moments: int) -> Drive:
        """The drive of a seed, of a rig of `count` cameras."""
        rng = np.random.default_rng([seed, 11])
        room, way = None, None
        while room is None or way is None:
            room = make_room(rng, self.library, 0.2)
            way = _drive_through(rng, room, moments)
        model = self.renderer.load(room)
        # Headings of keyframes are the map's, not those of the drive.
        mapped = [
            self.view(rng, model, transforms.make(np.eye(3), [*spot, 0.0]) @ _mount(yaw), False)
            for spot in _spread(rng, room, _PLACES)
            for yaw in rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(_HEADINGS) / _HEADINGS
        ]
        mounts = tuple(_mount(2 * np.pi * i / count) for i in range(count))
        return Drive(tuple(mapped), tuple(way), mounts, model, self, seed)

    def view(self, rng: Rng, model: Model, pose: Pose, dark: bool) -> View:
        """A photograph of a room."""
        image = expose(rng, self.renderer.color(model, self.camera, pose), _AUGMENT)
        if dark:
            image = np.zeros_like(image)
        return View(image, self.renderer.depth(model, self.camera, pose), self.camera, pose)


def _mount(yaw: float) -> Pose:
    position = np.array([_RING * np.cos(yaw), _RING * np.sin(yaw), _HEIGHT])
    return cameras.look(position, float(yaw), _PITCH, 0.0)


def _is_free(room: Room, spot: Array) -> bool:
    """Whether the robot has room at a place of the floor."""
    around = [(0.0, 0.0), (_RING, 0.0), (-_RING, 0.0), (0.0, _RING), (0.0, -_RING)]
    return all(
        cameras.is_free(room, np.array([spot[0] + x, spot[1] + y, _HEIGHT])) for x, y in around
    )


def _free_spot(rng: Rng, room: Room) -> Array | None:
    for _ in range(_TRIALS):
        spot = rng.uniform(0.3, room.size[:2] - 0.3)
        if _is_free(room, spot):
            return spot
    return None


def _spread(rng: Rng, room: Room, count: int) -> list[Array]:
    """Free places that are far from each other."""
    spots = [spot for _ in range(6 * count) if (spot := _free_spot(rng, room)) is not None]
    chosen = [spots[0]]
    while len(chosen) < count:
        away = [min(float(np.linalg.norm(s - c)) for c in chosen) for s in spots]
        chosen.append(spots[int(np.argmax(away))])
    return chosen


def _is_open(room: Room, start: Array, end: Array) -> bool:
    """Whether the robot can drive straight from one place to another."""
    parts = np.linspace(0, 1, max(2, int(np.linalg.norm(end - start) / 0.08)))
    return all(_is_free(room, start + part * (end - start)) for part in parts)


def _drive_through(rng: Rng, room: Room, count: int) -> list[Moment] | None:
    """The way of a robot; None where the room leaves no space for it."""
    spot, yaw = _free_spot(rng, room), float(rng.uniform(0, 2 * np.pi))
    if spot is None:
        return None
    dark = range(round(_DARK * count), round(_DARK * count) + _DARK_MOMENTS)
    way: list[Moment] = []
    target: Array | None = None
    while len(way) < count:
        number, carried = len(way), False
        if number == round(_CARRIED * count):
            elsewhere = _elsewhere(rng, room, spot)
            if elsewhere is None:
                return None
            spot, yaw, target, carried = elsewhere, float(rng.uniform(0, 6.28)), None, True
        turn = transforms.rotation_from_vector([0.0, 0.0, yaw])
        body = transforms.make(turn, [*spot, 0.0])
        way.append(Moment((number + 1) * _PERIOD, body, number in dark, carried))
        if target is None:
            target = _next_target(rng, room, spot)
            if target is None:
                return None
        spot, yaw = _toward(spot, yaw, target)
        if np.linalg.norm(target - spot) < 1e-6:
            target = None
    return way


def _elsewhere(rng: Rng, room: Room, spot: Array) -> Array | None:
    for _ in range(_TRIALS):
        found = _free_spot(rng, room)
        if found is not None and np.linalg.norm(found - spot) > _CARRIED_BY:
            return found
    return None


def _next_target(rng: Rng, room: Room, spot: Array) -> Array | None:
    for _ in range(_TRIALS):
        found = _free_spot(rng, room)
        if found is None:
            return None
        if np.linalg.norm(found - spot) > 0.5 and _is_open(room, spot, found):
            return found
    return None


def _toward(spot: Array, yaw: float, target: Array) -> tuple[Array, float]:
    """One step: turn toward the target first, then drive."""
    ahead = target - spot
    off = (np.arctan2(ahead[1], ahead[0]) - yaw + np.pi) % (2 * np.pi) - np.pi
    if abs(off) > _TURN:
        return spot, yaw + float(np.sign(off)) * _TURN
    length = float(np.linalg.norm(ahead))
    return spot + ahead * min(1.0, _STEP / length), yaw + float(off)
