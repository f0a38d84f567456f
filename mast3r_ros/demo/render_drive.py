# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Renders the drive of the third act: `python3 -m mast3r_ros.demo.render_drive`.

It comes with the package, so that the demo needs neither OpenGL nor textures. It is the first drive
of the seeds whose room is large, whatever is made of it.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mast3r_ros.common.size import ImageSize
from mast3r_ros.datasets.images import DEPTH_SCALE
from mast3r_ros.demo.drive import DRIVE, FOLDER
from mast3r_ros.training.worlds.drives import Drive, DriveWorld
from mast3r_ros.training.worlds.views import View

_SIZE, _MOMENTS, _LONG = ImageSize(320, 240), 52, 6.0
_QUALITY, _DEPTH_SIZE = 80, (160, 120)


def render(folder: Path) -> None:
    """Write the images of the drive, and what is true about them."""
    folder.mkdir(parents=True, exist_ok=True)
    seed, drive = _first_large(DriveWorld(_SIZE))
    about: dict[str, Any] = {
        "seed": seed,
        "camera": drive.keyframes[0].camera.to_dict(),
        "mount": drive.mounts[0].tolist(),
        "keyframes": [
            _write(folder / f"keyframe_{i:02}", view, True)
            for i, view in enumerate(drive.keyframes)
        ],
        "moments": [],
    }
    for i, (moment, (view,)) in enumerate(drive.views()):
        image = None if moment.dark else _write(folder / f"moment_{i:02}", view, False)["image"]
        about["moments"].append(
            {
                "stamp": moment.stamp,
                "body": moment.body.tolist(),
                "event": None if moment.event is None else moment.event.name,
                "image": image,
            }
        )
    (folder / DRIVE).write_text(json.dumps(about) + "\n")


def _first_large(world: DriveWorld) -> tuple[int, Drive]:
    """The first seed whose room is long, and its drive."""
    for seed in itertools.count():
        drive = world.drive(seed, 1, _MOMENTS)
        if drive.rooms[0][0].room.size[:2].max() >= _LONG:
            return seed, drive
    raise AssertionError("the seeds do not end")


def _write(path: Path, view: View, with_depth: bool) -> dict[str, Any]:
    image = path.with_suffix(".webp")
    quality = [cv2.IMWRITE_WEBP_QUALITY, _QUALITY]
    cv2.imwrite(str(image), cv2.cvtColor(view.image, cv2.COLOR_RGB2BGR), quality)
    about = {"image": image.name, "pose": view.pose.tolist()}
    if with_depth:
        small = cv2.resize(view.depth, _DEPTH_SIZE, interpolation=cv2.INTER_NEAREST_EXACT)
        depth = path.with_suffix(".png")
        units = np.nan_to_num(small * DEPTH_SCALE)
        cv2.imwrite(str(depth), np.rint(units).astype(np.uint16))
        about["depth"] = depth.name
    return about


if __name__ == "__main__":
    render(FOLDER)
