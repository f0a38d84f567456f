# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""An endless, repeatable source of pairs of views with known overlap."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.overlap import overlap
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.training.worlds import cameras, version_2
from mast3r_ros.training.worlds.flaws import photograph
from mast3r_ros.training.worlds.photometry import expose
from mast3r_ros.training.worlds.renderer import Model, Renderer
from mast3r_ros.training.worlds.room import Room, make_room
from mast3r_ros.training.worlds.textures import SPLITS, VERSIONS, make_library
from mast3r_ros.training.worlds.views import Pair, View

Rng = np.random.Generator

# Rooms that are alive at a time, and the pairs that are taken from each.
_ROOMS = 16
_PAIRS = 8
_TRIALS_BESIDE = 12
# Way between both cameras of a pair [m], by version: halls and yards are wide.
_LONGEST = {1: 2.5, 2: 5.0}
_SIZE = ImageSize(128, 96)
# Way and turn of a hand between two images [m, rad].
_HAND_STEP, _HAND_TURN = 0.05, np.deg2rad(1.5)


class PairSource:
    """Pairs of views of procedural rooms, each determined by the arguments and its index.

    Rooms last for blocks of `BLOCK` indices, consecutive pairs coming from different rooms: a
    process that takes whole blocks builds each room once.

    Args:
        seed: of everything.
        split: "train" or "held-out", which share neither rooms nor textures.
        size: of landscape images.
        min_overlap, max_overlap: limits of `Pair.overlap`.
        wildness: in [0, 1], how many surfaces have textures that no room has.
        augment: strength of the cameras' flaws; 0 (or False) leaves the images ideal.
        version: of the worlds. 1 are rooms of boxes; 2 adds what is named in `worlds.version_2`.

    Raises:
        ValueError: an argument has no meaning.
        NoOpenGL, TexturesMissing: something is not installed.
    """

    BLOCK = _ROOMS * _PAIRS

    def __init__(
        self,
        seed: int,
        split: str = "train",
        size: ImageSize = _SIZE,
        min_overlap: float = 0.15,
        max_overlap: float = 0.95,
        wildness: float = 0.3,
        augment: float = 1.0,
        version: int = 1,
    ) -> None:
        if not 0 < min_overlap < max_overlap <= 1:
            raise ValueError(
                f"overlap from {min_overlap} to {max_overlap}: expected 0 < low < high"
            )
        if not 0 <= wildness <= 1:
            raise ValueError(f"wildness {wildness}: expected a number in [0, 1]")
        if version not in VERSIONS:
            raise ValueError(f"version {version}: known are {', '.join(map(str, VERSIONS))}")
        self._version = version
        self._library = make_library(seed, split, version)
        self._seed = [seed, SPLITS.index(split)]
        self._size = size
        self._limits = min_overlap, max_overlap
        self._wildness = wildness
        self._augment = float(augment)
        self._renderer = Renderer(self._library, smooth=version > 1)
        self._places: OrderedDict[int, tuple[Model, Model]] = OrderedDict()

    def pair(self, index: int, portrait: bool = False) -> Pair:
        """The pair of a number from 0 on, in landscape or portrait."""
        models = self._models_of(index)
        rng = np.random.default_rng([*self._seed, 1, index, int(portrait)])
        width, height = self._size[::-1] if portrait else self._size
        while True:
            drawn = self._draw(rng, models, width, height)
            if drawn is not None:
                break
        chosen, depths, poses, share = drawn
        views = [
            self._view(rng, model, camera, depth, pose)
            for model, camera, depth, pose in zip(models, chosen, depths, poses, strict=True)
        ]
        return Pair(views[0], views[1], share)

    def approach(self, index: int, query: View, count: int) -> list[View]:
        """What a camera in a hand saw on its way to the query of a pair, the oldest view first.

        Args:
            index: of the pair.
            query: of it.
            count: of the views before it.
        """
        model = self._models_of(index)[1]
        rng = np.random.default_rng([*self._seed, 2, index])
        shorter = 1.0
        while True:
            move = shorter * rng.normal(0, _HAND_STEP / np.sqrt(3), 3)
            turn = shorter * rng.normal(0, _HAND_TURN / np.sqrt(3), 3)
            poses = [_away(query.pose, k * move, k * turn) for k in range(count, 0, -1)]
            depths = [self._renderer.depth(model, query.camera, pose) for pose in poses[:1]]
            if _is_open(depths[0]) and all(cameras.is_free(model.room, p[:3, 3]) for p in poses):
                break
            # Where there is little room, the hand hardly moves.
            shorter *= 0.8
        depths += [self._renderer.depth(model, query.camera, pose) for pose in poses[1:]]
        return [
            self._view(rng, model, query.camera, depth, pose)
            for depth, pose in zip(depths, poses, strict=True)
        ]

    def _models_of(self, index: int) -> tuple[Model, Model]:
        """The place of a pair as its reference and as its query see it."""
        block, within = divmod(index, self.BLOCK)
        models = self._place(block * _ROOMS + within % _ROOMS)
        return models if within // _ROOMS % 2 == 0 else models[::-1]

    def _place(self, number: int) -> tuple[Model, Model]:
        """A place at two times; mostly they are one."""
        if number in self._places:
            self._places.move_to_end(number)
            return self._places[number]
        if len(self._places) >= _ROOMS:
            self._places.popitem(last=False)
        rng = np.random.default_rng([*self._seed, 0, number])
        if self._version == 1:
            rooms: tuple[Room, ...] = (make_room(rng, self._library, self._wildness),)
        else:
            rooms = version_2.make_place(rng, self._library, self._wildness)
        models = [self._renderer.load(room) for room in rooms]
        self._places[number] = models[0], models[-1]
        return self._places[number]

    def _draw(
        self, rng: Rng, models: tuple[Model, Model], width: int, height: int
    ) -> _Drawn | None:
        """Two cameras whose views overlap as asked, with their depths; None had no luck."""
        first = cameras.place(rng, models[0].room)
        if first is None:
            return None
        camera = cameras.make_camera(rng, width, height)
        depth = self._renderer.depth(models[0], camera, first)
        if not _is_open(depth):
            return None
        seen = _points(depth, camera, first)
        for _ in range(_TRIALS_BESIDE):
            second = cameras.place_beside(rng, models[1].room, first, seen, _LONGEST[self._version])
            if second is None:
                continue
            other = camera if rng.random() < 0.7 else cameras.make_camera(rng, width, height)
            other_depth = self._renderer.depth(models[1], other, second)
            if not _is_open(other_depth):
                continue
            moved = transforms.inverse(second) @ first
            share = overlap(depth, other_depth, camera, other, moved)
            if self._limits[0] <= share <= self._limits[1]:
                return (camera, other), (depth, other_depth), (first, second), share
        return None

    def _view(
        self, rng: Rng, model: Model, camera: Camera, depth: NDArray[np.float32], pose: Pose
    ) -> View:
        image = self._renderer.color(model, camera, pose)
        if self._augment:
            spoil = expose if self._version == 1 else photograph
            image = spoil(rng, image, self._augment)
        changed = self._renderer.changed(model, camera, pose, depth)
        return View(image, depth, camera, pose, changed)


