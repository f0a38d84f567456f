# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The way of a robot through a room, and what happens to it: determined by the generator alone."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.training.worlds import cameras
from mast3r_ros.training.worlds.room import Room

Rng = np.random.Generator
Array = NDArray[np.float64]

# The cameras sit on a ring around the middle of the robot.
HEIGHT, RING = 0.6, 0.12  # [m]
# Time between two moments [ns].
PERIOD = 400_000_000
# Way and turn in that time: an indoor robot at 0.4 m/s, and faster where it drives blind to a door.
_STEP, _TURN, _PASSAGE_STEP = 0.16, 0.25, 0.4
# Part of the drive at which each event begins, and how many moments the black-out takes.
_DARK, _DARK_MOMENTS, _BUMP, _LAST = 0.25, 12, 0.5, 0.65
# How far the robot is carried at the least [m], and how far a bump moves and turns it [m, rad].
_CARRIED_BY = 1.0
_BUMPED_BY, _BUMP_TURN = (0.05, 0.15), (0.1, 0.2)
# The least distance to the next target [m].
_FAR = 0.5
_TRIALS = 500


class Event(Enum):
    """What begins at a moment of a drive."""

    START = "start"
    DARK = "black-out"
    LIGHT = "light again"
    BUMP = "bump"
    CARRIED = "carried away"
    DOOR = "wrong door"

    @property
    def is_unnoticed(self) -> bool:
        """Whether the robot was moved, and its odometry saw nothing of it."""
        return self in (Event.BUMP, Event.CARRIED)


@dataclass(frozen=True)
class Moment:
    """Where the robot is at one instant.

    Attributes:
        stamp: [ns].
        body: map <- body, (4, 4): x ahead, z up, on the floor.
        event: what begins here, None where nothing does.
        dark: its images are black.
        room: number of the room that it is in.
    """

    stamp: int
    body: Pose
    event: Event | None = None
    dark: bool = False
    room: int = 0


def make_route(
    rng: Rng, room: Room, count: int, twin: Array | None = None, further: int = 0
) -> list[Moment] | None:
    """A way from target to target; None where the room leaves no space for it.

    For 12 moments all is dark, later the robot is bumped, and at last carried to another place of
    the room. Of the latter two odometry knows nothing.

    Args:
        rng: of the way.
        room: where the robot drives.
        count: moments.
        twin: (3,) where a room that looks like this one lies in the map [m]. Then the robot is not
            carried away at last, but drives blind through a door to the same place of that room.
        further: moments after these, on which nothing happens. What is drawn from `rng` after the
            way does not depend on them.
    """
    spot = free_spot(rng, room)
    if spot is None:
        return None
    robot = _Robot(rng, room, spot, float(rng.uniform(0, 2 * np.pi)))
    dark = range(round(_DARK * count), round(_DARK * count) + _DARK_MOMENTS)
    begins = {0: Event.START, dark.start: Event.DARK, dark.stop: Event.LIGHT}
    begins[round(_BUMP * count)] = Event.BUMP
    last = round(_LAST * count)
    begins[last] = Event.CARRIED if twin is None else Event.DARK
    passage = 0 if twin is None else int(np.ceil(np.linalg.norm(twin) / _PASSAGE_STEP))
    if twin is not None:
        begins[last + passage] = Event.DOOR
    way: list[Moment] = []
    for number in range(count + further):
        if number == count:
            robot.rng = deepcopy(rng)
        event = begins.get(number)
        if event is Event.BUMP and not robot.is_bumped():
            return None
        if event is Event.CARRIED and not robot.is_carried():
            return None
        body, passed = robot.body, 0.0
        if twin is not None and number >= last:
            passed = min((number - last) / passage, 1.0)
            body = transforms.make(body[:3, :3], body[:3, 3] + passed * twin)
        blind = number in dark or 0 < passed < 1 or (twin is not None and number == last)
        way.append(Moment((number + 1) * PERIOD, body, event, blind, int(passed == 1.0)))
        # In the passage the robot drives straight on, to the same place of the other room.
        if not (twin is not None and last <= number < last + passage) and not robot.drives():
            return None
    return way


