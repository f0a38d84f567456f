# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A small textured world, and what a camera in it sees: images and depth with known poses."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera

WIDTH, HEIGHT, FOCAL = 320, 240, 300.0
_SCALE = 200.0  # texture pixels a meter


def make_texture(seed: int) -> np.ndarray:
    """(800, 800, 3) of blobs of all sizes."""
    random = np.random.default_rng(seed)
    texture = np.zeros((800, 800, 3), np.float32)
    for side in (20, 50, 100, 200, 400):
        noise = random.uniform(0, 1, (side, side, 3)).astype(np.float32)
        texture += cv2.resize(noise, (800, 800), interpolation=cv2.INTER_CUBIC)
    low, high = texture.min(), texture.max()
    return np.uint8((texture - low) / (high - low) * 255)


@dataclass(frozen=True)
class Panel:
    """A rectangle across the map's z axis [m], with its own part of the texture."""

    z: float
    left: float = -np.inf
    right: float = np.inf
    top: float = -np.inf
    bottom: float = np.inf
    shift: float = 0.0


@dataclass(frozen=True)
class World:
    """Panels painted with one texture."""

    texture: np.ndarray
    panels: tuple[Panel, ...]


# One plane, two meters ahead of the map's origin.
WALL = World(make_texture(7), (Panel(2.0),))
_STEPS = (
    Panel(3.0),
    Panel(2.0, -1.3, -0.35, -1.0, 0.25, shift=97.0),
    Panel(1.7, 0.3, 1.1, -0.3, 0.9, shift=211.0),
    Panel(2.4, -0.5, 0.5, 0.3, 1.0, shift=331.0),
)
# Depth that varies, without which a camera's motion cannot be told from pixels alone.
ROOM = World(make_texture(11), _STEPS)
OTHER_ROOM = World(make_texture(12), _STEPS)


def camera_pose(
    x: float = 0.0, y: float = 0.0, z: float = 0.0, turn: float = 0.0, tilt: float = 0.0
) -> np.ndarray:
    """map <- camera, looking along z, turned about the vertical and tilted [m, rad]."""
    return transforms.make(transforms.rotation_from_vector([tilt, turn, 0.0]), [x, y, z])


def make_camera(width: int = WIDTH, height: int = HEIGHT) -> Camera:
    """The camera of `render`."""
    focal = FOCAL * width / WIDTH
    return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def render(
    pose: np.ndarray,
    width: int = WIDTH,
    height: int = HEIGHT,
    world: World = WALL,
    focal: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """RGB image and depth [m] from a pose; without a focal length [pixels], by `make_camera`."""
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    focal = focal or FOCAL * width / WIDTH
    rays = np.stack(
        [(u - (width - 1) / 2) / focal, (v - (height - 1) / 2) / focal, np.ones_like(u)], -1
    )
    directions = rays @ pose[:3, :3].T
    image = np.zeros((height, width, 3), np.uint8)
    depth = np.full((height, width), np.inf)
    for panel in world.panels:
        z = (panel.z - pose[2, 3]) / directions[..., 2]
        x, y, _ = np.moveaxis(directions * z[..., None] + pose[:3, 3], -1, 0)
        seen = (z > 0) & (z < depth) & (panel.left <= x) & (x < panel.right)
        seen &= (panel.top <= y) & (y < panel.bottom)
        where = (np.stack([x, y]) * _SCALE + 400 + panel.shift).astype(np.float32)
        painted = cv2.remap(world.texture, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        image[seen], depth[seen] = painted[seen], z[seen]
    return image, depth.astype(np.float32)


def view(pose: np.ndarray, world: World = ROOM, depth: bool = True, stamp: int = 0) -> Frame:
    """A frame from a pose."""
    image, z = render(pose, world=world)
    return Frame(image, make_camera(), stamp, depth=z if depth else None)
