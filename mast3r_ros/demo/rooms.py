# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The second act: a small MASt3R localizes in rendered rooms from RGB only, in meters.

One keyframe without depth: distances are the network's own prediction. Rooms and textures were held
out of its training; `render_rooms` makes the pairs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from mast3r_ros.datasets.images import read_rgb
from mast3r_ros.datasets.recording import PosedPair
from mast3r_ros.drawing.clouds import SCRIPT, STYLE, Cloud, DrawnCamera, cloud_html
from mast3r_ros.drawing.page import picture_html, tiles, write_page
from mast3r_ros.engines.base import to_numpy
from mast3r_ros.evaluation.album import match_picture
from mast3r_ros.evaluation.outcome import Outcome
from mast3r_ros.evaluation.pairs import BOUNDS, PairOutcome, localize_pairs, summarize_pairs
from mast3r_ros.evaluation.report import number, percent
from mast3r_ros.evaluation.run import Attempt
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.mast3r.frontend import Mast3rFrontEnd
from mast3r_ros.frontends.mast3r.options import Mast3rOptions
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.network.config import MAST3RConfig
from mast3r_ros.network.preprocess import preprocess

FOLDER = Path(__file__).parent / "rendered"
# Beyond it, a pose is wrong.
LIMIT = BOUNDS[-1]
# Of all rooms. One wrong pose is a failure, too.
LEAST_LOCALIZED = 1 / 3
# The fraction of a view's points that are drawn, the most confident ones.
_DRAWN = 0.8
_ORANGE, _BLUE, _GRAY = "#d9822b", "#2166ac", "#57606a"

console = Console()


@dataclass(frozen=True)
class _Shown:
    """A pair, what came of it, and how it looks."""

    outcome: PairOutcome
    html: str


def read_rooms(folder: Path = FOLDER) -> list[PosedPair]:
    """The pairs that come with the package; their depth does not."""
    about = json.loads((folder / "rooms.json").read_text())
    return [
        PosedPair(
            pair["name"],
            _read_view(folder, pair["reference"]),
            _read_view(folder, pair["query"]),
            np.array(pair["motion"]),
            pair["overlap"],
        )
        for pair in about
    ]


def show_rooms(folder: Path, checkpoint: str = "nano") -> bool:
    """Localize every pair, and write `rooms.html`.

    Args:
        folder: where the page goes.
        checkpoint: weights, as the front end calls them.

    Returns:
        Whether enough of the queries were localized, and none of them wrongly.

    Raises:
        FrontEndError: the network cannot run here; says what to install.
    """
    # The other engines have to be built first.
    front_end = Mast3rFrontEnd(Mast3rOptions(checkpoint=checkpoint, engine="torch"))
    shown = []
    for pair in read_rooms():
        ((_, attempt),) = localize_pairs([pair], {"mast3r": front_end}, depth=False)
        assert isinstance(attempt.outcome, PairOutcome)
        shown.append(_Shown(attempt.outcome, _html(pair, attempt, front_end)))
        console.print(_line(attempt.outcome))
    outcomes = [s.outcome for s in shown]
    good = passes(outcomes)
    report = folder / "rooms.html"
    _write(report, shown, good)
    localized = sum(o.error.within(LIMIT) for o in outcomes)
    wrong = sum(o.localized for o in outcomes) - localized
    console.print(
        f"[bold {'green' if good else 'red'}]{localized} of {len(outcomes)}[/] rooms localized "
        f"within {LIMIT.label} from RGB only, {wrong} wrongly, the others refused; "
        f"report: {report}"
    )
    return good


def passes(outcomes: Sequence[Outcome]) -> bool:
    """Whether enough were localized, and none of them wrongly."""
    localized = sum(o.error.within(LIMIT) for o in outcomes)
    accepted = sum(o.localized for o in outcomes)
    return accepted == localized >= LEAST_LOCALIZED * len(outcomes)


