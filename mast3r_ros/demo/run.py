# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The demo: photographs -> bag -> node -> poses -> report; then rooms, RGB only; then a drive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

import mast3r_ros
from mast3r_ros.common.errors import UserError
from mast3r_ros.demo import drive, photographs, rooms, scenes
from mast3r_ros.demo.bag import play, write_bag
from mast3r_ros.demo.scenes import Scene
from mast3r_ros.demo.transport import stay_on_this_machine
from mast3r_ros.drawing.matches import draw_matches
from mast3r_ros.drawing.page import Picture
from mast3r_ros.evaluation.outcome import Outcome
from mast3r_ros.evaluation.pose_error import Bound
from mast3r_ros.evaluation.report import Row, write_report
from mast3r_ros.geometry.transforms import Pose

# Name and title of each, in the order in which they are shown.
ACTS = {
    "photographs": "Photographs, through the node",
    "rooms": "Rooms, RGB only",
    "drive": "A drive",
}
# Every query must be as near to the truth.
LIMIT = Bound.of(0.02, 1.0)
_START_TIMEOUT = 120.0

console = Console()


class DemoError(UserError, RuntimeError):
    """A demo that cannot run, and why."""


@dataclass(frozen=True)
class _Shown:
    """A query as the node answered it."""

    outcome: Outcome
    place: str
    right_place: bool
    picture: Picture | None

    @property
    def good(self) -> bool:
        """Right place, near enough."""
        return self.right_place and self.outcome.error.within(LIMIT)


def demo(folder: Path, front_end: str, acts: Sequence[str] = ()) -> dict[str, bool]:
    """Show the acts of the demo.

    Args:
        folder: where photographs, bag, log and reports go.
        front_end: of the first act's node and of the third act; the second is MASt3R's.
        acts: names of `ACTS`, shown in its order; all of them if none is named.

    Returns:
        Whether each act succeeded, see `show_photographs`, `rooms.show_rooms` and
        `drive.show_drive`.

    Raises:
        DemoError, DownloadError, FrontEndError: it could not be shown.
    """
    if unknown := sorted(set(acts) - set(ACTS)):
        raise DemoError(f"act {unknown[0]!r}: the demo has {', '.join(ACTS)}")
    show = {
        "photographs": lambda: show_photographs(folder, front_end),
        "rooms": lambda: rooms.show_rooms(folder),
        "drive": lambda: drive.show_drive(folder, front_end),
    }
    results = {}
    for act, title in ACTS.items():
        if not acts or act in acts:
            console.rule(title, align="left")
            results[act] = show[act]()
    return results


def show_photographs(folder: Path, front_end: str) -> bool:
    """Play the photographs to the node, and write `report.html`.

    Returns:
        Whether every query was localized by the right keyframe, within 2 cm and 1 degree.

    Raises:
        DemoError, DownloadError: it could not be shown.
    """
    started = time.monotonic()
    photographs.pull(folder / "photographs")
    indices = track(range(scenes.COUNT), "Depth of the keyframes", console=console)
    places = [scenes.read_scene(folder / "photographs", i) for i in indices]
    bag = folder / "photographs_bag"
    write_bag(bag, places)
    console.print(f"Bag: {bag}")
    with _node(front_end, folder / "node.log") as client:
        keyframes, shown = _show(bag, places, client)
    good = sum(s.good for s in shown)
    seconds = time.monotonic() - started
    report = folder / "report.html"
    _write(report, front_end, _row(places, keyframes, shown), shown, seconds)
    console.print(
        f"[bold {'green' if good == len(places) else 'red'}]{good} of {len(places)}[/] queries "
        f"within {LIMIT.label}, in {seconds:.0f} s; "
        f"report: {report}"
    )
    return good == len(places)


