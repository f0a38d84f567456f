# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `map check`: where a robot with this map will get lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mast3r_ros.cli.maps import MapFrontEnd, open_map
from mast3r_ros.cli.options import with_options
from mast3r_ros.cli.output import JsonFile, console, progress, write_json
from mast3r_ros.common.paths import expand
from mast3r_ros.localization.options import RelocalizerOptions


@with_options(options="How poses are found")
def check(
    path: Annotated[Path, typer.Argument(metavar="MAP", help="A saved map.")],
    options: RelocalizerOptions,
    report: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write a page with a floor plan and pictures (HTML)."),
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
    if report is not None:
        from mast3r_ros.mapping.check_report import write_report

        write_report(expand(report), keyframes, places, path.name)
        console.print(escape(f"Report: {report}"))
    write_json({**figures, "advice": checking.advice(places)}, json)


def register(app: typer.Typer) -> None:
    """Add the verb to those of maps."""
    app.command("check")(check)
