# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `evaluate drives`: windows, rigs and the filter on rendered drives."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

from mast3r_ros.cli.localize import RELOCALIZER_PANEL
from mast3r_ros.cli.options import front_ends, with_options
from mast3r_ros.cli.output import JsonFile, print_table, progress, write_json
from mast3r_ros.common.options import check, option
from mast3r_ros.localization.options import RelocalizerOptions


@dataclass(frozen=True)
class DriveOptions:
    """Which drives are rendered."""

    drives: int = option(10, "Drives, each in a room of its own", 1, 10_000)
    seed: int = option(0, "Seed of the first drive; each further one has the next", 0)
    cameras: int = option(1, "Cameras of the robot, evenly around it", 1, 8)
    moments: int = option(48, "Images of each camera in a drive, 0.4 s apart", 24, 10_000)
    size: str = option("320x240", "Size of the images")

    def __post_init__(self) -> None:
        check(self)


@with_options(drive_options="Which drives", options=RELOCALIZER_PANEL)
def evaluate_drives(
    drive_options: DriveOptions,
    options: RelocalizerOptions,
    front_end: Annotated[str, front_ends("xfeat by default")] = "xfeat",
    json: JsonFile = None,
) -> None:
    """Drive a robot through rendered rooms: a black-out, and it is carried away.

    Reports the windowed and the filtered poses. With several cameras, each one alone, too.
    """
    from mast3r_ros.common.size import ImageSize
    from mast3r_ros.drawing.page import Table
    from mast3r_ros.evaluation.drives import Figures, run
    from mast3r_ros.frontends import create
    from mast3r_ros.training.worlds.drives import DriveWorld

    world, made = DriveWorld(ImageSize.parse(drive_options.size)), create(front_end)
    count = drive_options.cameras
    rigs = {"all": range(count), **{f"camera {i}": (i,) for i in range(count) if count > 1}}
    figures = {name: Figures() for name in rigs}
    seeds = range(drive_options.seed, drive_options.seed + drive_options.drives)
    for seed in progress(seeds, "Driving"):
        drive = world.drive(seed, count, drive_options.moments)
        done = run(drive, seed, made, options, list(rigs.values()))
        for name, steps in zip(rigs, done, strict=True):
            figures[name].drives.append(steps)
    found = {name: each.as_dict() for name, each in figures.items()}
    rows = [[key, *(f"{each[key]:.4g}" for each in found.values())] for key in found["all"]]
    print_table("Rendered drives", Table(["", *found], rows, names=1))
    about = {**asdict(drive_options), "front_end": front_end, "options": asdict(options)}
    write_json({"about": about, "figures": found}, json)
