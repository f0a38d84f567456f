# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `map update`: a map that goes on knowing a place that changes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mast3r_ros.cli.maps import (
    SOURCE_PANEL,
    MapFrontEnd,
    open_map,
    open_source,
    print_reading,
    save_map,
)
from mast3r_ros.cli.options import OFFLINE, with_options
from mast3r_ros.cli.output import JsonFile, console, progress
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.mapping.options import UpdateOptions


@with_options(
    source_options=SOURCE_PANEL,
    updating="Which images become keyframes",
    options="How poses are found",
)
def update(
    path: Annotated[Path, typer.Argument(metavar="MAP", help="A saved map.")],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="A later drive: a folder in the TUM layout, of images, or a bag."
        ),
    ],
    source_options: SourceOptions,
    updating: UpdateOptions,
    options: RelocalizerOptions = OFFLINE,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PATH", help="Save it here, and leave MAP as it is."),
    ] = None,
    depth: Annotated[bool, typer.Option(help="Use depth where it is available.")] = True,
    front_end: MapFrontEnd = None,
    json: JsonFile = None,
) -> None:
    """Add images of a later drive at places where the map is weak."""
    from mast3r_ros.datasets.recording import read_frames
    from mast3r_ros.localization.relocalizer import Relocalizer
    from mast3r_ros.mapping.updating import Update

    keyframes, posed = open_map(path, front_end), updating.bridge > 0
    dataset = open_source(source, source_options, posed)
    images = read_frames(dataset.posed() if posed else dataset, depth)
    found = Update(Relocalizer(keyframes, options), updating)
    for _ in progress(found.look_through(images), "Localizing", len(dataset)):
        pass
    print_reading(dataset, source_options, posed)
    found.apply()
    counts = {outcome.value: count for outcome, count in found.outcomes.items()}
    for said, count in counts.items():
        console.print(f"{count} images {said}")
    console.print(f"{len(found.chosen)} new keyframes")
    save_map(keyframes, out or path, json, {"added": len(found.chosen), "images": counts})


def register(app: typer.Typer) -> None:
    """Add the verb to those of maps."""
    app.command("update")(update)
