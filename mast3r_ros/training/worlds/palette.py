# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which textures and colors a room's things are made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.training.worlds.mesh import Color, Material
from mast3r_ros.training.worlds.patterns import color
from mast3r_ros.training.worlds.textures import Library

# What a role may be made of.
_ROLES = {
    "wall": ("plaster", "plaster", "plaster", "wallpaper", "wallpaper", "bricks", "tiles"),
    "floor": ("planks", "planks", "tiles", "tiles", "fabric", "stone", "plaster"),
    "ceiling": ("plaster", "plaster", "ceiling", "planks"),
    "wood": ("wood",),
    "cloth": ("fabric",),
    "metal": ("metal",),
    "stone": ("stone", "tiles"),
    "box": ("label", "label", "cardboard"),
    "door": ("wood", "wood", "plaster", "door"),
    "rug": ("carpet",),
    "picture": ("painting", "poster"),
    "poster": ("poster", "page"),
    "page": ("page",),
    "books": ("spines",),
    "screen": ("screen",),
    "outdoors": ("outdoors",),
    "grate": ("grate", "metal"),
    # Of the second version's libraries alone.
    "bare wall": ("faint",),
    "leaf": ("leaf",),
    "sky": ("sky",),
    "ground": ("stone", "tiles", "fabric", "plaster"),
    "facade": ("plaster", "bricks", "faint", "tiles"),
}
# How often a role is painted over.
_PAINTED = {"wall": 0.4, "ceiling": 0.8, "wood": 0.25, "door": 0.5, "metal": 0.5, "facade": 0.4}
# Roles that show something: they are never replaced or recolored.
_PICTURES = {"rug", "picture", "poster", "page", "books", "screen", "outdoors", "box", "sky"}


class Palette:
    """Draws materials.

    Args:
        library: of the textures.
        rng: whatever is drawn, is drawn from it.
        wildness: in [0, 1], how many surfaces have a texture that no room has; at 1, most.
    """

    def __init__(self, library: Library, rng: np.random.Generator, wildness: float) -> None:
        self._library = library
        self._rng = rng
        self._wild = 0.7 * wildness

    def draw(self, role: str) -> Material:
        """A material for a role."""
        rng = self._rng
        shows = role in _PICTURES
        wild = not shows and rng.random() < self._wild
        kinds = ("wild", "poster", "carpet") if wild else _ROLES[role]
        kinds = tuple(kind for kind in kinds if kind in self._library.kinds)
        layers = self._library.kinds[kinds[rng.integers(len(kinds))]]
        layer = layers[rng.integers(len(layers))]
        width, height = self._library.textures[layer].size
        if not width and not shows and role not in ("door", "grate"):
            width = height = rng.uniform(0.5, 1.5)
        stretch = rng.uniform(0.9, 1.1)
        material = Material(layer, (width * stretch, height * stretch))
        if shows:
            return replace(material, light=_tint(rng, 0.15))
        if wild and rng.random() < 0.5:
            ends = _color(color(rng, vivid=0.9)), _color(color(rng, 0.3, 1.0, 0.9))
            return replace(material, dark=ends[0], light=ends[1], recolor=0.8)
        if role in _PAINTED and rng.random() < _PAINTED[role]:
            # Of most walls the paint is pale; here and there one has a strong color.
            strong = rng.random() < 0.2
            bright = color(rng, 0.3 if strong else 0.7, 1.0, 0.7 if strong else 0.12)
            ends = _color(bright * rng.uniform(0.3, 0.8)), _color(bright)
            return replace(material, dark=ends[0], light=ends[1], recolor=0.9)
        return replace(material, light=_tint(rng, 0.2))

    def plain(self, low: float = 0.05, high: float = 0.95, vivid: float = 0.4) -> Material:
        """Nearly one color: paint or plastic."""
        return self.painted(color(self._rng, low, high, vivid))

    def painted(self, paint: NDArray[np.float32]) -> Material:
        """Paint or plastic of a color (3,)."""
        layers = self._library.kinds["plaster"]
        layer = layers[self._rng.integers(len(layers))]
        return Material(layer, (1.5, 1.5), _color(paint * 0.5), _color(paint * 1.2), 0.9)

    def glowing(self, role: str, glow: float) -> Material:
        """A material that shines."""
        return replace(self.draw(role), glow=glow)


def _color(values: NDArray[np.float32]) -> Color:
    r, g, b = np.clip(values, 0, 1).tolist()
    return r, g, b


def _tint(rng: np.random.Generator, amount: float) -> Color:
    return _color(1 - amount * rng.random(3).astype(np.float32))
