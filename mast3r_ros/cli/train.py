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
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="What to train: nano, nano-continued or tiny.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="Run directory; a run that was stopped resumes from its checkpoint.",
        ),
    ],
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Steps until the learning rate is zero; the recipe's by default.",
            min=1,
        ),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(metavar="N", help="Stop after this step; the run can resume later.", min=1),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Seed of weights, worlds and samples.", min=0)
    ] = 0,
    workers: Annotated[
        int,
        typer.Option(
            metavar="N", help="Processes that render; 0 renders between the steps.", min=0
        ),
    ] = 1,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Weights to start from; a run that resumes has its own."),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")
    ] = "auto",
    save_every: Annotated[
        int, typer.Option(metavar="N", help="Steps between two checkpoints of the run.", min=1)
    ] = 200,
    validate_every: Annotated[
        int,
        typer.Option(metavar="N", help="Steps between two validations on held-out rooms.", min=1),
    ] = 500,
    tensorboard: Annotated[
        bool, typer.Option(help="Write curves and pictures for TensorBoard into the run directory.")
    ] = True,
) -> None:
    """Train a network on rendered rooms. Under torchrun, the processes share the work."""
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
        checkpoint,
    )
