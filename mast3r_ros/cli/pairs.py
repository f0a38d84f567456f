# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `evaluate pairs`: the second image of a pair localized against the first."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mast3r_ros.cli.figures import FigureOptions, conclude
from mast3r_ros.cli.localize import RELOCALIZER_PANEL
from mast3r_ros.cli.maps import SOURCE_PANEL, print_reading
from mast3r_ros.cli.options import OFFLINE, front_ends, with_options
from mast3r_ros.cli.output import JsonFile, print_table, progress
from mast3r_ros.datasets.options import PairOptions, SourceOptions
from mast3r_ros.localization.options import RelocalizerOptions


@with_options(
    pair_options="Which pairs",
    figures="What is written",
    source_options=SOURCE_PANEL,
    options=RELOCALIZER_PANEL,
)
def evaluate_pairs(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="worlds (rendered rooms that were not used for training), or a folder in the TUM "
            "layout with depth.",
        ),
    ],
    pair_options: PairOptions,
    figures: FigureOptions,
    source_options: SourceOptions,
    options: RelocalizerOptions = OFFLINE,
    front_end: Annotated[list[str] | None, front_ends("xfeat by default")] = None,
    depth: Annotated[bool, typer.Option(help="Use the depth of keyframes.")] = True,
    json: JsonFile = None,
) -> None:
    """Localize the second image of pairs against the first; report matches, poses, confidence."""
    from mast3r_ros.datasets.registry import open_dataset
    from mast3r_ros.evaluation import pairs_report
    from mast3r_ros.evaluation.album import Album
    from mast3r_ros.evaluation.pairs import (
        BOUNDS,
        GUESS,
        PairOutcome,
        guess,
        localize_pairs,
        summarize_pairs,
    )
    from mast3r_ros.evaluation.report import Row
    from mast3r_ros.frontends import create

    front_ends = {name: create(name) for name in front_end or ["xfeat"]}
    dataset = open_dataset(source, source_options)
    pairs = dataset.pairs(pair_options)
    outcomes: dict[str, list[PairOutcome]] = {GUESS: [], **{name: [] for name in front_ends}}
    albums = {name: Album(BOUNDS[-1], figures.pictures) for name in front_ends}
    for pair in progress(pairs, "Localizing", pair_options.count):
        outcomes[GUESS].append(guess(pair))
        for name, attempt in localize_pairs([pair], front_ends, options, depth):
            assert isinstance(attempt.outcome, PairOutcome)
            outcomes[name].append(attempt.outcome)
            albums[name].consider(attempt)
    print_reading(dataset, source_options)
    found = {name: summarize_pairs(done) for name, done in outcomes.items()}
    rows = [
        Row(
            {"recording": source, "front_end": name},
            outcomes[name],
            found[name],
            pictures=albums[name].pictures() if name in albums else {},
            details=pairs_report.bins(name, found[name]),
        )
        for name in outcomes
    ]
    about = {**asdict(pair_options), "depth": depth, "options": asdict(options)}
    conclude(rows, BOUNDS, about, figures, json, "Pairs of images: an evaluation")
    print_table("", pairs_report.comparison(found))
