# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verbs of maps and other tools: `map export`, `map import`, `map transform`, `map crop`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mast3r_ros.cli.maps import FrontEndName, MapFrontEnd, ScaleFrom, open_map, save_map
from mast3r_ros.cli.options import text
from mast3r_ros.cli.output import JsonFile, progress, write_json

MapPath = Annotated[Path, typer.Argument(metavar="MAP", help="A saved map.")]
OutMap = Annotated[
    Path, typer.Option("--out", metavar="PATH", help="The folder to save the map to.")
]
_Triple = tuple[float, float, float]
_INF = float("inf")


def export(
    path: MapPath,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="PATH", help="A folder for colmap and hloc, else a file."),
    ],
    form: Annotated[
        str, typer.Option("--format", metavar="NAME", help="colmap, hloc, tum, ply or pcd.")
    ] = "colmap",
    as_text: Annotated[
        bool, typer.Option("--text", help="Write a COLMAP model as text, not binary.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The recording of the map: its images are written beside the model.",
        ),
    ] = None,
    front_end: MapFrontEnd = None,
    json: JsonFile = None,
) -> None:
    """Write a map in the format of another tool."""
    from mast3r_ros.datasets.options import SourceOptions
    from mast3r_ros.datasets.registry import open_dataset
    from mast3r_ros.mapping import exchange

    if form not in exchange.FORMATS:
        raise typer.BadParameter(f"--format {form}: choose one of {', '.join(exchange.FORMATS)}")
    if source is not None and form not in ("colmap", "hloc"):
        raise typer.BadParameter(f"--source: a file of format {form} has no images beside it")
    keyframes = open_map(path, front_end)
    exchange.export(keyframes, form, out, as_text=as_text)
    if source is not None:
        dataset = open_dataset(source, SourceOptions())
        exchange.write_images(keyframes, progress(dataset, "Images", len(dataset)), out)
    typer.echo(f"{len(keyframes)} keyframes exported to {out}", err=str(json) == "-")
    write_json({"out": str(out), "format": form, "keyframes": len(keyframes)}, json)


def import_model(
    model_path: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Folder of a COLMAP model, binary or text."),
    ],
    images: Annotated[
        Path, typer.Option(metavar="PATH", help="Folder of the images of the model.")
    ],
    out: OutMap,
    scale: Annotated[
        float | None,
        typer.Option(metavar="X", help="Length of one unit of the model in meters.", min=1e-9),
    ] = None,
    scale_from: ScaleFrom = None,
    front_end: FrontEndName = "xfeat",
    json: JsonFile = None,
) -> None:
    """Make a map from a COLMAP model and its images."""
    from mast3r_ros.frontends import create
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.mapping import colmap_model

    if (scale is None) == (scale_from is None):
        raise typer.BadParameter("give the meters of the model: either --scale or --scale-from")
    model = colmap_model.read_model(model_path)
    if scale_from is not None:
        scale = colmap_model.scale_between(colmap_model.camera_poses(model), *scale_from)
    assert scale is not None
    keyframes = KeyframeMap(create(front_end))
    added = colmap_model.add_model(keyframes, model, images, scale)
    for _ in progress(added, "Importing", model.num_reg_images()):
        pass
    save_map(keyframes, out, json, {"scale": scale})


def transform(
    path: MapPath,
    out: OutMap,
    translation: Annotated[
        _Triple,
        typer.Option(
            metavar="X Y Z", help=text("Position of the old map's origin in the new map [m].")
        ),
    ] = (0.0, 0.0, 0.0),
    rotation: Annotated[
        tuple[float, float, float, float],
        typer.Option(
            metavar="X Y Z W",
            help="Orientation of the old map's axes in the new map, a quaternion.",
        ),
    ] = (0.0, 0.0, 0.0, 1.0),
    front_end: MapFrontEnd = None,
    json: JsonFile = None,
) -> None:
    """Move a whole map into another frame, for example that of a floor plan."""
    from mast3r_ros.geometry import transforms
    from mast3r_ros.mapping import edit

    try:
        new_old = transforms.from_quaternion(translation, rotation)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    save_map(edit.transform(open_map(path, front_end), new_old), out, json)


def crop(
    path: MapPath,
    out: OutMap,
    low: Annotated[
        _Triple, typer.Option("--min", metavar="X Y Z", help=text("Corner of the box [m]."))
    ] = (-_INF, -_INF, -_INF),
    high: Annotated[
        _Triple, typer.Option("--max", metavar="X Y Z", help=text("The opposite corner [m]."))
    ] = (_INF, _INF, _INF),
    front_end: MapFrontEnd = None,
    json: JsonFile = None,
) -> None:
    """Keep the keyframes whose cameras are inside a box; inf: no limit."""
    from mast3r_ros.mapping import edit

    save_map(edit.crop(open_map(path, front_end), low, high), out, json)


def register(app: typer.Typer) -> None:
    """Add the verbs to those of maps."""
    app.command("export")(export)
    app.command("import")(import_model)
    app.command("transform")(transform)
    app.command("crop")(crop)
