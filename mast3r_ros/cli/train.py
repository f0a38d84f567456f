# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `train` on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("train")(train)


def train(
    recipe: Annotated[str, typer.Argument(help="What to train: nano or tiny.")],
    out: Annotated[
        Path,
        typer.Option(help="Folder of the run; one that was stopped is gone on with."),
    ],
    steps: Annotated[
        int | None,
        typer.Option(help="Steps until the learning rate is down; the recipe's by default.", min=1),
    ] = None,
    until: Annotated[
        int | None, typer.Option(help="Stop after this step, to go on another time.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, worlds and samples.", min=0)] = 0,
    workers: Annotated[
        int, typer.Option(help="Processes that render; 0 renders between the steps.", min=0)
    ] = 1,
    weights: Annotated[
        Path | None,
        typer.Option(help="Begin with these, not with random ones; a run goes on with its own."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    save_every: Annotated[
        int, typer.Option(help="Steps between two states on disk: what a kill costs.", min=1)
    ] = 200,
    validate_every: Annotated[
        int, typer.Option(help="Steps between two looks at held-out rooms.", min=1)
    ] = 500,
    tensorboard: Annotated[
        bool, typer.Option(help="Write TensorBoard's curves and pictures into the folder.")
    ] = True,
) -> None:
    """Train a network on rendered rooms. Under torchrun, every process takes its share."""
    from mast3r_ros.training import run

    run.train(
        recipe,
        out,
        steps,
        until,
        seed,
        workers,
        device,
        save_every,
        validate_every,
        tensorboard,
        weights,
    )
