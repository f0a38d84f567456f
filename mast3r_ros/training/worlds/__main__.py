# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`python -m mast3r_ros.training.worlds`: pictures of pairs, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from mast3r_ros.common.size import ImageSize
from mast3r_ros.training.worlds.pairs import PairSource
from mast3r_ros.training.worlds.sheet import draw_pair

_ROWS = 8


def worlds(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")],
    count: Annotated[int, typer.Option(help="Number of pairs.", min=1)] = 16,
    size: Annotated[str, typer.Option(help="Width x height of a view [pixels].")] = "320x240",
    split: Annotated[str, typer.Option(help="train or held-out.")] = "train",
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    first: Annotated[int, typer.Option(help="Number of the first pair.", min=0)] = 0,
    portrait: Annotated[bool, typer.Option(help="Upright views.")] = False,
    wildness: Annotated[float, typer.Option(help="Share of odd textures.", min=0, max=1)] = 0.3,
    augment: Annotated[float, typer.Option(help="Strength of the camera's flaws.", min=0)] = 1.0,
    version: Annotated[int, typer.Option(help="Of the worlds, 1 or 2.", min=1, max=2)] = 2,
) -> None:
    """Render pairs of views and write them as contact sheets (PNG)."""
    source = PairSource(
        seed, split, ImageSize.parse(size), wildness=wildness, augment=augment, version=version
    )
    out.mkdir(parents=True, exist_ok=True)
    for start in range(first, first + count, _ROWS):
        numbers = range(start, min(start + _ROWS, first + count))
        rows = [draw_pair(source.pair(i, portrait)) for i in numbers]
        path = out / f"{split}_{start:06d}.png"
        cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])
        typer.echo(str(path))


if __name__ == "__main__":
    typer.run(worlds)
