# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `localize`: images without known poses in a saved map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mast3r_ros.cli.maps import MapFrontEnd, open_map, open_source, print_reading
from mast3r_ros.cli.options import OFFLINE, text, with_options
from mast3r_ros.cli.output import JsonFile, print_facts, progress, write_json
from mast3r_ros.common.errors import UserError
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.localization.options import RelocalizerOptions

if TYPE_CHECKING:
    from mast3r_ros.datasets.dataset import Dataset
    from mast3r_ros.datasets.result_bag import Result
    from mast3r_ros.geometry.camera import Camera
    from mast3r_ros.geometry.transforms import Pose
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.localization.result import Localization

RELOCALIZER_PANEL = "Options of the relocalizer"


class UnknownCameraError(UserError, ValueError):
    """An image whose camera nobody named."""


@dataclass(frozen=True)
class _Localized:
    """One image of the source and what came of it."""

    name: str
    stamp: int
    answer: Localization

    @property
    def pose(self) -> Pose | None:
        """map <- camera; None where it was refused."""
        return self.answer.pose


@with_options(options=RELOCALIZER_PANEL, reading="What is read")
def localize(
    map_path: Annotated[Path, typer.Argument(metavar="MAP", help="A saved map.")],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="An image file, a folder of images or a bag; no poses needed."
        ),
    ],
    reading: SourceOptions,
    options: RelocalizerOptions = OFFLINE,
    front_end: MapFrontEnd = None,
    trajectory: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help=text("Write the poses here, in the TUM format.")),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help=text("Write a bag: the recorded topics, pose, status, relative poses and TF."),
        ),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Localize images in a map. Exit status 1 if no image is localized."""
    keyframes = open_map(map_path, front_end)
    dataset = open_source(source, reading, posed=False)
    found = _localize_all(keyframes, dataset, options, out, reading.map_frame)
    print_reading(dataset, reading, posed=False)
    if trajectory is not None:
        from mast3r_ros.evaluation.files import write_trajectory

        write_trajectory(trajectory, found)
    facts = [{"name": one.name, "stamp": one.stamp, **_facts(one.answer)} for one in found]
    single = len(facts) == 1
    write_json(facts[0] if single else facts, json)
    if str(json) != "-":
        shown = {k: v for k, v in facts[0].items() if k != "covariance"}
        print_facts(shown if single else _counts(found))
    if not any(one.answer.localized for one in found):
        raise typer.Exit(1)


def _localize_all(
    keyframes: KeyframeMap,
    dataset: Dataset,
    options: RelocalizerOptions,
    out: Path | None,
    map_frame: str,
) -> list[_Localized]:
    """Localize every image that can be read; write the results beside what was recorded."""
    from mast3r_ros.datasets.recording import read_frames
    from mast3r_ros.datasets.result_bag import ResultBag
    from mast3r_ros.localization.relocalizer import Relocalizer

    relocalizer, found = Relocalizer(keyframes, options), []
    with ExitStack() as stack:
        bag = None
        if out is not None:
            bag = stack.enter_context(ResultBag(out, dataset, map_frame))
        frames = read_frames(dataset, with_depth=False)
        for image, frame in progress(frames, "Localizing", len(dataset)):
            camera = frame.camera or _camera_of(keyframes, frame.size)
            answer = relocalizer.localize(replace(frame, camera=camera))
            found.append(_Localized(image.name, image.stamp, answer))
            if bag is not None:
                bag.add(image, frame.frame_id, _result(answer, keyframes))
    return found


def _result(answer: Localization, keyframes: KeyframeMap) -> Result:
    """An answer as a bag of results holds it."""
    from mast3r_ros.datasets.result_bag import RelativeResult, Result
    from mast3r_ros.localization.result import Reason

    states = {Reason.LOCALIZED: "localized", Reason.DIRECTION_ONLY: "direction_only"}
    relative = [
        RelativeResult(
            match.keyframe_id,
            keyframes[match.keyframe_id].stamp,
            match.pose,
            match.covariance,
            match.metric,
            match.confidence,
            len(match.correspondences),
            int(match.inliers.sum()),
        )
        for match in answer.matches
        if match.pose is not None
    ]
    return Result(
        states.get(answer.reason, "not_localized"),
        answer.message,
        answer.pose,
        answer.covariance,
        answer.confidence,
        answer.inliers,
        answer.keyframes,
        answer.timings,
        relative,
        len(keyframes),
        keyframes.front_end.name,
        intrinsics_estimated=answer.camera_estimated,
        protection_position=answer.protection_position,
        protection_rotation=answer.protection_rotation,
    )


def _counts(found: Sequence[_Localized]) -> dict[str, Any]:
    """How many images were localized, and why the others were not."""
    reasons = Counter(one.answer.reason for one in found if not one.answer.localized)
    return {
        "images": len(found),
        "localized": sum(one.answer.localized for one in found),
        **{reason.value: count for reason, count in reasons.most_common()},
    }


def _facts(answer: Localization) -> dict[str, Any]:
    """The answer, fit for JSON."""
    from mast3r_ros.geometry import transforms

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
    return facts


def _camera_of(keyframes: KeyframeMap, size: tuple[int, int]) -> Camera:
    """The one camera that all keyframes share, if it takes images of this (width, height).

    Raises:
        UnknownCameraError: there is no such camera.
    """
    cameras = {k.camera for k in keyframes}
    camera = cameras.pop() if len(cameras) == 1 else None
    if camera is None or (camera.width, camera.height) != size:
        raise UnknownCameraError(
            f"image of {size[0]}x{size[1]} pixels: the map has no single camera of this size; "
            "give the calibration of the image with --camera"
        )
    return camera
