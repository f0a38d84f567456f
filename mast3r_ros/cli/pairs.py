# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the verb `evaluate pairs` does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from mast3r_ros.cli.commands import console
from mast3r_ros.datasets import PairOptions, SourceOptions, open_dataset
from mast3r_ros.datasets.recording import PosedPair
from mast3r_ros.evaluation.pairs import evaluate_pairs
from mast3r_ros.evaluation.pairs_report import (
    Album,
    detail_tables,
    figures_table,
    write_pairs_report,
)
from mast3r_ros.frontends import create
from mast3r_ros.frontends.base import FrontEnd
from mast3r_ros.localization.options import RelocalizerOptions

WORLDS = "worlds"
# Tables are as wide as their columns, not as a pipe.
_WIDTH = 160


def open_front_ends(names: Sequence[str]) -> dict[str, FrontEnd]:
    """Front ends by what the user calls them: `NAME`, or `mast3r=CHECKPOINT`.

    Raises:
        FrontEndError: there is none of that name, or it cannot run here.
    """
    return {name: create(name) for name in names}


def read_pairs(
    source: str,
    count: int,
    seed: int,
    size: tuple[int, int],
    min_overlap: float,
    camera: Path | None,
    depth_scale: float,
) -> tuple[Iterable[PosedPair], int]:
    """Pairs of `worlds`, or of a folder in the TUM layout, and how many they are.

    Raises:
        RecordingError: the folder is not what it should be.
    """
    dataset = open_dataset(source, SourceOptions(camera=camera, depth_scale=depth_scale))
    chosen = PairOptions(count, min_overlap, seed, f"{size[0]}x{size[1]}")
    return dataset.pairs(chosen), count


def evaluate(
    pairs: Iterable[PosedPair],
    count: int,
    front_ends: Mapping[str, FrontEnd],
    options: RelocalizerOptions,
    depth: bool,
    about: Mapping[str, Any],
    json_path: Path | None,
    report_path: Path | None,
) -> dict[str, Any]:
    """Localize every pair, and tell how well that went.

    Args:
        count: of the pairs, for the progress bar.
        depth: whether the keyframes know their depth.
        about: what else belongs to the figures, by JSON key.
        json_path: where to write the figures; standard output if None.
        report_path: where to write a page with pictures, if given.

    Returns:
        The figures, those of each front end under `front_ends`.
    """
    album = Album()
    pairs = track(pairs, "Localizing", total=count, console=console, transient=True)
    listener = None if report_path is None else album.consider
    summaries = evaluate_pairs(pairs, front_ends, options, depth, listener).summary()
    found = {**about, "depth": depth, "front_ends": summaries, "options": asdict(options)}
    text = json.dumps(found, indent=2)
    if json_path is None:
        print(text)
    else:
        json_path.write_text(text + "\n")
    words = Console(stderr=True, width=_WIDTH, soft_wrap=True)
    for title, columns, rows in (("", *figures_table(summaries)), *detail_tables(summaries)):
        words.print(_table(title, columns, rows))
    if report_path is not None:
        said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items())
        lead = f"{said}, {'with' if depth else 'without'} depth in the keyframes"
        write_pairs_report(report_path, lead, summaries, album)
        console.print(f"Report: {report_path}")
    return found


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