def predicted_cloud(
    pair: PosedPair, pose: NDArray[np.float64] | None, front_end: Mast3rFrontEnd
) -> Cloud:
    """The points that the network predicts for both views, and the cameras, in the keyframe's."""
    reference, query = (
        front_end.describe(Frame(view.image, view.camera)) for view in (pair.reference, pair.query)
    )
    # Each view's points are computed in its own frame; the pose puts the query's beside the others.
    placed = [(reference, query, pair.reference, np.eye(4))]
    if pose is not None:
        placed.append((query, reference, pair.query, pose))
    network = front_end.network
    decoded = network.decode([(first.encoded, second.encoded) for first, second, _, _ in placed])
    points, colors = [], []
    for (_, _, frame, where), found in zip(placed, network.points(decoded), strict=True):
        confidence = to_numpy(found.confidence)
        sure = confidence >= np.quantile(confidence, 1.0 - _DRAWN)
        points.append(transforms.apply(where, to_numpy(found.points)[sure]))
        colors.append(_seen(frame, network.config)[sure])
    assert pair.reference.camera is not None
    assert pair.query.camera is not None
    cameras = [
        DrawnCamera("keyframe", _ORANGE, np.eye(4), pair.reference.camera),
        DrawnCamera("true query", _GRAY, pair.motion, pair.query.camera),
    ]
    if pose is not None:
        cameras.append(DrawnCamera("localized query", _BLUE, pose, pair.query.camera))
    shrink = front_end.network.config.image_size / max(pair.reference.size)
    spacing = 1.0 / (pair.reference.camera.fx * shrink)
    return Cloud(np.concatenate(points), np.concatenate(colors), cameras, spacing)


def _seen(frame: Frame, config: MAST3RConfig) -> NDArray[np.uint8]:
    """The image that the network saw, (H, W, 3)."""
    values = preprocess(frame.image, config, frame.camera).values[:3]
    return np.asarray(np.rint((values.transpose(1, 2, 0) + 1) * 127.5), np.uint8)


def _read_view(folder: Path, about: dict[str, Any]) -> Frame:
    return Frame(read_rgb(folder / about["image"]), Camera.from_dict(about["camera"]))


def _line(outcome: Outcome) -> str:
    milliseconds = f"{1e3 * outcome.seconds:5.0f} ms"
    if outcome.pose is None:
        return f"[yellow]--[/]  {outcome.name:10} refused: {outcome.reason:20} {milliseconds}"
    error = outcome.error
    mark = "[green]ok[/] " if error.within(LIMIT) else "[red]BAD[/]"
    errors = f"{100 * error.translation_m:5.1f} cm  {error.rotation_deg:5.2f} deg"
    return f"{mark} {outcome.name:10} {errors:29} {milliseconds}"


def _html(pair: PosedPair, attempt: Attempt, front_end: Mast3rFrontEnd) -> str:
    """Matches, and the predicted cloud beside them."""
    matches = picture_html(match_picture(attempt)) if attempt.answer.matches else ""
    cloud = cloud_html(predicted_cloud(pair, attempt.outcome.pose, front_end))
    return f"<div class=pictures>{matches}<figure>{cloud}</figure></div>"


def _write(path: Path, shown: Sequence[_Shown], good: bool) -> None:
    outcomes = [s.outcome for s in shown]
    figures = summarize_pairs(outcomes)
    facts = {
        f"within {LIMIT.label}": percent(figures[LIMIT.key]),
        "refused": percent(1.0 - figures["localized"]),
        "wrong, accepted": str(figures["wrong_accepted"]),
    }
    for name, key, factor, unit in (
        ("median position error", "median_translation_m", 100, "cm"),
        ("median orientation error", "median_rotation_deg", 1, "°"),
        ("estimated over true distance", "metric_ratio", 1, ""),
    ):
        if figures[key] is not None:
            facts[name] = number(figures[key], factor, unit)
    facts["median time"] = number(figures["latency_ms"]["total"], 1, "ms")
    lead = (
        "A small MASt3R, trained by this project on rooms that it made itself, gets a keyframe and "
        "a query of a room that it never saw, and nothing else: no depth, no third image. Every "
        f"pose is metric. {'Passed' if good else 'NOT PASSED'}: at least a third localized and "
        "none wrongly; uncertain poses are refused."
    )
    sections = [
        f"<style>{STYLE}</style>",
        tiles(facts),
        *(f"<h2>{escape(s.outcome.name)}</h2>{s.html}" for s in shown),
        SCRIPT,
    ]
    write_page(path, "Rooms from RGB only, in meters", lead, sections)
