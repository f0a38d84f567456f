# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pairs for training tests without a renderer, and a recipe small enough for them."""

from __future__ import annotations

from functools import cache

import numpy as np
import synthetic

from mast3r_ros.network.config import MAST3RConfig
from mast3r_ros.training import data
from mast3r_ros.training.recipes import Recipe
from mast3r_ros.training.worlds import Pair, View

SMALL = MAST3RConfig(
    patch_size=8,
    encoder_width=64,
    encoder_depth=1,
    encoder_heads=2,
    decoder_width=64,
    decoder_depth=2,
    decoder_heads=2,
    head="linear",
    local_features_ratio=1,
    rays=True,
    image_size=64,
)
RECIPE = Recipe(
    SMALL, steps=6, batch=4, learning_rate=1e-3, warm_up=2, matches=64, near=4, portrait=0.0
)


@cache
def make_pair(number: int, portrait: bool = False, side: int = 64) -> Pair:
    """Two looks at the synthetic room, 4:3 or 3:4 with the longer side given. Kept, and shared."""
    random = np.random.default_rng(number)
    width, height = (side * 3 // 4, side) if portrait else (side, side * 3 // 4)

    def view() -> View:
        x, y, z, turn, tilt = random.uniform(-1, 1, 5) * (0.3, 0.2, 0.2, 0.15, 0.1)
        pose = synthetic.camera_pose(x, y, z, turn, tilt)
        image, depth = synthetic.render(pose, width, height, synthetic.ROOM)
        return View(image, depth, synthetic.make_camera(width, height), pose)

    return Pair(view(), view(), 0.7)


class SyntheticSource:
    """Stands in for the renderer, with the same signature."""

    def __init__(
        self, seed, split="train", size=(64, 48), min_overlap=0.15, wildness=1.0, version=1
    ):
        self.seed, self.size = seed, size

    def pair(self, index: int, portrait: bool = False) -> Pair:
        """The pair of a number; only the first eight differ."""
        return make_pair(1000 * self.seed + index % 8, portrait, max(self.size))


def batch(count: int = 3, portrait: bool = False) -> data.Batch:
    """Some pairs as a batch."""
    return data.collate([make_pair(i, portrait) for i in range(count)])
