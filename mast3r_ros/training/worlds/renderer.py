# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rooms to images and depth, with OpenGL through EGL: on a GPU, or a CPU by Mesa's llvmpipe."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.errors import UserError
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.training.worlds import mesh, shaders
from mast3r_ros.training.worlds.room import SHADOW_SIDE, Room
from mast3r_ros.training.worlds.textures import Library

if TYPE_CHECKING:
    import moderngl

_NEAR, _FAR = 0.05, 60.0
# Of each pixel's area, for its color.
_SAMPLES = 4


class NoOpenGL(UserError, RuntimeError):
    """There is no OpenGL on this machine. The message says what to install."""


@dataclass
class Model:
    """A room in the renderer's memory."""

    room: Room
    shaded: moderngl.VertexArray
    bare: moderngl.VertexArray
    shadows: moderngl.Texture
    changed: moderngl.VertexArray | None = None


class Renderer:
    """The textures of a library in OpenGL, and what draws rooms with them.

    Args:
        library: of the textures.
        smooth: whether normals change over a face, as those of curved things do.

    Raises:
        NoOpenGL: there is no context to be had.
    """

    def __init__(self, library: Library, smooth: bool = False) -> None:
        self._context = context = _context()
        count, height, width = library.images.shape[:3]
        self._textures = context.texture_array((width, height, count), 3, library.images.tobytes())
        # Not anisotropic: that stalls llvmpipe for minutes.
        self._textures.build_mipmaps()
        self._textures.filter = (context.LINEAR_MIPMAP_LINEAR, context.LINEAR)
        vertex, color = shaders.VERTEX, shaders.COLOR
        if smooth:
            vertex, color = shaders.smooth(vertex), shaders.smooth(color)
        self._color = context.program(vertex, color)
        self._depth = context.program(shaders.VERTEX_BARE, shaders.DEPTH)
        self._color["textures"] = 0
        self._color["shadows"] = 1
        self._targets: dict[tuple[int, int, int], moderngl.Framebuffer] = {}

    def load(self, room: Room) -> Model:
        """Bring a room into the renderer's memory."""
        context = self._context
        # What was forgotten gives its memory back.
        context.gc()
        vertices = context.buffer(room.vertices.tobytes())
        order = context.buffer(mesh.indices(len(room.vertices)).tobytes())
        names = ("position", "normal", "coordinate", "layer", "dark", "light", "surface")
        shaded = context.vertex_array(
            self._color, [(vertices, "3f 3f 2f 1f 3f 3f 2f", *names)], order
        )
        skipped = 4 * (mesh.VERTEX_FLOATS - 3)
        positions = [(vertices, f"3f {skipped}x", "position")]
        bare = context.vertex_array(self._depth, positions, order)
        shadows = context.texture((SHADOW_SIDE, SHADOW_SIDE), 1, room.shadows.tobytes())
        changed = None
        if room.changed:
            # The last vertices.
            last = mesh.indices(room.changed) + len(room.vertices) - room.changed
            changed = context.vertex_array(self._depth, positions, context.buffer(last.tobytes()))
        return Model(room, shaded, bare, shadows, changed)

    def depth(self, model: Model, camera: Camera, pose: Pose) -> NDArray[np.float32]:
        """z of what is seen at each pixel's center, (H, W) [m]; NaN where nothing is."""
        return self._depth_of(model.bare, camera, pose)

    def changed(
        self, model: Model, camera: Camera, pose: Pose, depth: NDArray[np.float32]
    ) -> NDArray[np.bool_] | None:
        """Where something changed is seen, see `View`; `depth` is that of the view."""
        if model.changed is None:
            return None
        own = self._depth_of(model.changed, camera, pose)
        return np.asarray(own <= 1.0001 * depth)

    def _depth_of(
        self, array: moderngl.VertexArray, camera: Camera, pose: Pose
    ) -> NDArray[np.float32]:
        target = self._target(camera.width, camera.height, 0)
        target.clear()
        self._depth["world_to_clip"] = _world_to_clip(camera, pose)
        array.render()
        data = np.frombuffer(target.read(components=1, dtype="f4"), np.float32)
        depth: NDArray[np.float32] = data.reshape(camera.height, camera.width).copy()
        depth[depth == 0] = np.nan
        return depth

    def color(self, model: Model, camera: Camera, pose: Pose) -> NDArray[np.uint8]:
        """The image of an ideal camera, (H, W, 3), each pixel a mean over its area."""
        size = camera.width, camera.height
        target = self._target(*size, _SAMPLES)
        target.clear(0.85, 0.92, 1.0)
        room, program = model.room, self._color
        program["world_to_clip"] = _world_to_clip(camera, pose, room.far)
        program["room"] = tuple(room.size)
        program["ambient"] = tuple(room.ambient)
        program["lights"] = [tuple(light) for light in room.lights[:, :3].tolist()]
        program["intensities"] = [tuple(light) for light in room.lights[:, 3:].tolist()]
        self._textures.use(0)
        model.shadows.use(1)
        model.shaded.render()
        mean = self._target(*size, 1)
        self._context.copy_framebuffer(mean, target)
        data = np.frombuffer(mean.read(components=3), np.uint8)
        return data.reshape(camera.height, camera.width, 3)

    def _target(self, width: int, height: int, samples: int) -> moderngl.Framebuffer:
        """Where images are rendered: of depth for 0 samples, of colors for more."""
        key = width, height, samples
        if key not in self._targets:
            make, size = self._context, (width, height)
            if samples > 1:
                color = make.renderbuffer(size, 4, samples=samples)
                depth = make.depth_renderbuffer(size, samples=samples)
                self._targets[key] = make.framebuffer([color], depth)
            elif samples:
                self._targets[key] = make.framebuffer([make.renderbuffer(size, 4)])
            else:
                color = make.renderbuffer(size, 1, dtype="f4")
                self._targets[key] = make.framebuffer([color], make.depth_renderbuffer(size))
        self._targets[key].use()
        return self._targets[key]


