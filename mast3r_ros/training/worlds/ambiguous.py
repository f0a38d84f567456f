# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Places that have two right answers for one image, rendered: what no relocalizer may guess at.

Each scene is a small map and queries of it. Without a tell-tale, nothing in a query says which of
two poses is right, and only a refusal is honest. With one, a thing in view differs between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.training.worlds import cameras
from mast3r_ros.training.worlds.mesh import Material, Mesh
from mast3r_ros.training.worlds.palette import Palette
from mast3r_ros.training.worlds.photometry import expose
from mast3r_ros.training.worlds.renderer import Model, Renderer
from mast3r_ros.training.worlds.room import LIGHTS, SHADOW_SIDE, Room, make_room
from mast3r_ros.training.worlds.textures import make_library
from mast3r_ros.training.worlds.twins import with_carton
from mast3r_ros.training.worlds.views import View

Rng = np.random.Generator
Range = tuple[float, float]

# Where the second of two equal rooms lies in the map [m].
TWIN_OFFSET = np.array([30.0, 0.0, 0.0])
# A tell-tale that covers less of an image than this is not in view.
_IN_VIEW = 0.02
# Exposure and noise as between two passes of one camera on one day.
_AUGMENT = 0.5
_TRIALS = 200
_VGA = ImageSize(640, 480)


@dataclass(frozen=True)
class Scene:
    """A map and images of the place.

    Attributes:
        keyframes: with depth, their poses in the map.
        queries: likewise; their depth is for checks alone.
    """

    keyframes: tuple[View, ...]
    queries: tuple[View, ...]


class AmbiguousWorld:
    """Scenes of one kind, each determined by the arguments and its index.

    Args:
        kind: "twin_rooms": two rooms that are alike, 30 m apart, both mapped.
            "poster" and "floor": one plane, seen through a long lens, which has a second pose
            that is turned about the plane (the two-fold solution of a planar pose).
            "two_sided": a cabinet whose front and back are alike, mapped from all around.
        tell_tale: whether each query shows what differs: a picture on a carton in a twin room,
            a carton before the plane, a sticker on one side of the cabinet.
        seed: of everything.
        size: of the images.

    Raises:
        ValueError: there is no such kind.
        NoOpenGL, TexturesMissing: something is not installed.
    """

    def __init__(self, kind: str, tell_tale: bool, seed: int = 0, size: ImageSize = _VGA) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r}: choose one of {', '.join(KINDS)}")
        self._make = KINDS[kind]
        self._key = [seed, list(KINDS).index(kind)]
        self.tell_tale = tell_tale
        self.size = size
        self.library = make_library(seed, "held-out")
        self.renderer = Renderer(self.library)

    def scene(self, index: int, queries: int = 10) -> Scene:
        """The scene of a number from 0 on, with as many queries."""
        rng = np.random.default_rng([*self._key, index])
        return self._make(self, rng, queries)

    def view(self, rng: Rng, model: Model, camera: Camera, pose: Pose) -> View:
        """A photograph of a model."""
        image = expose(rng, self.renderer.color(model, camera, pose), _AUGMENT)
        return View(image, self.renderer.depth(model, camera, pose), camera, pose)

    def camera(self, degrees: float) -> Camera:
        """An ideal camera of a horizontal field of view."""
        width, height = self.size
        focal = width / 2 / np.tan(np.deg2rad(degrees) / 2)
        return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def _twin_rooms(world: AmbiguousWorld, rng: Rng, queries: int) -> Scene:
    seed = rng.integers(2**31)
    room = make_room(np.random.default_rng(seed), world.library, 0.2)
    palette = Palette(world.library, rng, 0.0)
    camera = world.camera(65.0)
    pictures = [palette.draw("picture"), palette.draw("picture")]
    if not world.tell_tale:
        pictures[1] = pictures[0]
    while True:
        spot = rng.uniform(0.25, 0.75, 2) * room.size[:2]
        side, height = rng.uniform(0.5, 0.8), rng.uniform(0.6, 1.0)
        box = np.array([[*(spot - side / 2), 0.0], [*(spot + side / 2), height]])
        models = [world.renderer.load(with_carton(room, box, picture)) for picture in pictures]
        poses = _poses_toward(rng, models[0].room, box, 4)
        drawn = _seen_together(world, rng, models[0], camera, poses, box, queries)
        if drawn is not None:
            break
    offsets = [np.zeros(3), TWIN_OFFSET]
    keyframes = [
        _moved(world.view(rng, model, camera, pose), offset)
        for model, offset in zip(models, offsets, strict=True)
        for pose in poses
    ]
    found = []
    for pose in drawn:
        which = int(rng.integers(2))
        found.append(_moved(world.view(rng, models[which], camera, pose), offsets[which]))
    return Scene(tuple(keyframes), tuple(found))


