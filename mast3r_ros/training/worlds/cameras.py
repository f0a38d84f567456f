# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where cameras are held, and where the second one of a pair is held."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.training.worlds.room import Room

Rng = np.random.Generator

# Fields of view along the longer side [degrees].
_FIELD_OF_VIEW = (45.0, 90.0)
# No camera comes nearer to a thing [m].
_CLEARANCE = 0.2


def make_camera(rng: Rng, width: int, height: int) -> Camera:
    """A pinhole camera whose principal point is near the middle."""
    focal = max(width, height) / 2 / np.tan(np.deg2rad(rng.uniform(*_FIELD_OF_VIEW)) / 2)
    off = rng.normal(0, 0.01, 2) * max(width, height)
    cx, cy = (width - 1) / 2 + off[0], (height - 1) / 2 + off[1]
    return Camera(width, height, float(focal), float(focal), float(cx), float(cy))


def look(position: NDArray[np.float64], yaw: float, pitch: float, roll: float) -> Pose:
    """The pose of a camera that looks along `yaw`, raised by `pitch`, turned by `roll` [rad]."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    forward = np.array([cp * cy, cp * sy, sp])
    right = np.array([sy, -cy, 0.0])
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    rotation = np.stack([c * right + s * down, c * down - s * right, forward], 1)
    return transforms.make(rotation, position)


def look_at(position: NDArray[np.float64], target: NDArray[np.float64], roll: float) -> Pose:
    """The pose of a camera that looks at a point."""
    d = target - position
    return look(
        position, float(np.arctan2(d[1], d[0])), float(np.arctan2(d[2], np.hypot(*d[:2]))), roll
    )


def is_free(room: Room, position: NDArray[np.float64]) -> bool:
    """Whether a camera has room there: inside the walls and outside of furniture."""
    if (position < _CLEARANCE).any() or (position > room.size - _CLEARANCE).any():
        return False
    solids = room.solids
    c, s = np.cos(solids[:, 3]), np.sin(solids[:, 3])
    d = position - solids[:, :3]
    local = np.stack([c * d[:, 0] + s * d[:, 1], c * d[:, 1] - s * d[:, 0], d[:, 2]], 1)
    inside = (local > solids[:, 4::2] - _CLEARANCE) & (local < solids[:, 5::2] + _CLEARANCE)
    return not bool(inside.all(1).any())


def place(rng: Rng, room: Room) -> Pose | None:
    """A camera on a robot, or in a hand; None where there was no room for it."""
    held = rng.random() < 0.3
    x, y = rng.uniform(_CLEARANCE, room.size[:2] - _CLEARANCE)
    z = rng.uniform(1.0, 1.9) if held else rng.uniform(0.3, 1.5)
    position = np.array([x, y, min(z, room.size[2] - 0.3)])
    if not is_free(room, position):
        return None
    pitch, roll = rng.normal(np.deg2rad((-8, 0)), np.deg2rad((12, 8) if held else (6, 1.5)))
    # Rather towards the room than towards the wall behind.
    middle = room.size[:2] * rng.uniform(0.1, 0.9, 2) - position[:2]
    yaw = np.arctan2(middle[1], middle[0]) + rng.normal(0, 0.5)
    return look(position, float(yaw), float(pitch), float(roll))


def place_beside(
    rng: Rng,
    room: Room,
    reference: Pose,
    seen: NDArray[np.float64],
    longest: float = 2.5,
) -> Pose | None:
    """A second camera that is likely to see some of what the first one does.

    Args:
        reference: the first one's pose.
        seen: (N, 3), points that it sees, in the world [m].
        longest: way between both [m], but for a few.
    """
    way = rng.random()
    target = seen[rng.integers(len(seen))]
    start = reference[:3, 3]
    reach = float(np.linalg.norm(target - start))
    if way < 0.15:
        position = rng.uniform(_CLEARANCE, room.size - _CLEARANCE)
        position[2] = rng.uniform(0.3, 1.8)
    else:
        heading = rng.uniform(0, 2 * np.pi)
        step = min(rng.uniform(0.04, 0.7) * rng.uniform(0.2, 1.0) * reach, longest)
        rise = rng.normal(0, 0.15) * min(step, 1)
        position = start + np.array([step * np.cos(heading), step * np.sin(heading), rise])
    if not is_free(room, position):
        return None
    roll = float(rng.normal(0, np.deg2rad(8 if rng.random() < 0.3 else 1.5)))
    if way < 0.7:
        return look_at(position, target, roll)
    # Turned on the spot, or nearly.
    forward = reference[:3, 2]
    yaw = np.arctan2(forward[1], forward[0]) + rng.normal(0, np.deg2rad(30))
    pitch = np.arcsin(np.clip(forward[2], -1, 1)) + rng.normal(0, np.deg2rad(6))
    return look(position, float(yaw), float(pitch), roll)
