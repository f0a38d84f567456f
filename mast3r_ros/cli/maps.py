# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verbs `map build` and `map info`, and what the other verbs of maps share."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from mast3r_ros.cli.map_odometry import ODOMETRY_PANEL, SELECTION_PANEL, straightened_map
from mast3r_ros.cli.map_reconstruct import (
    DENSE_PANEL,
    RECONSTRUCTION_PANEL,
    DenseRequest,
    reconstruct_map,
)
from mast3r_ros.cli.options import Ray, Workers, text, with_options
from mast3r_ros.cli.output import JsonFile, console, print_facts, progress, write_json
from mast3r_ros.common.errors import UserError
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.mapping.options import (
    DenseOptions,
    OdometryMapOptions,
    ReconstructionOptions,
    SelectionOptions,
)

if TYPE_CHECKING:
    from mast3r_ros.datasets.dataset import Dataset
    from mast3r_ros.datasets.recording import PosedImage
    from mast3r_ros.frontends.base import FrontEnd
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.mapping.describing import Describe
    from mast3r_ros.mapping.spill import Spill

SOURCE_PANEL = "What is read"


class DamagedMapError(UserError, ValueError):
    """A map with keyframes that cannot be read."""


FrontEndName = Annotated[
    str,
    typer.Option(
        "--front-end",
        metavar="NAME",
        help=text(
            "How images are described and matched: sift, xfeat, mast3r or mast3r=CHECKPOINT."
        ),
    ),
]
MapFrontEnd = Annotated[
    str | None,
    typer.Option(
        "--front-end",
        metavar="NAME",
        help=text("Front end of the map; needed only if it was built with mast3r=CHECKPOINT."),
    ),
]
ScaleFrom = Annotated[
    tuple[str, str, float] | None,
    typer.Option(
        "--scale-from",
        metavar="A B METERS",
        help=text("Meters from the distance between the cameras of images A and B [m]."),
    ),
]

app = typer.Typer(help="Build, inspect and maintain maps.")


