# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A robot that drives through a rendered room: what its cameras see, with exact truth.

What happens to it on its way, `routes` says. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.training.worlds import cameras
from mast3r_ros.training.worlds.palette import Palette
from mast3r_ros.training.worlds.photometry import expose
from mast3r_ros.training.worlds.renderer import Model, Renderer
from mast3r_ros.training.worlds.room import Room, make_room
from mast3r_ros.training.worlds.routes import (
    HEIGHT,
    PERIOD,
    RING,
    Moment,
    free_spot,
    make_route,
    make_stroll,
)
from mast3r_ros.training.worlds.textures import make_library
from mast3r_ros.training.worlds.twins import make_twins
from mast3r_ros.training.worlds.views import View

Rng = np.random.Generator
Array = NDArray[np.float64]

# The cameras look outward, slightly down.
_PITCH = -0.05
_FIELD_OF_VIEW = 75.0  # [degrees]
# Where keyframes are taken in a room, and in how many directions.
_PLACES, _HEADINGS = 8, 4
# Exposure and noise as between two passes of one camera on one day.
_AUGMENT = 0.5
# Between a room and its twin [m], and cartons by which they can be told apart.
_WALL, _CARTONS = 1.0, 6


@dataclass(frozen=True)
class Drive:
    """One or two rooms, a map of them, and the way of a robot through them.

    Attributes:
        keyframes: with depth, their poses in the map.
        moments: the way.
        mounts: body <- camera of each camera of the rig.
        rooms: the models, with where each lies in the map, (3,) [m].
    """

    keyframes: tuple[View, ...]
    moments: tuple[Moment, ...]
    mounts: tuple[Pose, ...]
    rooms: tuple[tuple[Model, Array], ...]
    _world: DriveWorld
    _seed: int

    def views(self) -> Iterator[tuple[Moment, list[View]]]:
        """Each moment with the images of all cameras."""
        for number, moment in enumerate(self.moments):
            rng = np.random.default_rng([self._seed, 7, number])
            model, offset = self.rooms[moment.room]
            yield (
                moment,
                [
                    self._world.view(rng, model, offset, moment.body @ mount, moment.dark)
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

    def drive(
        self, seed: int, count: int, moments: int, twin: bool = False, further: int = 0
    ) -> Drive:
        """The drive of a seed.

        Args:
            seed: of all.
            count: cameras of the robot.
            moments: images of each camera.
            twin: two rooms that are alike but for some cartons, both mapped. The robot is not
                carried away, but enters the other one.
            further: images of each camera after these, on which nothing happens.
        """
        rng = np.random.default_rng([seed, 11])
        rooms: tuple[Room, ...] = ()
        way = None
        while way is None:
            room = make_room(rng, self.library, 0.2)
            offset = np.array([room.size[0] + _WALL, 0.0, 0.0])
            rooms = (room,)
            if twin:
                rooms = make_twins(rng, room, Palette(self.library, rng, 0.0), _CARTONS)
            way = make_route(rng, rooms[0], moments, offset if twin else None, further)
        models = tuple((self.renderer.load(r), offset * i) for i, r in enumerate(rooms))
        mounts = tuple(_mount(2 * np.pi * i / count) for i in range(count))
        keyframes = tuple(view for model in models for view in self._mapped(rng, *model))
        return Drive(keyframes, tuple(way), mounts, models, self, seed)

    def tour(self, seed: int, visits: Sequence[int], moments: int, number: int = 0) -> Drive:
        """A drive through several rooms, one after the other and again, by one camera.

        The rooms stand in two rows. From one to the next the robot drives without an image.

        Args:
            seed: of the rooms.
            visits: numbers of the rooms, from 0 on, in the order of the visits.
            moments: images of each visit.
            number: of the drive: the same rooms on other ways.

        Returns:
            The drive, without keyframes: what it sees is for a map.
        """
        placed = self._in_two_rows(seed, max(visits) + 1)
        rng = np.random.default_rng([seed, 17, number])
        way: list[Moment] = []
        for visited in visits:
            (model, offset), stroll = placed[visited], None
            while stroll is None:
                stroll = make_stroll(rng, model.room, moments)
            for body in stroll:
                in_map = transforms.make(body[:3, :3], body[:3, 3] + offset)
                way.append(Moment((len(way) + 1) * PERIOD, in_map, room=visited))
        return Drive((), tuple(way), (_mount(0.0),), placed, self, 100 * seed + number)

    def _in_two_rows(self, seed: int, count: int) -> tuple[tuple[Model, Array], ...]:
        """Rooms of a tour, and where each lies in the map, (3,) [m]."""
        rooms = [
            make_room(np.random.default_rng([seed, 16, i]), self.library, 0.2) for i in range(count)
        ]
        apart = np.max([room.size[:2] for room in rooms], axis=0) + _WALL
        places = [np.array([*(divmod(i, 2) * apart), 0.0]) for i in range(count)]
        return tuple((self.renderer.load(r), at) for r, at in zip(rooms, places, strict=True))

    def view(self, rng: Rng, model: Model, offset: Array, pose: Pose, dark: bool = False) -> View:
        """A photograph of a room that lies at `offset` in the map; `pose` is map <- camera."""
        inside = transforms.make(pose[:3, :3], pose[:3, 3] - offset)
        image = expose(rng, self.renderer.color(model, self.camera, inside), _AUGMENT)
        if dark:
            image = np.zeros_like(image)
        return View(image, self.renderer.depth(model, self.camera, inside), self.camera, pose)

    def _mapped(self, rng: Rng, model: Model, offset: Array) -> list[View]:
        """Keyframes from all over a room; their headings are not those of a drive."""
        return [
            self.view(
                rng,
                model,
                offset,
                transforms.make(np.eye(3), [*(offset[:2] + spot), 0.0]) @ _mount(yaw),
            )
            for spot in _spread(rng, model.room, _PLACES)
            for yaw in rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(_HEADINGS) / _HEADINGS
        ]


def _mount(yaw: float) -> Pose:
    position = np.array([RING * np.cos(yaw), RING * np.sin(yaw), HEIGHT])
    return cameras.look(position, float(yaw), _PITCH, 0.0)


def _spread(rng: Rng, room: Room, count: int) -> list[Array]:
    """Free places that are far from each other."""
    spots = [spot for _ in range(6 * count) if (spot := free_spot(rng, room)) is not None]
    chosen = [spots[0]]
    while len(chosen) < count:
        away = [min(float(np.linalg.norm(s - c)) for c in chosen) for s in spots]
        chosen.append(spots[int(np.argmax(away))])
    return chosen
