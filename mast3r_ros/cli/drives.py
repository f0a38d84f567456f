# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `evaluate drives`: windows, rigs and the filter on rendered drives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mast3r_ros.cli.localize import RELOCALIZER_PANEL
from mast3r_ros.cli.options import OFFLINE, front_ends, text, with_options
from mast3r_ros.cli.output import JsonFile, print_table, progress, write_json
from mast3r_ros.common.options import check, option
from mast3r_ros.localization.options import RelocalizerOptions

if TYPE_CHECKING:
    from mast3r_ros.drawing.page import Table


@dataclass(frozen=True)
class DriveOptions:
    """Which drives are rendered."""

    drives: int = option(10, "Drives, each in a room of its own", 1, 10_000)
    seed: int = option(0, "Seed of the first drive; each further one has the next", 0)
    cameras: int = option(1, "Cameras of the robot, evenly around it", 1, 8)
    moments: int = option(60, "Images of each camera in a drive, 0.4 s apart", 52, 10_000)
    further: int = option(
        0,
        "Further images at the end, on which nothing happens: a robot that was carried away may be "
        "found on them",
        0,
        10_000,
    )
    size: str = option("320x240", "Size of the images")
    twin: bool = option(
        False,
        "Two rooms that are alike but for some cartons; the robot enters the other one instead of "
        "being carried away",
    )

    def __post_init__(self) -> None:
        check(self)


@with_options(drive_options="Which drives", options=RELOCALIZER_PANEL)
def evaluate_drives(
    drive_options: DriveOptions,
    options: RelocalizerOptions = OFFLINE,
    front_end: Annotated[str, front_ends("xfeat by default")] = "xfeat",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help=text("Run directory; a run resumes after the finished drives. None by default."),
        ),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Localize a robot that drives in rendered rooms and is blinded, bumped and carried away.

    Reports the windowed and the filtered poses. With several cameras, also for each camera alone,
    and for all cameras with one unplugged.
    """
    from mast3r_ros.evaluation.drive_figures import Step, drive_figures
    from mast3r_ros.evaluation.drives import NOISE, rigs_of
    from mast3r_ros.evaluation.in_the_dark import dark_figures

    chosen = {k: v for k, v in asdict(drive_options).items() if k not in ("drives", "seed")}
    about = {**chosen, "front_end": front_end, "options": asdict(options)}
    seeds = range(drive_options.seed, drive_options.seed + drive_options.drives)
    records = list(_records(seeds, drive_options, options, front_end, about, out))
    found = {}
    for name in rigs_of(drive_options.cameras):
        drives = [list(map(Step.from_record, r["steps"][name])) for r in records]
        found[name] = {**drive_figures(drives), "in_the_dark": dark_figures(drives, NOISE)}
    print_table("Rendered drives", _whole(found))
    print_table("After each event", _by_event(found))
    about.update(drives=drive_options.drives, seed=drive_options.seed)
    write_json({"about": about, "figures": found}, json)


def _records(
    seeds: Sequence[int],
    drive_options: DriveOptions,
    options: RelocalizerOptions,
    front_end: str,
    about: dict[str, Any],
    out: Path | None,
) -> Iterator[dict[str, Any]]:
    """A record for each seed; those that a run directory has are not driven again."""
    from mast3r_ros.common.size import ImageSize
    from mast3r_ros.evaluation.benchmarks.runner import RunFolder
    from mast3r_ros.evaluation.drives import rigs_of, run
    from mast3r_ros.frontends import create
    from mast3r_ros.training.worlds.drives import DriveWorld

    rigs = rigs_of(drive_options.cameras)
    folder = None if out is None else RunFolder(out, about)
    done = {} if folder is None else folder.records
    left = [seed for seed in seeds if str(seed) not in done]

    def drive() -> Iterator[dict[str, Any]]:
        if not left:
            return
        world, made = DriveWorld(ImageSize.parse(drive_options.size)), create(front_end)
        for seed in progress(left, "Driving"):
            way = world.drive(
                seed,
                drive_options.cameras,
                drive_options.moments,
                drive_options.twin,
                drive_options.further,
            )
            steps = run(way, seed, made, options, list(rigs.values()))
            listed = [[step.as_record() for step in of_rig] for of_rig in steps]
            yield {"query": str(seed), "steps": dict(zip(rigs, listed, strict=True))}

    fresh = drive() if folder is None else folder.append(drive())
    known = {**done, **{record["query"]: record for record in fresh}}
    return (known[str(seed)] for seed in seeds)


def _whole(found: dict[str, Any]) -> Table:
    """A column for each rig."""
    from mast3r_ros.drawing.page import Table

    columns = list(found)
    flat = {
        name: f | _prefixed("filtered", f["filtered"]) | _prefixed("in_the_dark", f["in_the_dark"])
        for name, f in found.items()
    }
    keys = [k for k, v in flat[columns[0]].items() if not isinstance(v, dict)]
    return Table(["", *columns], [[k, *(_number(flat[c][k]) for c in columns)] for k in keys])


def _by_event(found: dict[str, Any]) -> Table:
    """A line for each rig and kind of event."""
    from mast3r_ros.drawing.page import Table

    rows = [(n, e, f) for n, figures in found.items() for e, f in figures["events"].items()]
    return Table(
        ["", "event", *rows[0][2]],
        [[name, event, *map(_number, figures.values())] for name, event, figures in rows],
        names=2,
    )


def _prefixed(name: str, figures: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}_{key}": value for key, value in figures.items()}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