@contextmanager
def _node(front_end: str, log: Path) -> Iterator[Any]:
    """A node in a process and namespace of its own, and a client that talks to it."""
    # No other machine sees the demo's topics.
    stay_on_this_machine(log.parent)
    try:
        from mast3r_ros.demo.client import DemoClient, NoAnswerError
    except ImportError as error:
        raise DemoError(
            f"{error}: the demo needs ROS 2 and the package built; run `make demo`, or "
            "`source install/setup.bash` first"
        ) from error
    namespace = f"/demo_{os.getpid()}"
    parameters = {
        "front_end": front_end,
        "reliability": "reliable",
        "depth_timeout": 10.0,
        "tf_mode": "none",
        # Three of the photographs show one desk, and this map has it in three places: a smaller
        # limit rightly refuses the query that sees it best.
        "max_ambiguity": 0.5,
    }
    command = [sys.executable, "-m", "mast3r_ros.ros.node", "--ros-args", "-r"]
    command.append(f"__ns:={namespace}")
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    here = str(Path(mast3r_ros.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, env={**os.environ, "PYTHONPATH": path}
        )
        client = DemoClient(namespace)
        try:
            with console.status(f"Starting the node with {front_end}"):
                client.wait_until_ready(lambda: process.poll() is None, _START_TIMEOUT)
            yield client
        except NoAnswerError as error:
            tail = "\n".join(log.read_text().splitlines()[-15:])
            raise DemoError(f"{error}; the end of {log}:\n{tail}") from error
        finally:
            client.close()
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _show(bag: Path, places: Sequence[Scene], client: Any) -> tuple[dict[int, Pose], list[_Shown]]:
    """Play the bag: left images become keyframes, right ones are localized."""
    owner: dict[int, int] = {}
    shown = []
    played = iter(track(play(bag), "Playing the bag", 2 * len(places), console=console))
    for index, scene in enumerate(places):
        stamp, messages = next(played)
        client.show(messages, stamp)
        owner[client.add_keyframe(scene.keyframe_pose)] = index
    for index, (scene, (stamp, messages)) in enumerate(zip(places, played, strict=True)):
        answer = client.show(messages, stamp)
        best = answer.matches[0] if answer.matches else None
        place = None if best is None else owner[best.keyframe]
        outcome = Outcome(
            scene.name,
            scene.query_pose,
            "localized" if answer.pose is not None else "refused",
            answer.reason,
            answer.pose,
            answer.covariance,
            keyframe=None if best is None else best.keyframe,
            inliers=answer.inliers,
            decodes=len(answer.matches),
            timings=answer.timings,
        )
        where = "no place" if place is None else places[place].name
        picture = None if place is None else _picture(places[place], scene, best, outcome)
        shown.append(_Shown(outcome, where, place == index, picture))
        console.print(_line(shown[-1]))
    return {k: places[i].keyframe_pose for k, i in owner.items()}, shown


def _errors(outcome: Outcome) -> str:
    if outcome.pose is None:
        return f"refused: {outcome.message}"
    error = outcome.error
    return f"{100 * error.translation_m:5.2f} cm  {error.rotation_deg:5.3f} deg"


def _line(shown: _Shown) -> str:
    outcome = shown.outcome
    mark = "[green]ok [/]" if shown.good else "[red]BAD[/]"
    milliseconds = 1e3 * outcome.seconds
    return (
        f"{mark} {outcome.name:16} at {shown.place:16} {_errors(outcome)}  {milliseconds:5.0f} ms"
    )


def _picture(place: Scene, scene: Scene, match: Any, outcome: Outcome) -> Picture:
    image = draw_matches(
        place.keyframe.image,
        scene.query.image,
        match.keyframe_pixels,
        match.query_pixels,
        match.inliers,
    )
    return Picture(
        scene.name,
        f"{_errors(outcome)}; {match.inliers.sum()} of {len(match.inliers)} matches agree",
        image,
    )


def _row(places: Sequence[Scene], keyframes: dict[int, Pose], shown: Sequence[_Shown]) -> Row:
    return Row(
        {"recording": "Thirteen places"},
        [s.outcome for s in shown],
        keyframes=keyframes,
        names=dict(zip(keyframes, (place.name for place in places), strict=True)),
        pictures={"Matches: keyframe, query": [s.picture for s in shown if s.picture]},
    )


def _write(path: Path, front_end: str, row: Row, shown: Sequence[_Shown], seconds: float) -> None:
    """Write the report."""
    errors = [s.outcome.error for s in shown if s.outcome.localized]
    median = np.median([s.outcome.seconds for s in shown])
    facts = {
        f"within {LIMIT.label}": f"{sum(s.good for s in shown)} of {len(shown)}",
        "right place": f"{sum(s.right_place for s in shown)} of {len(shown)}",
        "median time in the node": f"{1e3 * median:.0f} ms",
        "all of the demo": f"{seconds:.0f} s",
    }
    if errors:
        facts["largest position error"] = f"{100 * max(e.translation_m for e in errors):.2f} cm"
        facts["largest orientation error"] = f"{max(e.rotation_deg for e in errors):.2f}°"
    lead = (
        f"Front end {front_end}. Of each stereo pair the left image is a keyframe with depth. The "
        "right one was played from a bag to the node, which estimated where it was taken; the "
        "baseline of the pair is the truth. Photographs: Middlebury stereo (Scharstein et al., "
        "2014), and stereodemo (OAK-D, MIT license)."
    )
    write_report(path, "Thirteen places, one photograph each", lead, [row], [LIMIT], facts)
