# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The third act: a robot is switched on, drives, is carried away, and finds itself again.

The room, its map and the way are rendered; `render_drive` makes them. Windows and the map -> odom
filter are those of the node.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from mast3r_ros.common.size import ImageSize
from mast3r_ros.datasets.images import read_depth, read_rgb
from mast3r_ros.drawing.drive import DriveTrack, draw_time, draw_way
from mast3r_ros.drawing.page import Picture, gallery, plots, tiles, write_page
from mast3r_ros.evaluation.drive_figures import Step, drive_figures
from mast3r_ros.evaluation.drives import Rig, run
from mast3r_ros.evaluation.filtered import WRONG
from mast3r_ros.evaluation.report import number, percent
from mast3r_ros.frontends import create
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.depth import fit_depth
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.map_odom import FilterState
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.training.worlds.routes import Event, Moment
from mast3r_ros.training.worlds.views import View

FOLDER = Path(__file__).parent / "rendered_drive"
DRIVE = "drive.json"
# Of the map's points, every so many-th is drawn, below this height [m].
_DRAWN, _CEILING = 40, 1.8

console = Console()


@dataclass(frozen=True)
class RenderedDrive:
    """A drive from files; see `training.worlds.drives.Drive`."""

    seed: int
    keyframes: tuple[View, ...]
    moments: tuple[Moment, ...]
    mounts: tuple[Pose, ...]
    images: tuple[NDArray[np.uint8], ...]

    def views(self) -> Iterator[tuple[Moment, list[View]]]:
        """Each moment with its image."""
        camera = self.keyframes[0].camera
        unknown = np.full((camera.height, camera.width), np.nan, np.float32)
        for moment, image in zip(self.moments, self.images, strict=True):
            yield moment, [View(image, unknown, camera, moment.body @ self.mounts[0])]


def read_drive(folder: Path = FOLDER) -> RenderedDrive:
    """The drive that comes with the package."""
    about = json.loads((folder / DRIVE).read_text())
    camera = Camera.from_dict(about["camera"])
    size = ImageSize(camera.width, camera.height)
    keyframes, moments, images = [], [], []
    for keyframe in about["keyframes"]:
        image = read_rgb(folder / keyframe["image"])
        depth = fit_depth(read_depth(folder / keyframe["depth"]), size)
        keyframes.append(View(image, depth, camera, np.array(keyframe["pose"])))
    for moment in about["moments"]:
        dark, event = moment["image"] is None, moment["event"]
        black = np.zeros((camera.height, camera.width, 3), np.uint8)
        images.append(black if dark else read_rgb(folder / moment["image"]))
        what = None if event is None else Event[event]
        moments.append(Moment(moment["stamp"], np.array(moment["body"]), what, dark))
    mounts = (np.array(about["mount"]),)
    return RenderedDrive(about["seed"], tuple(keyframes), tuple(moments), mounts, tuple(images))


def show_drive(folder: Path, front_end: str) -> bool:
    """Drive through the rendered room, and write `drive.html`.

    Args:
        folder: where the page goes.
        front_end: of the map and of the images.

    Returns:
        Whether the robot knew where it is before and after it was carried away, and believed no
        wrong pose.

    Raises:
        FrontEndError: the front end cannot run here; says what to install.
    """
    drive = read_drive()
    with console.status(f"Driving with {front_end}"):
        (steps,) = run(drive, drive.seed, create(front_end), RelocalizerOptions(), [Rig((0,))])
    good = passes(steps)
    report = folder / "drive.html"
    _write(report, front_end, drive, steps, good)
    found = drive_figures([steps])["events"]
    for event in (Event.START, Event.CARRIED):
        images = found[event.value]["images_to_find"]
        words = "never found" if images is None else f"found after {images:.0f} images"
        console.print(f"{event.value:14} {words}")
    console.print(
        f"[bold {'green' if good else 'red'}]{'Found' if good else 'NOT FOUND'}[/] at the start "
        f"and after being carried away; report: {report}"
    )
    return good


def passes(steps: Sequence[Step]) -> bool:
    """Whether no wrong pose was believed, and the robot was found at the start and once moved."""
    figures = drive_figures([steps])
    events = (Event.START, Event.CARRIED)
    found = all(figures["events"][event.value]["found"] == 1 for event in events)
    return found and not figures["wrong_believed"] and steps[-1].tracked.error.within(WRONG)


def _write(
    path: Path, front_end: str, drive: RenderedDrive, steps: Sequence[Step], good: bool
) -> None:
    figures = drive_figures([steps])
    events, filtered = figures["events"], figures["filtered"]
    facts = {
        "localized after being switched on": number(
            events[Event.START.value]["images_to_find"], 1, "images"
        ),
        "found again after being carried": number(
            events[Event.CARRIED.value]["images_to_find"], 1, "images"
        ),
        "wrong poses believed": str(figures["wrong_believed"]),
        "median error of a pose": number(figures["error_m"], 100, "cm"),
        "error of the trajectory (rms)": number(filtered["ate_m"], 100, "cm"),
        "truth inside of the 95 % ellipsoid": percent(filtered["coverage"]),
    }
    lead = (
        f"Front end {front_end}. A robot with one camera is switched on somewhere in a rendered "
        "room of which there is a map. It is told nothing but its drifting odometry. The images go "
        "black for 4.8 s; it is bumped; at last it is picked up and put down elsewhere, which "
        f"odometry does not notice. {'Passed' if good else 'NOT PASSED'}: found at the start and "
        "again at the end, and no wrong pose believed."
    )
    track = _track(drive, steps)
    shown = {
        "the way from above, with 95 % ellipses": draw_way(track),
        "error and 95 % radius over time": draw_time(track),
    }
    pictures = [
        Picture(moment.event.value, f"at {moment.stamp / 1e9:.1f} s", image)
        for moment, image in zip(drive.moments, drive.images, strict=True)
        if moment.event is not None and not moment.dark
    ]
    sections = [tiles(facts), plots(shown), gallery("What the robot sees", pictures)]
    write_page(path, "A robot that finds itself again", lead, sections)


def _track(drive: RenderedDrive, steps: Sequence[Step]) -> DriveTrack:
    """What is drawn of the steps."""
    nowhere = np.full((4, 4), np.nan), np.zeros((6, 6))
    estimates = [nowhere if s.tracked.estimate is None else s.tracked.estimate for s in steps]
    states = list(FilterState)
    seconds = np.array([s.tracked.stamp for s in steps]) / 1e9
    named = zip(seconds, steps, strict=True)
    return DriveTrack(
        seconds,
        np.array([s.tracked.truth for s in steps]),
        np.array([pose for pose, _ in estimates]),
        np.array([covariance for _, covariance in estimates]),
        np.array([states.index(s.tracked.state) for s in steps]),
        [state.value for state in states],
        {second: s.event.value for second, s in named if s.event is not None},
        np.array([view.pose for view in drive.keyframes]),
        _points(drive.keyframes),
    )


def _points(keyframes: Sequence[View]) -> NDArray[np.float64]:
    """Some of the room's points, without floor and ceiling."""
    points = []
    for view in keyframes:
        v, u = np.nonzero(np.isfinite(view.depth))
        chosen = slice(None, None, _DRAWN)
        pixels = np.stack([u, v], 1)[chosen].astype(np.float64)
        seen = view.camera.unproject(pixels, view.depth[v, u][chosen])
        points.append(transforms.apply(view.pose, seen))
    found = np.concatenate(points)
    return found[(found[:, 2] > 0.1) & (found[:, 2] < _CEILING)]
