# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verbs of the network on the command line: `fetch-checkpoint`, `export`, `build-engine`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mast3r_ros.engines.base import Precision, as_precision, parse_size
from mast3r_ros.network.config import ImageSize

Checkpoint = Annotated[
    str | None,
    typer.Option(
        help="published, nano, or a file (.pth, .safetensors); the published weights where they "
        "were fetched, else nano, if not given."
    ),
]
Output = Annotated[
    Path | None, typer.Option(help="Folder of graphs and engines; the cache's if not given.")
]
Sizes = Annotated[
    list[str] | None,
    typer.Option(
        "--size",
        help="An image size of the network, as 512x384; may be given often. By default what it "
        "sees of 4:3, 3:4 and 16:9 cameras.",
    ),
]
Mixed = Annotated[
    bool, typer.Option(help="Decode every size against every other, not only against itself.")
]
QueryPoints = Annotated[
    bool, typer.Option(help="Make the query's point map too (pose method procrustes).")
]
Images = Annotated[
    list[Path] | None,
    typer.Argument(help="Two or more pictures of one place, for the parity check."),
]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="Of the backbone: fp16, bf16 or fp32.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command("fetch-checkpoint")(fetch_checkpoint)
    app.command("export")(export)
    app.command("build-engine")(build_engine)


def fetch_checkpoint(
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="You have read the terms and accept them.")
    ] = False,
) -> None:
    """Show the terms of the published weights and, once accepted, download them (2.75 GB)."""
    from mast3r_ros.network import fetch

    if accept_license:
        typer.echo(fetch.TERMS, err=True)
    try:
        path = fetch.fetch_checkpoint(accept_license)
    except (fetch.LicenseNotAcceptedError, RuntimeError) as error:
        raise _end(error) from error
    typer.echo(path)


def export(
    images: Images = None,
    checkpoint: Checkpoint = None,
    output: Output = None,
    size: Sizes = None,
    precision: PrecisionOption = "fp32",
    mixed: Mixed = False,
    query_points: QueryPoints = False,
) -> None:
    """Write the network as ONNX graphs; with pictures, check them in ONNX Runtime."""
    from mast3r_ros.engines import building
    from mast3r_ros.engines.select import graphs_folder

    folder = output or graphs_folder()
    try:
        chosen = _checked(size or [], precision, images, needed=False)
        if images and precision == "bf16":
            raise ValueError(
                "ONNX Runtime has no bf16 on a CPU: export without pictures; build-engine checks it"
            )
        graphs = building.export_graphs(folder, checkpoint, *chosen, mixed, query_points, _report)
        if images:
            engine = building.open_graphs(graphs)
            building.check_parity(engine, graphs, checkpoint, images, _report)
    except (OSError, ValueError, RuntimeError) as error:
        raise _end(error) from error
    typer.echo(folder)


def build_engine(
    images: Images = None,
    checkpoint: Checkpoint = None,
    output: Output = None,
    size: Sizes = None,
    precision: PrecisionOption = "fp16",
    mixed: Mixed = False,
    query_points: QueryPoints = False,
    batch: Annotated[int, typer.Option(help="Most keyframes decoded at once.", min=1)] = 8,
    device: Annotated[int, typer.Option(help="Number of the GPU.", min=0)] = 0,
) -> None:
    """Export, build the TensorRT engines on this machine's GPU, and check them on pictures.

    An engine whose outputs drifted from the float32 network is deleted.
    """
    from mast3r_ros.engines import building
    from mast3r_ros.engines.parity import ParityError
    from mast3r_ros.engines.select import graphs_folder

    folder = output or graphs_folder()
    try:
        chosen = _checked(size or [], precision, images, needed=True)
        building.require_gpu(device)
        graphs = building.export_graphs(folder, checkpoint, *chosen, mixed, query_points, _report)
        engine = building.build_engines(graphs, batch, device, _report)
        try:
            building.check_parity(engine, graphs, checkpoint, images or [], _report)
        except ParityError:
            building.discard_engines(graphs)
            raise
    except (OSError, ValueError, RuntimeError) as error:
        raise _end(error) from error
    typer.echo(folder)


def _checked(
    sizes: list[str], precision: str, images: list[Path] | None, needed: bool
) -> tuple[list[ImageSize], Precision]:
    """Sizes and precision as the engines take them."""
    given = len(images or [])
    if given == 1 or (needed and not given):
        raise ValueError(
            f"{given} pictures: the parity check that ends a build needs two or more of one place"
        )
    return [parse_size(size) for size in sizes], as_precision(precision)


def _report(line: str) -> None:
    typer.echo(line, err=True)


def _end(error: Exception) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(1)
