# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verbs `map refine`, `map merge` and `map prune`, which change maps by their matches."""

from __future__ import annotations

from math import degrees
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mast3r_ros.cli.maps import MapFrontEnd, open_map, save_map
from mast3r_ros.cli.options import text, with_options
from mast3r_ros.cli.output import JsonFile, console, progress
from mast3r_ros.cli.refining import REFINE_PANEL, refine_map
from mast3r_ros.mapping.extra import MappingError
from mast3r_ros.mapping.options import RefineOptions


@with_options(refining=REFINE_PANEL)
def refine(
    path: Annotated[Path, typer.Argument(metavar="MAP", help="A saved map.")],
    refining: RefineOptions,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PATH", help="Save it here, and leave MAP as it is."),
    ] = None,
    front_end: MapFrontEnd = None,
    json: JsonFile = None,
) -> None:
    """Adjust the poses of a map's keyframes to each other, and store their covariances."""
    found = refine_map(open_map(path, front_end), refining)
    save_map(found.keyframes, out or path, json, {"refinement": found.as_dict()})


@with_options(refining=REFINE_PANEL)
def merge(
    first: Annotated[Path, typer.Argument(metavar="MAP", help="The map whose frame is kept.")],
    other: Annotated[Path, typer.Argument(metavar="OTHER", help="The map that is added.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to save both to.")],
    refining: RefineOptions,
    front_end: MapFrontEnd = None,
    json: JsonFile = None,
) -> None:
    """Put another session's map into the frame of a first one, and refine both together."""
    from mast3r_ros.mapping import merging

    one, two = open_map(first, front_end), open_map(other, front_end)
    found = progress(merging.localize_keyframes(one, two), "Localizing", len(two))
    alignment = merging.align_maps(found)
    console.print(
        f"{alignment.localized} of {alignment.keyframes} keyframes of {escape(str(other))} are "
        f"localized in {escape(str(first))}, {alignment.agreeing} agree: "
        f"{100 * alignment.position_m:.1f} cm, {degrees(alignment.rotation_rad):.2f} degrees "
        "in the median"
    )
    together = merging.refining_together(alignment, refining)
    refined = refine_map(merging.joined(one, two, alignment.pose), together)
    merging.check_merged(refined, one)
    about: dict[str, object] = {"alignment": alignment.as_dict(), "refinement": refined.as_dict()}
    save_map(refined.keyframes, out, json, about)


def prune(
    path: Annotated[Path, typer.Argument(metavar="MAP", help="A saved map.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="PATH", help="The folder to save the smaller map to.")
    ],
    covered: Annotated[
        float,
        typer.Option(
            metavar="X",
            help="Fraction of its view that other keyframes must cover.",
            min=0.1,
            max=1.0,
        ),
    ] = 0.9,
    reach: Annotated[
        float,
        typer.Option(metavar="M", help=text("Largest distance of these keyframes [m]."), min=0.0),
    ] = 1.0,
    unused: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Remove keyframes that were compared N times and supported no pose; 0: off.",
            min=0,
        ),
    ] = 0,
    contradicted: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Remove keyframes that at least N poses contradict, and fewer support; 0: off.",
            min=0,
        ),
    ] = 0,
    front_end: MapFrontEnd = None,
    json: JsonFile = None,
) -> None:
    """Remove keyframes whose view nearby keyframes cover, or that were never of use."""
    from mast3r_ros.mapping import pruning, refinement

    keyframes = open_map(path, front_end)
    if (unused or contradicted) and not keyframes.usage:
        raise MappingError(
            f"{path}: its usage was never counted: set the node's parameter usage_period"
        )
    useless = pruning.useless(keyframes, unused, contradicted)
    for keyframe_id, why in useless.items():
        console.print(f"keyframe {keyframe_id}: {why}")
    if useless:
        keyframes = keyframes.derive(k for k in keyframes if k.id not in useless)
    pairs = refinement.candidate_pairs(keyframes, RefineOptions())
    matches = progress(refinement.matched_pairs(keyframes, pairs), "Matching", len(pairs))
    pruned = pruning.prune(keyframes, matches, covered, reach)
    save_map(pruned.keyframes, out, json, {"removed": sorted([*pruned.removed, *useless])})


def register(app: typer.Typer) -> None:
    """Add the verbs to those of maps."""
    app.command("refine")(refine)
    app.command("merge")(merge)
    app.command("prune")(prune)