@functools.cache
def _context() -> moderngl.Context:
    """The one context of this process: OpenGL draws into whichever was made current last."""
    # The threads of llvmpipe would only hinder other renderers, and the training beside them.
    os.environ.setdefault("LP_NUM_THREADS", "1")
    try:
        import moderngl
    except ImportError as error:
        raise NoOpenGL(f"{error}: pip install 'mast3r_ros[train]'") from error
    try:
        context = moderngl.create_context(330, standalone=True, backend="egl")  # type: ignore[arg-type]
    except Exception as error:
        raise NoOpenGL(
            f"no OpenGL context through EGL ({error}): install Mesa's "
            "(sudo apt install libegl1 libgl1 libgl1-mesa-dri), or the driver of the GPU"
        ) from error
    context.gc_mode = "context_gc"
    context.enable(context.DEPTH_TEST | context.CULL_FACE)
    # Image rows run downwards, so that front sides turn the other way.
    context.front_face = "cw"
    return context


def _world_to_clip(camera: Camera, pose: Pose, far: float = _FAR) -> tuple[float, ...]:
    """OpenGL's matrix, column by column, for an image that begins with its upper row.

    Pixel (u, v) of `camera` lies at (u + 0.5, v + 0.5) of the viewport.
    """
    w, h = camera.width, camera.height
    clip = np.zeros((4, 4))
    clip[0, 0], clip[0, 2] = 2 * camera.fx / w, 2 * (camera.cx + 0.5) / w - 1
    clip[1, 1], clip[1, 2] = 2 * camera.fy / h, 2 * (camera.cy + 0.5) / h - 1
    clip[2, 2], clip[2, 3] = (far + _NEAR) / (far - _NEAR), -2 * far * _NEAR / (far - _NEAR)
    clip[3, 2] = 1
    return tuple((clip @ transforms.inverse(pose)).T.ravel().tolist())
