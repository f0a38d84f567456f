# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A long drive through rendered rooms: a map from odometry that drifts, and a second drive in it.

    python -m bench.long_drive [--seed 0] [--images 1000] [--front-end xfeat] [--out FOLDER]

A robot visits four rooms in turn, again and again, some 30 cm or 14 degrees between two images of
320x240 with depth. Its odometry drifts by 2 % of the distance and 0.3 degrees after a meter.
`mast3r_ros map build --poses odometry` makes a map of all images. Then the robot drives other ways
through the rooms, and each image is localized by itself. Poses are compared with the truth after
the map's keyframes are laid over it, rotation and translation.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.cli.maps import open_map
from mast3r_ros.common.size import ImageSize
from mast3r_ros.datasets.trajectory import write_poses
from mast3r_ros.evaluation.drift import drifting
from mast3r_ros.evaluation.pose_error import Bound, PoseError
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.alignment import align
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.training.worlds.drives import Drive, DriveWorld

_ROOMS = (0, 1, 3, 2)  # around the crossing of four rooms
_PER_VISIT = 50
_SIZE = ImageSize(320, 240)
_DRIFT, _DRIFT_TURN = 0.02, np.deg2rad(0.3)
_BOUND = Bound.of(0.25, 5.0)


def main() -> int:
    """Prints the figures as JSON; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--front-end", default="xfeat")
    parser.add_argument("--out", type=Path, help="keeps images and map here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        print(json.dumps(_run(folder, options), indent=2))
    return 0


def _run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    world = DriveWorld(_SIZE)
    mapped = world.tour(options.seed, _visits(options.images), _PER_VISIT)
    poses = [m.body @ mapped.mounts[0] for m in mapped.moments]
    rng = np.random.default_rng([options.seed, 18])
    odometry = list(
        drifting(poses, poses[0], rng, _DRIFT, lambda way: _DRIFT_TURN * float(np.sqrt(way)))
    )
    write_drive(folder / "drive", mapped, odometry)
    build = [
        *("map", "build", folder / "drive", folder / "map", "--poses", "odometry"),
        *("--front-end", options.front_end),
    ]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "mast3r_ros", *map(str, build)], check=True)
    elapsed, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    keyframes = open_map(folder / "map")
    truth = {m.stamp: pose for m, pose in zip(mapped.moments, poses, strict=True)}
    true_map, _ = align(
        _positions([truth[k.stamp] for k in keyframes]), _positions(keyframes.poses)
    )
    second = world.tour(options.seed, _visits(options.queries), _PER_VISIT, number=1)
    errors = _localized(Relocalizer(keyframes), second, true_map)
    within = [e is not None and e.within(_BOUND) for e in errors]
    rates = [e for e in errors if e is not None]
    return {
        "distance_m": float(sum(itertools.starmap(transforms.distance, itertools.pairwise(poses)))),
        "keyframes": len(keyframes),
        "odometry_ate_m": _ate(poses, odometry),
        "map_ate_m": _ate([truth[k.stamp] for k in keyframes], keyframes.poses),
        "build_s": elapsed,
        "build_processor_s": used.ru_utime + used.ru_stime,
        "queries": len(errors),
        "within": float(np.mean(within)),
        "refused": errors.count(None),
        "wrong": len(rates) - sum(within),
        "error_median_m": float(np.median([e.translation_m for e in rates])),
        "error_max_m": max(e.translation_m for e in rates),
    }


def write_drive(folder: Path, drive: Drive, poses: Sequence[Pose]) -> None:
    """Write the images and depth of a drive as a TUM folder, with these poses of the camera."""
    for kind in ("rgb", "depth"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for moment, (view,) in drive.views():
        name = f"{moment.stamp / 1e9:.6f}"
        cv2.imwrite(str(folder / "rgb" / f"{name}.png"), view.image[..., ::-1])
        millimeters = np.nan_to_num(np.rint(view.depth * 1000.0)).astype(np.uint16)
        cv2.imwrite(str(folder / "depth" / f"{name}.png"), millimeters)
    stamps = [moment.stamp for moment in drive.moments]
    write_poses(folder / "groundtruth.txt", zip(stamps, poses, strict=True))
    camera = view.camera
    matrix = ", ".join(map(str, camera.matrix.ravel()))
    (folder / "camera_info.yaml").write_text(
        f"image_width: {camera.width}\nimage_height: {camera.height}\n"
        f"camera_matrix:\n  rows: 3\n  cols: 3\n  data: [{matrix}]\n"
    )


def _visits(images: int) -> list[int]:
    count = max(images // _PER_VISIT, 1)
    return list(itertools.islice(itertools.cycle(_ROOMS), count))


def _localized(relocalizer: Relocalizer, drive: Drive, true_map: Pose) -> list[PoseError | None]:
    errors: list[PoseError | None] = []
    for moment, (view,) in drive.views():
        answer = relocalizer.localize(Frame(view.image, view.camera, moment.stamp))
        truth = moment.body @ drive.mounts[0]
        found = None if answer.pose is None else true_map @ answer.pose
        errors.append(None if found is None else PoseError.of(found, truth))
    return errors


def _ate(truth: Sequence[Pose], estimated: Sequence[Pose] | NDArray[np.float64]) -> float:
    """Root mean square of positions after they are laid over the truth [m]."""
    target, source = _positions(truth), _positions(estimated)
    moved, _ = align(target, source)
    return float(np.sqrt(np.square(target - transforms.apply(moved, source)).sum(1).mean()))


def _positions(poses: Sequence[Pose] | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([pose[:3, 3] for pose in poses])


if __name__ == "__main__":
    sys.exit(main())
