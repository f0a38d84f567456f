# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verbs of the network on the command line: `fetch-checkpoint`, `export`, `build-engine`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mast3r_ros.common.errors import UserError
from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import Precision, as_precision

Checkpoint = Annotated[
    str | None,
    typer.Option(
        help="published, nano, or a file (.pth, .safetensors); the published weights where they "
        "were fetched, else nano, if not given."
    ),
]
Out = Annotated[
    Path | None, typer.Option(help="Folder of graphs and engines; the cache's if not given.")
]
Sizes = Annotated[
    list[str] | None,
    typer.Option(
        "--size",
        help="An image size of the network, as 512x384; may be repeated. By default what it "
        "sees of a 4:3 camera.",
    ),
]
Mixed = Annotated[
    bool, typer.Option(help="Decode each image size with every other size, not only with itself.")
]
RotaryLayer = Annotated[
    bool,
    typer.Option(
        "--rotary-layer",
        help="Rotary positions as one layer, which TensorRT 10.15 and later have (not JetPack 6).",
    ),
]
Images = Annotated[
    list[Path] | None,
    typer.Argument(help="Two or more pictures of one place, for the parity check."),
]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="Of products and convolutions: fp16, bf16 or fp32.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command("fetch-checkpoint")(fetch_checkpoint)
    app.command("fetch-loftr")(fetch_loftr)
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
    typer.echo(fetch.fetch_checkpoint(accept_license))


def fetch_loftr(
    weights: Annotated[
        str, typer.Argument(metavar="NAME", help="outdoor (MegaDepth) or indoor_new (ScanNet).")
    ] = "outdoor",
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="You have read the terms and accept them.")
    ] = False,
) -> None:
    """Show the terms of LoFTR's weights, a baseline, and once accepted, download them (46 MB)."""
    from mast3r_ros.frontends import loftr_weights

    if accept_license:
        typer.echo(loftr_weights.TERMS, err=True)
    typer.echo(loftr_weights.fetch_weights(weights, accept_license))


def export(
    images: Images = None,
    checkpoint: Checkpoint = None,
    out: Out = None,
    size: Sizes = None,
    precision: PrecisionOption = "fp32",
    mixed: Mixed = False,
    rotary_layer: RotaryLayer = False,
) -> None:
    """Write the network as ONNX graphs; with pictures, check them in ONNX Runtime."""
    from mast3r_ros.engines import building
    from mast3r_ros.engines.select import graphs_folder

    folder = out or graphs_folder()
    sizes, precision_ = _checked(size or [], precision, images, needed=False)
    if images and precision_ == "bf16":
        raise ChoiceError(
            "--precision bf16: ONNX Runtime has none on a CPU: export without pictures; "
            "build-engine checks it"
        )
    graphs = building.export_graphs(
        folder, checkpoint, sizes, precision_, mixed, _report, rotary_layer
    )
    if images:
        building.check_parity(building.Running(), graphs, checkpoint, images, _report)
    typer.echo(folder)


def build_engine(
    images: Images = None,
    checkpoint: Checkpoint = None,
    out: Out = None,
    size: Sizes = None,
    precision: PrecisionOption = "fp16",
    mixed: Mixed = False,
    rotary_layer: RotaryLayer = False,
    batch: Annotated[int, typer.Option(help="Most keyframes decoded at once.", min=1)] = 8,
    device: Annotated[int, typer.Option(help="Number of the GPU.", min=0)] = 0,
    workspace: Annotated[
        int | None,
        typer.Option(
            help="Largest workspace of a layer [MB]; by default TensorRT's own limit.", min=1
        ),
    ] = None,
    cuda_graphs: Annotated[
        bool, typer.Option(help="Check with CUDA graphs, if the node will use them.")
    ] = False,
) -> None:
    """Export, build the TensorRT engines on this machine's GPU, and check them on pictures.

    An engine whose outputs drifted from the float32 network is deleted.
    """
    from mast3r_ros.engines import building
    from mast3r_ros.engines.memory_plan import memory_plan
    from mast3r_ros.engines.parity import ParityError
    from mast3r_ros.engines.select import graphs_folder

    folder = out or graphs_folder()
    sizes, precision_ = _checked(size or [], precision, images, needed=True)
    _report(f"building for {building.require_gpu(device, rotary_layer)}")
    graphs = building.export_graphs(
        folder, checkpoint, sizes, precision_, mixed, _report, rotary_layer
    )
    plan = memory_plan(graphs.config, graphs.sizes, precision_, batch, cuda_graphs=cuda_graphs)
    _report(f"memory on the GPU, computed: {plan}")
    limit = None if workspace is None else workspace * 1_000_000
    building.build_engines(graphs, batch, device, limit, _report)
    running = building.Running("tensorrt", batch, device, cuda_graphs)
    try:
        building.check_parity(running, graphs, checkpoint, images or [], _report)
    except ParityError:
        building.discard_engines(graphs)
        raise
    typer.echo(folder)


class ChoiceError(UserError):
    """Options that do not go together."""


def _checked(
    sizes: list[str], precision: str, images: list[Path] | None, needed: bool
) -> tuple[list[ImageSize], Precision]:
    """Sizes and precision as the engines take them."""
    given = len(images or [])
    if given == 1 or (needed and not given):
        raise ChoiceError(
            f"{given} pictures: the parity check that ends a build needs two or more of one place"
        )
    return [ImageSize.parse(size) for size in sizes], as_precision(precision)


def _report(line: str) -> None:
    typer.echo(line, err=True)
