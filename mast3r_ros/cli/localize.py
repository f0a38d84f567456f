# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `localize`: one image in a saved map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mast3r_ros.cli.maps import MapFrontEnd, open_map
from mast3r_ros.cli.options import text, with_options
from mast3r_ros.cli.output import JsonFile, print_facts, write_json
from mast3r_ros.common.errors import UserError
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.localization.options import RelocalizerOptions

if TYPE_CHECKING:
    from mast3r_ros.geometry.camera import Camera
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.localization.result import Localization

RELOCALIZER_PANEL = "Options of the relocalizer"


class UnknownCameraError(UserError, ValueError):
    """An image whose camera nobody named."""


@with_options(options=RELOCALIZER_PANEL)
def localize(
    map_path: Annotated[Path, typer.Argument(metavar="MAP", help="A saved map.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    options: RelocalizerOptions,
    front_end: MapFrontEnd = None,
    camera: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help=text("Its calibration; by default the camera that the map was made with."),
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help=text("Image of its size, black where it sees the robot itself.")
        ),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Localize one image in a map. Exit status 1 where there is no pose to trust."""
    from mast3r_ros.datasets.registry import open_dataset
    from mast3r_ros.localization.relocalizer import Relocalizer

    keyframes = open_map(map_path, front_end)
    (posed, *_) = open_dataset(image, SourceOptions(camera=camera, mask=mask))
    frame = posed.load(False)
    if frame.camera is None:
        frame = replace(frame, camera=_camera_of(keyframes, frame.size))
    answer = Relocalizer(keyframes, options).localize(frame)
    facts = _facts(answer)
    write_json(facts, json)
    if str(json) != "-":
        del facts["covariance"]
        print_facts(facts)
    if not answer.localized:
        raise typer.Exit(1)


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
