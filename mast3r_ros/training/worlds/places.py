# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Places of the second version: what is fixed, what can be moved, and the place another time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.training.worlds.mesh import Mesh
from mast3r_ros.training.worlds.room import Room, floor_shadows, overlaps

Rng = np.random.Generator
Lights = tuple[NDArray[np.float32], NDArray[np.float32]]
_Part = tuple[NDArray[np.float32], NDArray[np.float64]]

# How many of the things that can be moved are not where they were.
_RESTLESS = 0.4


@dataclass(frozen=True)
class Thing:
    """Something that can be moved: furniture with what lies on it, or the leaf of a door.

    Attributes:
        mesh: of the thing.
        load: of what lies on it; it goes where the thing goes, or is cleared away.
        middle: about which it turns, x and y [m].
        rectangle: of the floor that it takes, as `room.rectangle_of` has it; None for a door.
    """

    mesh: Mesh
    load: Mesh
    middle: tuple[float, float]
    rectangle: NDArray[np.float64] | None


@dataclass
class Place:
    """A place as it is built.

    Attributes:
        size: it begins at the origin [m].
        fixed: what never moves.
        things: what can be moved.
        taken: rectangles of the floor that are taken.
        sunny: patches of the floor that the sun may reach.
        far: see `Room`.
    """

    size: tuple[float, float, float]
    fixed: Mesh = field(default_factory=Mesh)
    things: list[Thing] = field(default_factory=list)
    taken: list[NDArray[np.float64]] = field(default_factory=list)
    sunny: list[NDArray[np.float64]] = field(default_factory=list)
    far: float = 60.0

    def once(self, rng: Rng, lights: Lights) -> Room:
        """The place as it was built."""
        return self._room(rng, lights, list(self._parts(self.things)), [])

    def twice(self, rng: Rng, lights: tuple[Lights, Lights]) -> tuple[Room, Room]:
        """The place at two times: lit differently, some things moved, gone, or there only later."""
        stays: list[_Part] = []
        before: list[_Part] = []
        after: list[_Part] = []
        for thing in self.things:
            own, load = self._parts([thing])
            if rng.random() > _RESTLESS:
                stays.append(own)
                # Tables are cleared more often than they are moved.
                (stays if rng.random() < 0.6 else (before, after)[rng.integers(2)]).append(load)
                continue
            fate = rng.random()
            motion = self._motion(rng, thing)
            if fate < 0.7 or thing.rectangle is None:
                before += [own, load]
                after += [_moved(part, motion) for part in (own, load)]
            else:
                (before if fate < 0.85 else after).extend([own, load])
        seed = int(rng.integers(2**31))
        first, second = (
            self._room(np.random.default_rng([seed, i]), light, stays, changed)
            for i, (light, changed) in enumerate(zip(lights, (before, after), strict=True))
        )
        return first, second

    def _parts(self, things: list[Thing]) -> Iterator[_Part]:
        for thing in things:
            for mesh in (thing.mesh, thing.load):
                yield mesh.vertices(), mesh.solids()

    def _motion(self, rng: Rng, thing: Thing) -> NDArray[np.float64]:
        """(4, 4) where a thing goes: a door swings, everything else is pushed aside."""
        if thing.rectangle is None:
            return _about(thing.middle, rng.choice((-1, 1)) * rng.uniform(0.4, 1.5), (0.0, 0.0))
        low, high = thing.rectangle[:2], thing.rectangle[2:]
        for _ in range(5):
            shift = rng.uniform(-2.0, 2.0, 2)
            inside = (low + shift > 0.1).all() and (high + shift < np.array(self.size[:2])).all()
            rectangle = np.concatenate([low + shift, high + shift])
            if inside and not overlaps(rectangle, self.taken):
                return _about(thing.middle, rng.normal(0, 0.4), (shift[0], shift[1]))
        shift = rng.normal(0, 0.1, 2)
        return _about(thing.middle, rng.normal(0, 0.3), (shift[0], shift[1]))

    def _room(self, rng: Rng, lights: Lights, parts: list[_Part], changed: list[_Part]) -> Room:
        vertices = [self.fixed.vertices(), *(part[0] for part in (*parts, *changed))]
        solids = np.concatenate([self.fixed.solids(), *(part[1] for part in (*parts, *changed))])
        size = np.array(self.size)
        shadows = floor_shadows(rng, solids, size, self.sunny)
        count = sum(len(part[0]) for part in changed)
        return Room(np.concatenate(vertices), solids, size, *lights, shadows, count, self.far)


def relit(rng: Rng, lights: Lights) -> Lights:
    """Other lamps on, by another light of the day."""
    lamps, ambient = lights
    lamps = lamps.copy()
    lamps[:, 3:] *= rng.uniform(0.0, 1.8, (len(lamps), 1)) * rng.uniform(0.8, 1.2, 3)
    return lamps, (ambient * rng.uniform(0.5, 1.6) * rng.uniform(0.85, 1.15, 3)).astype(np.float32)


def _about(
    middle: tuple[float, float], angle: float, shift: tuple[float, float]
) -> NDArray[np.float64]:
    """(4, 4) a turn about an upright axis [rad], and a shift [m]."""
    turn = transforms.rotation_from_vector(np.array([0.0, 0.0, angle]))
    center = np.array([*middle, 0.0])
    return transforms.make(turn, center - turn @ center + (*shift, 0.0))


def _moved(part: _Part, motion: NDArray[np.float64]) -> _Part:
    vertices, solids = part[0].copy(), part[1].copy()
    vertices[:, :3] = transforms.apply(motion, vertices[:, :3].astype(np.float64))
    vertices[:, 3:6] = vertices[:, 3:6] @ motion[:3, :3].T
    solids[:, :3] = transforms.apply(motion, solids[:, :3])
    solids[:, 3] += np.arctan2(motion[1, 0], motion[0, 0])
    return vertices, solids
