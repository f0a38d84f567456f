# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verbs `map check` and `map show`: pages that people look at before a robot drives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from mast3r_ros.cli.maps import MapFrontEnd, facts, open_map, open_source, print_reading
from mast3r_ros.cli.options import OFFLINE, with_options
from mast3r_ros.cli.output import JsonFile, console, progress, write_json
from mast3r_ros.common.paths import expand
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.localization.options import RelocalizerOptions

if TYPE_CHECKING:
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.mapping.checking import Place


@with_options(options="How poses are found", source_options="How the queries are read")
def check(
    path: Annotated[Path, typer.Argument(metavar="MAP", help="A saved map.")],
    source_options: SourceOptions,
    options: RelocalizerOptions = OFFLINE,
    report: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write a page with a floor plan and pictures (HTML)."),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(
            metavar="SOURCE", help="Also localize these images, to check the expected weak places."
        ),
    ] = None,
    front_end: MapFrontEnd = None,
    json: JsonFile = None,
) -> None:
    """Localize each keyframe in the map without itself: weak places, places that look alike."""
    from mast3r_ros.mapping import checking

    keyframes = open_map(path, front_end)
    places = list(progress(checking.check(keyframes, options), "Checking", len(keyframes)))
    figures = checking.summary(places)
    console.print(
        f"{figures['localized']} of {figures['checked']} keyframes are localized by the others, "
        f"{figures['wrong']} of them wrong; {len(figures['fooling_pairs'])} pairs fool each other"
    )
    for line in checking.advice(places):
        console.print(escape(f"- {line}"))
    trial: dict[str, object] = {}
    if queries is not None:
        trial = {"queries": _try(keyframes, options, places, queries, source_options)}
    if report is not None:
        from mast3r_ros.mapping.check_report import write_report

        write_report(expand(report), keyframes, places, path.name)
        console.print(escape(f"Report: {report}"))
    write_json({**figures, "advice": checking.advice(places), **trial}, json)


def _try(
    keyframes: KeyframeMap,
    options: RelocalizerOptions,
    places: Sequence[Place],
    queries: Path,
    source_options: SourceOptions,
) -> dict[str, Any]:
    """Say whether images of another drive fail where the check expects it."""
    from mast3r_ros.datasets.recording import read_frames
    from mast3r_ros.localization.relocalizer import Relocalizer
    from mast3r_ros.mapping.expected_strength import compare

    dataset = open_source(queries, source_options)
    images = progress(read_frames(dataset.posed(), False), "Localizing", len(dataset))
    trial = compare(places, Relocalizer(keyframes, options), images)
    print_reading(dataset, source_options)
    console.print(
        f"{trial.right} of {trial.images} images are localized right; rank correlation with what "
        f"the check expects of their places: {trial.rank_correlation:.2f}"
    )
    return asdict(trial)


def show(
    path: Annotated[Path, typer.Argument(metavar="MAP", help="A saved map.")],
    out: Annotated[Path, typer.Argument(metavar="PAGE", help="The page to write (HTML).")],
    front_end: MapFrontEnd = None,
    json: JsonFile = None,
) -> None:
    """Write a page with the floor plan of a map and the thumbnails of its keyframes."""
    from mast3r_ros.mapping.show_report import write_page

    keyframes = open_map(path, front_end)
    write_page(expand(out), keyframes, path.name)
    console.print(escape(f"{len(keyframes)} keyframes shown in {out}"))
    write_json(facts(path, keyframes), json)


def register(app: typer.Typer) -> None:
    """Add the verbs to those of maps."""
    app.command("check")(check)
    app.command("show")(show)
