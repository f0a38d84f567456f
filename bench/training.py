# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Steps of training: do they learn on this device, and how many pairs a second are there?

Rendering and training are timed apart: the slower of both is what a run waits for.

    python -m bench.training [nano|tiny] [--device cuda] [--steps 60]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch

from mast3r_ros.training import trainer
from mast3r_ros.training.data import Pairs, collate
from mast3r_ros.training.recipes import RECIPES

_AT_START = 10  # steps that are not timed, and whose loss is compared with the last ones'


def run(name: str, device: str, steps: int) -> bool:
    """Train on one batch again and again; whether its loss fell and stayed finite."""
    recipe = replace(RECIPES[name], steps=steps, warm_up=_AT_START)
    pairs = Pairs(recipe, seed=0)
    pairs[0, False]  # makes the textures and the first room
    start = time.perf_counter()
    batch = collate([pairs[number, False] for number in range(recipe.batch)])
    rendering = recipe.batch / (time.perf_counter() - start)
    losses: list[float] = []
    ends: list[float] = []

    def listen(step: int, figures: dict[str, float]) -> None:
        if "loss" in figures:
            losses.append(figures["loss"])
            ends.append(time.perf_counter())

    def same(*_: object) -> Iterator[object]:
        # One short of the end, where the run would be validated and saved.
        for _ in range(steps - 1):
            yield batch

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(trainer, "loader", same):
        one = trainer.Trainer(recipe, Path(folder), workers=0, device=device, listener=listen)
        one.run(save_every=steps, validate_every=steps)
    training = recipe.batch * (len(ends) - _AT_START) / (ends[-1] - ends[_AT_START - 1])
    first, last = (sum(part) / len(part) for part in (losses[:5], losses[-5:]))
    where = torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
    print(f"{name} on {where}, batches of {recipe.batch}")
    print(f"  training {training:.1f} pairs/s, rendering {rendering:.1f} pairs/s a process")
    print(f"  loss of one batch {first:.2f} -> {last:.2f} in {steps} steps")
    return last < 0.8 * first


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", nargs="?", default="nano", choices=list(RECIPES))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=60)
    given = parser.parse_args()
    sys.exit(0 if run(given.recipe, given.device, given.steps) else 1)
