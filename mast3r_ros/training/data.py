# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rendered pairs, batch after batch, never the same twice and the same at every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mast3r_ros.geometry.pixels import PixelTransform
from mast3r_ros.network.preprocess import network_channels
from mast3r_ros.training.ground_truth import Batch
from mast3r_ros.training.recipes import Recipe, Stage
from mast3r_ros.training.worlds import Pair, PairSource, View


class PairNumbers:
    """Which pairs make up each batch of one process: (pair number, whether upright).

    Args:
        recipe: tells the batch and the share of upright ones.
        seed: of the run.
        first: step to begin with.
        rank, world: this process among all; each takes its own part of a batch.
    """

    def __init__(self, recipe: Recipe, seed: int, first: int, rank: int = 0, world: int = 1):
        if recipe.batch % world:
            raise ValueError(f"batch {recipe.batch} cannot be shared among {world} processes")
        self.recipe, self.seed, self.first, self.rank, self.world = recipe, seed, first, rank, world

    def __iter__(self) -> Iterator[list[tuple[int, bool]]]:
        """Batch after batch, up to the last step."""
        share = self.recipe.batch // self.world
        for step in range(self.first, self.recipe.steps):
            upright = np.random.default_rng((self.seed, step)).random() < self.recipe.portrait
            start = step * self.recipe.batch + self.rank * share
            yield [(number, bool(upright)) for number in range(start, start + share)]


class Pairs(Dataset[Pair]):
    """The pairs of a recipe by (number, whether upright); every process has renderers.

    Versions of the worlds, the recipe's if they are not given, take turns from pair to pair, so
    that each batch has all of them.
    """

    def __init__(
        self, recipe: Recipe, seed: int, split: str = "train", versions: tuple[int, ...] = ()
    ) -> None:
        self.recipe, self.seed, self.split = recipe, seed, split
        self.versions = versions or recipe.worlds
        self._stage: Stage | None = None
        self._sources: list[PairSource] = []

    def __getitem__(self, key: tuple[int, bool]) -> Pair:
        number, upright = key
        stage = self.recipe.stage(number)
        if self._stage != stage:
            self._stage, self._sources = stage, [self._source(stage, v) for v in self.versions]
        # Each source's own numbers are consecutive: it makes rooms for many pairs.
        own, which = divmod(number, len(self._sources))
        return self._sources[which].pair(own, portrait=upright)

    def _source(self, stage: Stage, version: int) -> PairSource:
        return PairSource(
            self.seed,
            self.split,
            self.recipe.size(stage),
            min_overlap=stage.min_overlap,
            wildness=stage.wildness,
            version=version,
        )


def loader(recipe: Recipe, seed: int, numbers: PairNumbers, workers: int) -> Any:
    """Batches rendered ahead by `workers` processes; 0 renders in this one."""
    return DataLoader(
        Pairs(recipe, seed),
        batch_sampler=numbers,
        num_workers=workers,
        collate_fn=collate,
        prefetch_factor=4 if workers else None,
        # A renderer's context does not survive a fork.
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_calm,
        pin_memory=torch.cuda.is_available(),
    )


def _calm(_: int) -> None:
    torch.set_num_threads(1)


def collate(pairs: Sequence[Pair]) -> Batch:
    """Pairs of one size as tensors."""
    views = [[pair.reference for pair in pairs], [pair.query for pair in pairs]]

    def stack(of: Any) -> torch.Tensor:
        stacked = np.stack([[of(view) for view in side] for side in views])
        return torch.from_numpy(stacked.astype(np.float32))

    relative = [np.linalg.solve(p.reference.pose, p.query.pose) for p in pairs]
    return Batch(
        images=stack(network_input),
        depth=stack(lambda view: view.depth),
        intrinsics=stack(lambda v: (v.camera.fx, v.camera.fy, v.camera.cx, v.camera.cy)),
        relative=torch.from_numpy(np.stack(relative).astype(np.float32)),
        changed=torch.from_numpy(np.stack([[_changed(v) for v in side] for side in views])),
        overlap=torch.tensor([pair.overlap for pair in pairs], dtype=torch.float32),
    )


def _changed(view: View) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(H, W), see `View`."""
    return np.zeros(view.depth.shape, bool) if view.changed is None else view.changed


def network_input(view: View) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(5, H, W): RGB in [-1, 1] and the rays x/z, y/z."""
    return network_channels(view.image, view.camera, PixelTransform())
