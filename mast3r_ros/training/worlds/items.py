# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Things to furnish with, each in a frame of its own: back at y = 0, floor at z = 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mast3r_ros.training.worlds.mesh import Material, Mesh
from mast3r_ros.training.worlds.palette import Palette

Rng = np.random.Generator


@dataclass(frozen=True)
class Item:
    """A thing of some width (x) and depth (y) [m], and how it is drawn into a mesh.

    `height` is that of its bulk: what stands over a window would hide it.
    """

    width: float
    depth: float
    height: float
    draw: Callable[[Mesh], None]


def clutter(
    mesh: Mesh, rng: Rng, palette: Palette, x: tuple[float, float], y: tuple[float, float], z: float
) -> None:
    """Small things upon a surface."""
    for _ in range(int(rng.integers(0, 5))):
        at = rng.uniform(*x), rng.uniform(*y)
        kind = rng.integers(4)
        with mesh.at(*at, z, rng.uniform(-0.6, 0.6)):
            if kind == 0:
                mesh.drum(0, 0, (0, rng.uniform(0.08, 0.3)), rng.uniform(0.03, 0.06), _any(palette))
            elif kind == 1:
                w, d, h = rng.uniform((0.1, 0.05, 0.05), (0.35, 0.25, 0.3))
                mesh.box((-w / 2, w / 2), (-d / 2, d / 2), (0, h), palette.draw("box"))
            elif kind == 2:
                top = 0.0
                for _ in range(int(rng.integers(1, 5))):
                    w, h = rng.uniform((0.15, 0.015), (0.3, 0.05))
                    material = _any(palette)
                    mesh.box((-w / 2, w / 2), (-0.1, 0.1), (top, top + h), material)
                    top += h
            else:
                mesh.box((-0.1, 0.1), (-0.14, 0.14), (0, 0.004), palette.draw("page"))


def _any(palette: Palette) -> Material:
    return palette.plain()
