# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the verbs of the command line do with recordings and maps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from mast3r_ros.datasets.images import read_rgb
from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.drawing.matches import draw_matches
from mast3r_ros.evaluation import run
from mast3r_ros.evaluation.metrics import CLASSES, Outcome, summarize
from mast3r_ros.evaluation.report import Picture, Report, figures, write_report
from mast3r_ros.frame import Frame
from mast3r_ros.frontends import create
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.keyframes import store as storage
from mast3r_ros.keyframes.keyframe import decode_thumbnail
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization

# Progress and words for people; standard output is for what was asked for.
console = Console(stderr=True)
_T = TypeVar("_T")
_PICTURES = 6


def build_map(
    images: Iterable[PosedImage], count: int, front_end: str, with_depth: bool = True
) -> KeyframeMap:
    """A map of all the images, of which there are `count`."""
    keyframes = KeyframeMap(create(front_end))
    for _ in _progress(run.add_keyframes(keyframes, images, with_depth), "Mapping", count):
        pass
    return keyframes


def load_map(path: Path, front_end: str | None = None) -> KeyframeMap:
    """A saved map, with the front end that it was made by.

    Args:
        front_end: as in `frontends.create`; by default the one that the map names, as it comes.

    Raises:
        MapError: there is no such map, it is damaged or of another front end.
        FrontEndError: there is no such front end, or it cannot run here.
    """
    made_by = str(storage.read_manifest(path).get("front_end"))
    return KeyframeMap.load(path, create(front_end or made_by))


def evaluate(
    keyframes: KeyframeMap,
    queries: Iterable[PosedImage],
    count: int,
    options: RelocalizerOptions,
    about: Mapping[str, Any],
    json_path: Path | None,
    report_path: Path | None,
) -> dict[str, Any]:
    """Localize the queries in the map, and tell how well that went.

    Args:
        count: of the queries, for the progress bar.
        about: what else belongs to the figures, by JSON key.
        json_path: where to write the figures; standard output if None.
        report_path: where to write a page with pictures, if given.

    Returns:
        The figures.
    """
    outcomes: list[Outcome] = []
    album = _Album(keyframes)
    found = run.localize(Relocalizer(keyframes, options), queries)
    for outcome, frame, answer in _progress(found, "Localizing", count):
        outcomes.append(outcome)
        if report_path is not None:
            album.consider(outcome, frame, answer)
    summary = {**summarize(outcomes), **about, "options": asdict(options)}
    text = json.dumps(summary, indent=2)
    if json_path is None:
        print(text)
    else:
        json_path.write_text(text + "\n")
    console.print(_table(figures(summary)))
    if report_path is not None:
        said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items())
        report = Report(
            "Relocalization: an evaluation",
            said,
            figures(summary),
            outcomes,
            {k.id: k.pose for k in keyframes},
            {k.id: str(k.id) for k in keyframes},
            CLASSES,
            album.pictures(),
        )
        write_report(report_path, report)
        console.print(f"Report: {report_path}")
    return summary


class _Album:
    """Match pictures of the queries with the largest errors, and of refused ones."""

    def __init__(self, keyframes: KeyframeMap) -> None:
        self._keyframes = keyframes
        self._accepted: list[tuple[float, Picture]] = []
        self._refused: list[Picture] = []

    def consider(self, outcome: Outcome, frame: Frame, answer: Localization) -> None:
        """Keep a picture if it is among the worst so far."""
        error = outcome.translation_error
        if not answer.matches:
            return
        if outcome.pose is None:
            if len(self._refused) < _PICTURES:
                self._refused.append(self._picture(outcome.name, answer.message, frame, answer))
            return
        if len(self._accepted) == _PICTURES and error <= self._accepted[-1][0]:
            return
        caption = (
            f"{100 * error:.1f} cm, {np.rad2deg(outcome.rotation_error):.2f}° off; {answer.message}"
        )
        picture = self._picture(outcome.name, caption, frame, answer)
        ranked = sorted([*self._accepted, (error, picture)], key=lambda entry: -entry[0])
        self._accepted = ranked[:_PICTURES]

    def _picture(self, name: str, caption: str, frame: Frame, answer: Localization) -> Picture:
        match = answer.matches[0]
        keyframe = self._keyframes[match.keyframe_id]
        thumbnail = decode_thumbnail(keyframe.thumbnail)
        scale = thumbnail.shape[1] / keyframe.size[0]
        found = match.correspondences
        image = draw_matches(
            thumbnail,
            frame.image,
            (found.reference_pixels + 0.5) * scale - 0.5,
            found.query_pixels,
            match.inliers,
        )
        return Picture(name, f"with keyframe {keyframe.id}: {caption}", image)

    def pictures(self) -> dict[str, list[Picture]]:
        """By heading."""
        return {
            "Largest errors among the accepted": [picture for _, picture in self._accepted],
            "Refused (the first of them)": self._refused,
        }