@app.command("build")
@with_options(
    source_options=SOURCE_PANEL,
    selection=SELECTION_PANEL,
    straightening=ODOMETRY_PANEL,
    reconstruction=RECONSTRUCTION_PANEL,
    dense_options=DENSE_PANEL,
)
def build(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A folder in the TUM layout, a folder of images, or a bag.",
        ),
    ],
    source_options: SourceOptions,
    selection: SelectionOptions,
    straightening: OdometryMapOptions,
    reconstruction: ReconstructionOptions,
    dense_options: DenseOptions,
    folder: Annotated[
        Path | None, typer.Argument(metavar="MAP", help="The folder to save the map to.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PATH", help="The same as MAP.")
    ] = None,
    front_end: FrontEndName = "xfeat",
    every: Annotated[
        int, typer.Option(metavar="N", help="Every N-th image becomes a keyframe.", min=1)
    ] = 1,
    depth: Annotated[bool, typer.Option(help="Use depth where it is available.")] = True,
    poses: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="given: the source's own; odometry: these, straightened by loop closures; none: "
            "reconstructed from the images (both: extra mapping).",
        ),
    ] = "given",
    scale_from: ScaleFrom = None,
    dense: Annotated[
        bool,
        typer.Option(
            "--dense",
            help="With --poses none, write a dense cloud, a COLMAP model and a page to MAP_dense.",
            rich_help_panel=DENSE_PANEL,
        ),
    ] = False,
    dense_front_end: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=text("Whose matches are triangulated: mast3r, mast3r=CHECKPOINT, xfeat or sift."),
            rich_help_panel=DENSE_PANEL,
        ),
    ] = "mast3r",
    ray: Ray = None,
    workers: Workers = 0,
    json: JsonFile = None,
) -> None:
    """Build a map from images, with their known poses or without any."""
    from mast3r_ros.frontends import create
    from mast3r_ros.mapping.describing import describe_on_cluster
    from mast3r_ros.mapping.spill import Spill

    if (folder is None) == (out is None):
        raise typer.BadParameter("give the folder to save the map to, once: MAP or --out PATH")
    if poses not in ("given", "odometry", "none"):
        raise typer.BadParameter(
            f"--poses {poses}: choose given, odometry or none; a file of poses is --pose-file"
        )
    if scale_from is not None and poses != "none":
        raise typer.BadParameter("--scale-from: given poses are in meters; it needs --poses none")
    posed = poses != "none"
    if dense and posed:
        raise typer.BadParameter("--dense: a cloud is made of images without poses: --poses none")
    saved = folder or out or Path()
    dataset, chosen_front_end = open_source(source, source_options, posed), create(front_end)
    images = itertools.islice(dataset.posed() if posed else dataset, 0, None, every)
    describe: Describe[PosedImage] | None = None
    if ray is not None:
        describe = describe_on_cluster(front_end, ray, workers)
    count, about = -(-len(dataset) // every), dict[str, object]()
    with Spill(saved) as spill:
        if not posed:
            beside = saved.resolve().with_name(f"{saved.resolve().name}_dense")
            wanted = DenseRequest(create(dense_front_end), dense_options, beside) if dense else None
            keyframes, about = reconstruct_map(
                *(images, chosen_front_end, depth, count, reconstruction),
                *(scale_from, spill, wanted, describe),
            )
        elif poses == "odometry":
            keyframes, about = straightened_map(
                images, chosen_front_end, depth, count, selection, straightening, spill, describe
            )
        else:
            keyframes = make_map(images, chosen_front_end, depth, count, selection, describe, spill)
        print_reading(dataset, source_options, posed)
        about["reading"] = dataset.summary.as_dict()
        save_map(keyframes, saved, json, about)


@app.command("info")
def info(
    path: Annotated[Path, typer.Argument(metavar="MAP", help="A saved map.")],
    front_end: MapFrontEnd = None,
    verify: Annotated[
        bool, typer.Option("--verify", help=text("Read every keyframe; damaged ones are an error."))
    ] = False,
    json: JsonFile = None,
) -> None:
    """Show the contents of a map."""
    keyframes = open_map(path, front_end)
    if verify:
        damaged = list(progress(keyframes.verify(), "Reading keyframes"))
        if damaged:
            raise DamagedMapError(f"{len(damaged)} keyframes are damaged; the first: {damaged[0]}")
    found = facts(path, keyframes)
    if str(json) != "-":
        print_facts(found)
    write_json(found, json)


def make_map(
    images: Iterable[PosedImage],
    front_end: FrontEnd,
    depth: bool,
    count: int | None = None,
    selection: SelectionOptions | None = None,
    describe: Describe[PosedImage] | None = None,
    spill: Spill | None = None,
) -> KeyframeMap:
    """A map of the images that are selected, all by default, of `count`.

    It is in memory, but for what does not fit there and a `spill` is given for.
    """
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.mapping.selection import add_selected

    keyframes = KeyframeMap(front_end)
    selected = selection or SelectionOptions()
    added = add_selected(keyframes, images, depth, selected, describe=describe)
    if spill is not None:
        added = spill.over(keyframes, added)
    for _ in progress(added, "Mapping", count):
        pass
    return keyframes


def open_source(source: Path, options: SourceOptions, posed: bool = True) -> Dataset:
    """A recording; where its poses are not needed, strict reading misses none."""
    from mast3r_ros.datasets.registry import open_dataset

    return open_dataset(source, options if posed else replace(options, strict=False))


def print_reading(dataset: Dataset, options: SourceOptions, posed: bool = True) -> None:
    """Print how much of a recording was read, what was left out, and why.

    Raises:
        StrictError: something was left out, but reading is strict.
    """
    from mast3r_ros.datasets.summary import WITHOUT_POSE

    summary = dataset.summary
    if not posed:
        summary.forget(WITHOUT_POSE)
        if options.strict:
            summary.require_whole()
    if summary.images:
        first, *others = summary.lines()
        console.print(escape("\n".join([f"{dataset.source}: {first}", *others])))


def open_map(path: Path, front_end: str | None = None) -> KeyframeMap:
    """A saved map, with the front end that made it.

    Args:
        front_end: as in `frontends.create`; by default the one that the map names.

    Raises:
        MapError: there is no such map, it is damaged or of another front end.
        FrontEndError: there is no such front end, or it cannot run here.
    """
    from mast3r_ros.frontends import create
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.keyframes.store import Store

    if front_end is None:
        with closing(Store(path)) as store:
            front_end = store.header.front_end
    return KeyframeMap.load(path, create(front_end))


def save_map(
    keyframes: KeyframeMap, out: Path, json: Path | None, about: dict[str, object] | None = None
) -> None:
    """Save a map, and say so; `about` is added to its facts in the JSON file."""
    keyframes.save(out)
    typer.echo(f"{len(keyframes)} keyframes saved to {out}", err=str(json) == "-")
    write_json({**facts(out, keyframes), **(about or {})}, json)


def facts(path: Path, keyframes: KeyframeMap) -> dict[str, object]:
    """What a saved map holds, fit for JSON."""
    import numpy as np

    places = keyframes.poses[:, :3, 3]
    files = [f for f in path.rglob("*") if f.is_file()]
    return {
        "front_end": keyframes.front_end.name,
        "fingerprint": keyframes.front_end.fingerprint,
        "keyframes": len(keyframes),
        "with_depth": int(keyframes.sensed.sum()),
        "extent_m": np.ptp(places, axis=0).round(3).tolist() if len(places) else [0.0] * 3,
        "megabytes": sum(f.stat().st_size for f in files) / 1e6,
        **_usage(keyframes),
    }


def _usage(keyframes: KeyframeMap) -> dict[str, object]:
    """How much of a map is of use, where that was counted."""
    counts = keyframes.usage.values()
    if not counts:
        return {}
    return {
        "compared": len(counts),
        "of_use": sum(c.used > 0 for c in counts),
        "contradicted_more_than_used": sum(c.contradicted > c.used for c in counts),
        "last_used": max(c.last_used for c in counts),
    }