def make_stroll(rng: Rng, room: Room, count: int) -> list[Pose] | None:
    """A way from target to target on which nothing happens: `count` poses room <- body.

    Returns:
        None where the room leaves no space for it.
    """
    spot = free_spot(rng, room)
    if spot is None:
        return None
    robot, way = _Robot(rng, room, spot, float(rng.uniform(0, 2 * np.pi))), list[Pose]()
    for _ in range(count):
        way.append(robot.body)
        if not robot.drives():
            return None
    return way


def free_spot(rng: Rng, room: Room) -> Array | None:
    """A place of the floor where the robot has room, (2,) [m]."""
    for _ in range(_TRIALS):
        spot = rng.uniform(0.3, room.size[:2] - 0.3)
        if _is_free(room, spot):
            return spot
    return None


class _Robot:
    """A robot that turns toward a target, drives there, and takes the next one."""

    def __init__(self, rng: Rng, room: Room, spot: Array, yaw: float) -> None:
        self.rng, self._room, self._spot, self._yaw = rng, room, spot, yaw
        self._target: Array | None = None

    @property
    def body(self) -> Pose:
        """Room <- body."""
        turn = transforms.rotation_from_vector([0.0, 0.0, self._yaw])
        return transforms.make(turn, [*self._spot, 0.0])

    def drives(self) -> bool:
        """One step on; False where there is nowhere to go."""
        if self._target is None:
            self._target = self._next_target()
            if self._target is None:
                return False
        ahead = self._target - self._spot
        off = (np.arctan2(ahead[1], ahead[0]) - self._yaw + np.pi) % (2 * np.pi) - np.pi
        if abs(off) > _TURN:
            self._yaw += float(np.sign(off)) * _TURN
            return True
        length = float(np.linalg.norm(ahead))
        self._spot = self._spot + ahead * min(1.0, _STEP / length)
        self._yaw += float(off)
        if length <= _STEP + 1e-6:
            self._target = None
        return True

    def is_bumped(self) -> bool:
        """Pushed and turned a little; False where there is no room for it."""
        for _ in range(_TRIALS):
            angle = self.rng.uniform(0, 2 * np.pi)
            push = self.rng.uniform(*_BUMPED_BY) * np.array([np.cos(angle), np.sin(angle)])
            if _is_free(self._room, self._spot + push):
                turn = self.rng.uniform(*_BUMP_TURN) * self.rng.choice((-1.0, 1.0))
                self._spot, self._yaw, self._target = self._spot + push, self._yaw + turn, None
                return True
        return False

    def is_carried(self) -> bool:
        """Put down elsewhere in the room; False where there is no such place."""
        for _ in range(_TRIALS):
            found = free_spot(self.rng, self._room)
            if found is not None and np.linalg.norm(found - self._spot) > _CARRIED_BY:
                self._spot, self._target = found, None
                self._yaw = float(self.rng.uniform(0, 2 * np.pi))
                return True
        return False

    def _next_target(self) -> Array | None:
        for _ in range(_TRIALS):
            found = free_spot(self.rng, self._room)
            if found is None:
                return None
            far = np.linalg.norm(found - self._spot) > _FAR
            if far and _is_open(self._room, self._spot, found):
                return found
        return None


def _is_free(room: Room, spot: Array) -> bool:
    """Whether the robot has room at a place of the floor."""
    around = [(0.0, 0.0), (RING, 0.0), (-RING, 0.0), (0.0, RING), (0.0, -RING)]
    return all(
        cameras.is_free(room, np.array([spot[0] + x, spot[1] + y, HEIGHT])) for x, y in around
    )


def _is_open(room: Room, start: Array, end: Array) -> bool:
    """Whether the robot can drive straight from one place to another."""
    parts = np.linspace(0, 1, max(2, int(np.linalg.norm(end - start) / 0.08)))
    return all(_is_free(room, start + part * (end - start)) for part in parts)