def map_info(path: Path, front_end: str | None = None) -> None:
    """Print what a map holds."""
    keyframes = load_map(path, front_end)
    places = np.array([k.pose[:3, 3] for k in keyframes]).reshape(-1, 3)
    size = " x ".join(f"{s:.2f}" for s in np.ptp(places, axis=0)) if len(places) else "0"
    files = [f for f in path.rglob("*") if f.is_file()]
    facts = {
        "front end": f"{keyframes.front_end.name} ({keyframes.front_end.fingerprint})",
        "keyframes": str(len(keyframes)),
        "with depth": str(sum(k.sensed for k in keyframes)),
        "extent [m]": size,
        "on disk": f"{sum(f.stat().st_size for f in files) / 1e6:.1f} MB",
    }
    Console().print(_table(facts))


def localize(
    map_path: Path,
    image: Path,
    front_end: str | None,
    camera: Path | None,
    options: RelocalizerOptions,
    as_json: bool,
) -> bool:
    """Localize an image file in a saved map and print the answer; whether there is a pose."""
    keyframes = load_map(map_path, front_end)
    pixels = read_rgb(image)
    intrinsics = _camera_of(keyframes, pixels.shape) if camera is None else Camera.from_yaml(camera)
    answer = Relocalizer(keyframes, options).localize(Frame(pixels, intrinsics))
    facts: dict[str, Any] = {
        "localized": answer.localized,
        "reason": answer.reason.name.lower(),
        "message": answer.message,
        "position": None,
        "orientation_xyzw": None,
        "covariance": None,
        "confidence": answer.confidence,
        "keyframes": list(answer.keyframes),
        "inliers": answer.inliers,
        "latency_ms": {stage: 1e3 * seconds for stage, seconds in answer.timings.items()},
    }
    if answer.pose is not None and answer.covariance is not None:
        position, quaternion = transforms.to_quaternion(answer.pose)
        facts["position"], facts["orientation_xyzw"] = position.tolist(), quaternion.tolist()
        facts["covariance"] = answer.covariance.tolist()
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        del facts["covariance"]
        Console().print(_table({name: _readable(value) for name, value in facts.items()}))
    return answer.localized


def _camera_of(keyframes: KeyframeMap, shape: tuple[int, ...]) -> Camera:
    """The one camera that all keyframes share, if it takes images of this shape."""
    cameras = {k.camera for k in keyframes}
    camera = cameras.pop() if len(cameras) == 1 else None
    if camera is None or (camera.height, camera.width) != shape[:2]:
        raise RecordingError(
            f"which camera took this image of {shape[1]}x{shape[0]}? The map does not tell: "
            "give its calibration with --camera"
        )
    return camera


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(part)}" for name, part in value.items())
    if isinstance(value, list):
        return " ".join(map(_readable, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _progress(steps: Iterable[_T], text: str, count: int) -> Iterable[_T]:
    return track(steps, text, total=count, console=console, transient=True)


def _table(facts: Mapping[str, str]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in facts.items():
        table.add_row(f"[bold]{escape(name)}", escape(value))
    return table
