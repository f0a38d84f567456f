# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The library of textures: procedural ones, and those of the Python package `miniworld`.

What is held out differs in both: other names of the package, other seeds of the patterns.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.errors import UserError
from mast3r_ros.training.worlds.patterns import SIDE
from mast3r_ros.training.worlds.patterns import SURFACES as SURFACES_1
from mast3r_ros.training.worlds.patterns_faint import SURFACES_2
from mast3r_ros.training.worlds.pictures import PICTURES

SPLITS = ("train", "held-out")
SURFACES = {**SURFACES_1, **SURFACES_2}
# How many of each procedural kind.
_COUNTS = {
    "plaster": 14,
    "planks": 14,
    "wood": 14,
    "bricks": 8,
    "tiles": 16,
    "wallpaper": 16,
    "fabric": 20,
    "carpet": 16,
    "metal": 8,
    "stone": 8,
    "wild": 24,
    "painting": 30,
    "poster": 30,
    "page": 16,
    "spines": 20,
    "label": 20,
    "screen": 10,
    "outdoors": 16,
}
# What the second version has beside them.
_COUNTS_2 = {"faint": 24, "leaf": 10, "sky": 12}
VERSIONS = (1, 2)
# Of `miniworld`: kind, and the width and height that a texture covers [m]; 0 is stretched.
_PACKAGED = {
    "airduct_grate_1": ("grate", 0.0),
    "asphalt_1": ("stone", 1.5),
    "brick_wall_1": ("bricks", 1.3),
    "cardboard_1": ("cardboard", 0.5),
    "cardboard_2": ("cardboard", 0.5),
    "cardboard_3": ("cardboard", 0.8),
    "cardboard_4": ("cardboard", 0.6),
    "ceiling_tile_noborder_1": ("ceiling", 0.6),
    "ceiling_tiles_1": ("ceiling", 2.4),
    "cinder_blocks_1": ("bricks", 1.0),
    "concrete_1": ("plaster", 2.0),
    "concrete_2": ("plaster", 2.0),
    "concrete_3": ("plaster", 2.0),
    "concrete_4": ("plaster", 2.0),
    "concrete_tiles_1": ("tiles", 1.8),
    "door_garage_red": ("metal", 2.0),
    "door_garage_white": ("metal", 2.0),
    "door_steel_brown": ("door", 0.0),
    "door_steel_grey": ("door", 0.0),
    "door_steel_red": ("door", 0.0),
    "drywall_1": ("plaster", 1.5),
    "floor_tiles_bw_1": ("tiles", 1.2),
    "floor_tiles_white": ("tiles", 1.2),
    "grass_1": ("fabric", 1.0),
    "grass_2": ("fabric", 1.0),
    "lava_1": ("wild", 1.0),
    "lava_2": ("wild", 1.0),
    "marble_1": ("stone", 1.0),
    "marble_2": ("stone", 1.5),
    "metal_grill_1": ("metal", 0.3),
    "metal_grill_2": ("metal", 0.3),
    "picket_fence_1": ("wallpaper", 1.2),
    "rock_1": ("stone", 1.5),
    "slime_1": ("wild", 0.8),
    "stucco_1": ("plaster", 1.0),
    "water_1": ("wild", 1.0),
    "water_2": ("wild", 1.0),
    "water_3": ("wild", 1.0),
    "wood_1": ("wood", 0.8),
    "wood_2": ("wood", 0.8),
    "wood_planks_1": ("planks", 1.2),
}
_HELD_OUT = {
    "brick_wall_1",
    "cardboard_2",
    "concrete_3",
    "ceiling_tile_noborder_1",
    "door_steel_grey",
    "floor_tiles_white",
    "grass_2",
    "lava_2",
    "marble_2",
    "metal_grill_2",
    "water_3",
    "wood_2",
}


class TexturesMissing(UserError, RuntimeError):
    """The package that the textures come from is not installed."""


@dataclass(frozen=True)
class Texture:
    """A texture of the library.

    Attributes:
        name: unique within its split.
        kind: what it can cover.
        size: width and height that it covers [m]; (0, 0): it is stretched over a face.
        source, license: where it comes from, and under which terms.
    """

    name: str
    kind: str
    size: tuple[float, float]
    source: str
    license: str


@dataclass(frozen=True)
class Library:
    """Textures with their images, (N, SIDE, SIDE, 3) uint8, and the numbers of each kind."""

    textures: tuple[Texture, ...]
    images: NDArray[np.uint8]
    kinds: dict[str, tuple[int, ...]]


@functools.lru_cache(maxsize=4)
def make_library(seed: int, split: str, version: int = 1) -> Library:
    """Draw and read the textures of a split, for a version of the worlds.

    Raises:
        TexturesMissing: `miniworld` is not installed.
        ValueError: there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r}: known are {', '.join(SPLITS)}")
    textures, images = [], []
    for number, (kind, count) in enumerate(_counts(version).items()):
        for i in range(count):
            rng = np.random.default_rng([SPLITS.index(split), seed, number, i])
            size = (0.0, 0.0)
            if kind in SURFACES:
                image, size = SURFACES[kind](rng)
            else:
                image = PICTURES[kind](rng)
            textures.append(Texture(f"{kind}_{i}", kind, size, "mast3r_ros", "Apache-2.0"))
            images.append(np.clip(image * 255, 0, 255).astype(np.uint8))
    folder = _packaged_folder()
    for name, (kind, side) in _PACKAGED.items():
        if (name in _HELD_OUT) == (split == "held-out"):
            pixels = cv2.imread(str(folder / f"{name}.png"), cv2.IMREAD_COLOR)
            if pixels is None:
                raise TexturesMissing(f"{folder / name}.png cannot be read: reinstall miniworld")
            pixels = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            images.append(np.asarray(pixels[..., ::-1], np.uint8))
            textures.append(Texture(name, kind, (side, side), "miniworld", "Apache-2.0"))
    kinds: dict[str, tuple[int, ...]] = {}
    for layer, texture in enumerate(textures):
        kinds[texture.kind] = (*kinds.get(texture.kind, ()), layer)
    return Library(tuple(textures), np.stack(images), kinds)


def describe_sources(version: int = 1) -> str:
    """A table (Markdown) of where textures come from, under which terms, and what is held out."""
    rows = ["| texture | kind | source | license | split |", "|---|---|---|---|---|"]
    for kind, count in _counts(version).items():
        rows.append(f"| {kind}, {count} each split | {kind} | mast3r_ros | Apache-2.0 | by seed |")
    for name, (kind, _) in _PACKAGED.items():
        split = "held-out" if name in _HELD_OUT else "train"
        rows.append(f"| {name} | {kind} | PyPI miniworld | Apache-2.0 | {split} |")
    return "\n".join(rows) + "\n"


def _counts(version: int) -> dict[str, int]:
    return _COUNTS if version == 1 else {**_COUNTS, **_COUNTS_2}


def _packaged_folder() -> Path:
    # Found without importing it, which would want a display.
    spec = importlib.util.find_spec("miniworld")
    if spec is None or spec.origin is None:
        raise TexturesMissing(
            "the textures of the Python package 'miniworld' are missing: "
            "pip install --no-deps miniworld"
        )
    return Path(spec.origin).parent / "textures"