def _seen_together(
    world: AmbiguousWorld,
    rng: Rng,
    model: Model,
    camera: Camera,
    poses: list[Pose],
    box: NDArray[np.float64],
    count: int,
) -> list[Pose] | None:
    """Poses near the keyframes' that see the box; None where the room leaves no space for them."""
    for pose in poses:
        if _share_of(world.renderer.depth(model, camera, pose), camera, pose, box) < _IN_VIEW:
            return None
    found: list[Pose] = []
    for _ in range(_TRIALS):
        near = poses[rng.integers(len(poses))]
        position = near[:3, 3] + rng.normal(0, 0.25, 3) * (1, 1, 0.3)
        if not cameras.is_free(model.room, position):
            continue
        pose = cameras.look_at(position, box.mean(0) + rng.normal(0, 0.3, 3), rng.normal(0, 0.03))
        share = _share_of(world.renderer.depth(model, camera, pose), camera, pose, box)
        if _IN_VIEW <= share <= 0.3:
            found.append(pose)
            if len(found) == count:
                return found
    return None


def _poses_toward(rng: Rng, room: Room, box: NDArray[np.float64], count: int) -> list[Pose]:
    """Free places from which a camera looks at a box, wherever in the room."""
    middle, poses = box.mean(0), []
    for _ in range(_TRIALS):
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(1.5, 4.0)
        position = middle + reach * np.array([np.cos(angle), np.sin(angle), 0.0])
        position[2] = rng.uniform(0.8, 1.5)
        if cameras.is_free(room, position):
            target = np.append(middle[:2], box[1, 2])
            poses.append(cameras.look_at(position, target, 0.0))
            if len(poses) == count:
                break
    return poses


def _picture(
    world: AmbiguousWorld,
    rng: Rng,
    queries: int,
    middle: tuple[float, float, float],
    height: float,
    normal: tuple[float, float, float],
    upward: tuple[float, float, float],
) -> Scene:
    """A picture on the wall or the floor of a bare hall of a height."""
    palette = Palette(world.library, rng, 0.0)
    half = rng.uniform(0.35, 0.7)
    mesh, size = _blank_hall(palette), (30.0, 30.0, height)
    spans = [(x - half, x + half) for x in middle]
    spans[normal.index(1.0)] = (0.0, 0.003)
    x, y, z = spans
    mesh.box(x, y, z, palette.draw("picture"))
    plane = np.array(middle), half, np.array(normal), np.array(upward)
    carton = _beside(rng, *plane)
    if world.tell_tale:
        _put(mesh, carton, palette.draw("picture"))
    model = world.renderer.load(_bare(mesh, size))
    return _plane_scene(world, rng, model, plane, carton, queries)


_Plane = tuple[NDArray[np.float64], float, NDArray[np.float64], NDArray[np.float64]]


def _plane_scene(
    world: AmbiguousWorld,
    rng: Rng,
    model: Model,
    plane: _Plane,
    carton: NDArray[np.float64],
    queries: int,
) -> Scene:
    """Keyframes through a common lens, and queries through a long one."""

    def shot(degrees: float, part: Range, tilt: Range) -> View:
        """A view in which the plane's texture takes a part of the image's width."""
        middle, half, normal, upward = plane
        camera = world.camera(degrees)
        reach = camera.fx * 2 * half / (rng.uniform(*part) * camera.width)
        angle, around = np.deg2rad(rng.uniform(*tilt)), rng.uniform(0, 2 * np.pi)
        beside = np.cos(around) * np.cross(upward, normal) + np.sin(around) * upward
        position = middle + reach * (np.cos(angle) * normal + np.sin(angle) * beside)
        # Never under a floor or over a ceiling.
        position = np.clip(position, 0.1, model.room.size - 0.1)
        pose = _look_with(position, middle, upward)
        return world.view(rng, model, camera, pose)

    keyframes = [shot(50.0, (0.4, 0.7), (0.0, 30.0)) for _ in range(3)]
    found: list[View] = []
    while len(found) < queries:
        view = shot(rng.uniform(7.0, 25.0), (0.35, 0.7), (15.0, 55.0))
        share = _share_of(view.depth, view.camera, view.pose, carton)
        if not world.tell_tale or share >= _IN_VIEW:
            found.append(view)
    return Scene(tuple(keyframes), tuple(found))