_Drawn = tuple[
    tuple[Camera, Camera],
    tuple[NDArray[np.float32], NDArray[np.float32]],
    tuple[Pose, Pose],
    float,
]


def _away(pose: Pose, move: NDArray[np.float64], turn: NDArray[np.float64]) -> Pose:
    """A pose moved in the world and turned about its own axes [m, rad]."""
    turned = pose[:3, :3] @ transforms.rotation_from_vector(turn)
    return transforms.make(turned, pose[:3, 3] + move)


def _is_open(depth: NDArray[np.float32]) -> bool:
    """Whether a camera sees a room, and not only the side of a wardrobe."""
    known = depth[::4, ::4]
    known = np.sort(known[np.isfinite(known)])
    if known.size < 0.5 * depth.size / 16:
        return False
    near, middle, far = known[[known.size // 20, known.size // 2, known.size * 9 // 10]]
    return bool(near > 0.25 and middle > 0.9 and far > 1.5)


def _points(depth: NDArray[np.float32], camera: Camera, pose: Pose) -> NDArray[np.float64]:
    """Some points that a camera sees near the middle of its image, in the world, (N, 3) [m]."""
    h, w = depth.shape
    v, u = np.mgrid[h // 4 : 3 * h // 4 : 5, w // 4 : 3 * w // 4 : 5].reshape(2, -1)
    z = depth[v, u]
    points = camera.unproject(np.stack([u, v], 1), z)[np.isfinite(z)]
    return np.asarray(points @ pose[:3, :3].T + pose[:3, 3])
