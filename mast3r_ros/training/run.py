# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What `mast3r_ros train` does: one process of a run, its curves and its pictures."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mast3r_ros.common.errors import UserError
from mast3r_ros.training.recipes import RECIPES
from mast3r_ros.training.trainer import Trainer


class RecipeError(UserError, ValueError):
    """There is no such recipe."""


def train(
    name: str,
    folder: Path,
    steps: int | None,
    until: int | None,
    seed: int,
    workers: int,
    device: str,
    save_every: int,
    validate_every: int,
    tensorboard: bool,
    weights: Path | None,
) -> None:
    """Train a recipe, going on where the folder's last run was stopped.

    Under `torchrun` every process takes its share of each batch.

    Raises:
        RecipeError: there is no recipe of that name.
        StateError, CheckpointError, FileNotFoundError: as `Trainer` raises them.
    """
    if name not in RECIPES:
        raise RecipeError(f"recipe {name!r}: choose one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    if steps is not None:
        recipe = replace(recipe, steps=steps)
    distributed = "RANK" in os.environ
    if device == "auto":
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
    if distributed:
        if device != "cpu":
            torch.cuda.set_device(device)
        dist.init_process_group("gloo" if device == "cpu" else "nccl")
    first = not distributed or dist.get_rank() == 0
    writer = None
    if tensorboard and first:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(folder)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        disable=not first,
    )
    task = progress.add_task(f"train {name}", total=until or recipe.steps, figures="")

    def listen(step: int, figures: dict[str, float]) -> None:
        if writer is not None:
            for key, value in figures.items():
                writer.add_scalar(key, value, step)
        held_out = any(key.startswith("held-out/") for key in figures)
        if held_out:
            text = "  ".join(f"{k.split('/')[1]} {v:.3f}" for k, v in figures.items())
            progress.console.print(f"step {step}: {text}")
        else:
            progress.update(task, completed=step, figures=f"loss {figures['loss']:.3f}")

    def show(step: int, picture: NDArray[np.uint8]) -> None:
        Image.fromarray(picture).save(folder / "samples.png")
        if writer is not None:
            writer.add_image("held-out", picture, step, dataformats="HWC")

    try:
        with progress:
            trainer = Trainer(recipe, folder, seed, workers, device, listen, show, weights)
            trainer.run(save_every, validate_every, until)
    finally:
        if writer is not None:
            writer.close()
        if distributed:
            dist.destroy_process_group()
