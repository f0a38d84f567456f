# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `evaluate gap`: how far the rendered worlds are from a recording."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from mast3r_ros.cli.maps import SOURCE_PANEL, print_reading
from mast3r_ros.cli.options import with_options
from mast3r_ros.cli.output import JsonFile, print_table, progress, write_json
from mast3r_ros.datasets.options import WORLDS_VERSIONS, PairOptions, SourceOptions


@with_options(pair_options="Which pairs", source_options=SOURCE_PANEL)
def evaluate_gap(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A folder in the TUM layout with depth.")
    ],
    pair_options: PairOptions,
    source_options: SourceOptions,
    json: JsonFile = None,
) -> None:
    """Compare the images and pairs of a recording with those of each rendered world."""
    from mast3r_ros.datasets.kinds import WORLDS
    from mast3r_ros.datasets.registry import open_dataset
    from mast3r_ros.evaluation import domain_gap

    dataset = open_dataset(source, source_options)
    real = domain_gap.collect(progress(dataset.pairs(pair_options), "Reading", pair_options.count))
    print_reading(dataset, source_options)
    gaps = {}
    for version in WORLDS_VERSIONS:
        # Rendered at once in the size that networks are trained on.
        size = f"{domain_gap.SIDE}x{domain_gap.SIDE * 3 // 4}"
        options = replace(pair_options, worlds_version=version, size=size)
        pairs = open_dataset(WORLDS, source_options).pairs(options)
        made = domain_gap.collect(progress(pairs, f"Rendering worlds {version}", options.count))
        gaps[f"worlds {version}"] = domain_gap.compare(real, made)
    found = {name: {k: asdict(gap) for k, gap in of.items()} for name, of in gaps.items()}
    write_json({"recording": str(source), **asdict(pair_options), **found}, json)
    print_table("", domain_gap.gap_table(gaps))