def _two_sided(world: AmbiguousWorld, rng: Rng, queries: int) -> Scene:
    palette = Palette(world.library, rng, 0.0)
    mesh, size = _blank_hall(palette, 12.0), (12.0, 12.0, 6.0)
    middle = np.array([6.0, 6.0])
    wide, deep, high = rng.uniform((0.8, 0.4, 1.0), (1.4, 0.6, 1.8))
    face, end, top = palette.draw("picture"), palette.draw("picture"), palette.plain()
    with mesh.at(middle[0], middle[1]):
        mesh.box((-wide / 2, wide / 2), (-deep / 2, deep / 2), (0, high), face, top)
        for out in (-wide / 2 - 0.002, wide / 2):
            mesh.box((out, out + 0.002), (-deep / 2, deep / 2), (0, high), end)
        sticker = (-0.3 * wide, 0.0), (deep / 2, deep / 2 + 0.004), (0.35 * high, 0.75 * high)
        if world.tell_tale:
            mesh.box(*sticker, palette.draw("picture"))
    low = np.array([middle[0] + sticker[0][0], middle[1] + sticker[1][0], sticker[2][0]])
    box = np.array([low, [middle[0], middle[1] + sticker[1][1], sticker[2][1]]])
    model = world.renderer.load(_bare(mesh, size))
    camera = world.camera(55.0)
    target = np.array([*middle, high / 2])

    def shot(angle: float, spread: float) -> View:
        reach = rng.uniform(1.8, 2.8)
        at = (*(middle + reach * np.array([np.cos(angle), np.sin(angle)])), rng.uniform(1.0, 1.5))
        aim = target + rng.normal(0, spread, 3)
        return world.view(rng, model, camera, cameras.look_at(np.array(at), aim, 0.0))

    keyframes = [shot(angle, 0.0) for angle in np.arange(8) * np.pi / 4 + 0.2]
    found: list[View] = []
    while len(found) < queries:
        view = shot(rng.uniform(0, 2 * np.pi), 0.1)
        share = _share_of(view.depth, view.camera, view.pose, box)
        if not world.tell_tale or share >= _IN_VIEW:
            found.append(view)
    return Scene(tuple(keyframes), tuple(found))


def _blank_hall(palette: Palette, side: float = 30.0) -> Mesh:
    """Floor, ceiling and walls without a mark, alike from each side."""
    paint = palette.plain(0.6, 0.9, 0.1)
    # Drawn out over the hall, and of one color whatever the texture says.
    blank = replace(paint, size=(0.0, 0.0), dark=paint.light, recolor=1.0)
    mesh, high = Mesh(), 16.0 if side == 30.0 else 6.0
    mesh.box((0, side), (0, side), (-0.1, 0), blank)
    mesh.box((0, side), (0, side), (high, high + 0.1), blank)
    for low, top in ((-0.1, 0.0), (side, side + 0.1)):
        mesh.box((low, top), (0, side), (0, high), blank)
        mesh.box((0, side), (low, top), (0, high), blank)
    return mesh


def _bare(mesh: Mesh, size: tuple[float, float, float]) -> Room:
    """A room evenly lit, with no shadows."""
    lights = np.zeros((LIGHTS, 6), np.float32)
    ambient = np.full(3, 0.9, np.float32)
    shadows = np.full((SHADOW_SIDE, SHADOW_SIDE), 128, np.uint8)
    return Room(mesh.vertices(), mesh.solids(), np.array(size), lights, ambient, shadows)


def _beside(
    rng: Rng,
    middle: NDArray[np.float64],
    half: float,
    normal: NDArray[np.float64],
    upward: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The corners (2, 3) of a carton that stands on the plane, at an edge of its texture."""
    side = rng.uniform(0.5, 0.7) * half
    way = np.cross(upward, normal) * rng.choice((-1.0, 1.0))
    center = middle + way * (half - side / 2) + upward * rng.uniform(-0.3, 0.3) * half
    spread = (np.abs(way) + np.abs(upward)) * side / 2
    return np.sort(np.array([center - spread, center + spread + normal * side]), axis=0)


def _put(mesh: Mesh, box: NDArray[np.float64], material: Material) -> None:
    (x0, y0, z0), (x1, y1, z1) = box.tolist()
    mesh.box((x0, x1), (y0, y1), (z0, z1), material, material)


def _look_with(
    position: NDArray[np.float64], target: NDArray[np.float64], upward: NDArray[np.float64]
) -> Pose:
    """The pose of a camera that looks at a point, its image upright as `upward` says."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, upward)
    right /= np.linalg.norm(right)
    return transforms.make(np.stack([right, np.cross(forward, right), forward], 1), position)


def _share_of(
    depth: NDArray[np.float32], camera: Camera, pose: Pose, box: NDArray[np.float64]
) -> float:
    """The part of an image that a box takes, hidden parts left out."""
    v, u = np.mgrid[0 : camera.height : 8, 0 : camera.width : 8].reshape(2, -1)
    points = camera.unproject(np.stack([u, v], 1).astype(np.float64), depth[v, u])
    points = transforms.apply(pose, points)
    with np.errstate(invalid="ignore"):
        inside = ((points > box[0] - 0.01) & (points < box[1] + 0.01)).all(1)
    return float(inside.mean())


def _moved(view: View, offset: NDArray[np.float64]) -> View:
    return replace(view, pose=transforms.make(view.pose[:3, :3], view.pose[:3, 3] + offset))


KINDS: dict[str, Callable[[AmbiguousWorld, Rng, int], Scene]] = {
    "twin_rooms": _twin_rooms,
    "poster": partial(
        _picture, middle=(15.0, 0.0, 1.7), height=6.0, normal=(0, 1.0, 0), upward=(0, 0, 1.0)
    ),
    "floor": partial(
        _picture, middle=(15.0, 15.0, 0.0), height=16.0, normal=(0, 0, 1.0), upward=(0, 1.0, 0)
    ),
    "two_sided": _two_sided,
}
