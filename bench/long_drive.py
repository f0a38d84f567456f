# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A long drive through rendered rooms: a map from odometry that drifts, and a second drive in it.

    python -m bench.long_drive [--seed 0] [--images 1000] [--size 320x240] [--front-end xfeat]
        [--window 1] [--out FOLDER]

A robot visits four rooms in turn, again and again, some 30 cm or 14 degrees between two images
with depth. Its odometry drifts by 2 % of the distance and 0.3 degrees after a meter.
`mast3r_ros map build --poses odometry` makes a map of all images. Then the robot drives other ways
through the rooms, and each image is localized, by itself or together with those before it
(`--window`), tied by odometry that drifts as that of the first drive. Poses are compared with the
truth after the map's keyframes are laid over it, rotation and translation. `covered` is the part of
these images that share a third of their view with an image of the map, by depth and true poses:
others see what the map has not. `filtered_within` is the part of all images at which the pose of
the map -> odom filter, which continues by odometry where an image is refused, is as near to the
truth. A map that FOLDER has already is used again.
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
from mast3r_ros.geometry.overlap import overlap
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.map_odom import MapOdomFilter
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.window import Window, WindowOptions
from mast3r_ros.training.worlds.drives import Drive, DriveWorld

_ROOMS = (0, 1, 3, 2)  # around the crossing of four rooms
_PER_VISIT = 50
_DRIFT, _DRIFT_TURN = 0.02, np.deg2rad(0.3)
_BOUND = Bound.of(0.25, 5.0)
# The part of its view that an image to be localized should share with a keyframe (docs/maps.md).
# Keyframes further away [m], or turned by more [rad], are not looked at.
_COVERED, _AWAY, _TURNED = 1 / 3, 4.0, np.deg2rad(75.0)


def main() -> int:
    """Prints the figures as JSON; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--size", type=ImageSize.parse, default="320x240")
    parser.add_argument("--front-end", default="xfeat")
    parser.add_argument("--window", type=int, default=1, help="images localized together")
    parser.add_argument("--out", type=Path, help="keeps images and map here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        print(json.dumps(_run(folder, options), indent=2))
    return 0


def _run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    world = DriveWorld(options.size)
    mapped = world.tour(options.seed, _visits(options.images), _PER_VISIT)
    poses = [m.body @ mapped.mounts[0] for m in mapped.moments]
    odometry = _drifted(poses, options.seed, 18)
    build = {} if (folder / "map").exists() else _build(folder, mapped, odometry, options.front_end)
    keyframes = open_map(folder / "map")
    truth = {m.stamp: pose for m, pose in zip(mapped.moments, poses, strict=True)}
    true_map, _ = align(
        _positions([truth[k.stamp] for k in keyframes]), _positions(keyframes.poses)
    )
    second = world.tour(options.seed, _visits(options.queries), _PER_VISIT, number=1)
    tied = _drifted([m.body @ second.mounts[0] for m in second.moments], options.seed, 19)
    window = Window(Relocalizer(keyframes), WindowOptions(count=options.window))
    errors, filtered = _localized(window, second, tied, true_map)
    within = np.array([e is not None and e.within(_BOUND) for e in errors])
    covered = _covered(mapped, second)
    rates = [e for e in errors if e is not None]
    return {
        "distance_m": float(sum(itertools.starmap(transforms.distance, itertools.pairwise(poses)))),
        "keyframes": len(keyframes),
        "odometry_ate_m": _ate(poses, odometry),
        "map_ate_m": _ate([truth[k.stamp] for k in keyframes], keyframes.poses),
        **build,
        "queries": len(errors),
        "within": float(within.mean()),
        "covered": float(covered.mean()),
        "within_of_covered": float(within[covered].mean()),
        "refused": errors.count(None),
        "wrong": len(rates) - int(within.sum()),
        "filtered_within": float(np.mean([e.within(_BOUND) for e in filtered])),
        "error_median_m": float(np.median([e.translation_m for e in rates])),
        "error_max_m": max(e.translation_m for e in rates),
    }


def _build(
    folder: Path, drive: Drive, odometry: Sequence[Pose], front_end: str
) -> dict[str, float]:
    """Build the map of a drive in a folder; returns the time that it took, and the processor's."""
    write_drive(folder / "drive", drive, odometry)
    arguments = [
        *("map", "build", folder / "drive", folder / "map", "--poses", "odometry"),
        *("--front-end", front_end),
    ]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "mast3r_ros", *map(str, arguments)], check=True)
    elapsed, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"build_s": elapsed, "build_processor_s": used.ru_utime + used.ru_stime}


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


def _drifted(poses: Sequence[Pose], seed: int, number: int) -> list[Pose]:
    """Odometry of a drive: its true poses, as they drift."""
    rng = np.random.default_rng([seed, number])
    return list(
        drifting(poses, poses[0], rng, _DRIFT, lambda way: _DRIFT_TURN * float(np.sqrt(way)))
    )


def _localized(
    window: Window, drive: Drive, odometry: Sequence[Pose], true_map: Pose
) -> tuple[list[PoseError | None], list[PoseError]]:
    """Errors of the images' poses, None where refused, and of the filter's pose at each image."""
    errors: list[PoseError | None] = []
    filtered, tracker = list[PoseError](), MapOdomFilter()
    for (moment, (view,)), odom_camera in zip(drive.views(), odometry, strict=True):
        answer = window.localize(Frame(view.image, view.camera, moment.stamp), odom_camera)
        truth = transforms.inverse(true_map) @ moment.body @ drive.mounts[0]
        errors.append(None if answer.pose is None else PoseError.of(answer.pose, truth))
        tracker.follow(answer, odom_camera, moment.stamp)
        believed = None if tracker.belief is None else tracker.belief.pose
        filtered.append(PoseError.of(believed, truth))
    return errors, filtered


def _covered(mapped: Drive, drive: Drive) -> NDArray[np.bool_]:
    """(N,) which images of a drive share enough of their view with an image of the map."""
    known = [(m.body @ mapped.mounts[0], view.depth) for m, (view,) in mapped.views()]
    covered = []
    for moment, (view,) in drive.views():
        query = moment.body @ drive.mounts[0]
        near = [
            (transforms.inverse(query) @ pose, depth)
            for pose, depth in known
            if transforms.distance(pose, query) < _AWAY
            and transforms.rotation_angle(pose, query) < _TURNED
        ]
        shared = (overlap(d, view.depth, view.camera, view.camera, p) for p, d in near)
        covered.append(any(part >= _COVERED for part in shared))
    return np.array(covered)


def _ate(truth: Sequence[Pose], estimated: Sequence[Pose] | NDArray[np.float64]) -> float:
    """Root mean square of positions after they are laid over the truth [m]."""
    target, source = _positions(truth), _positions(estimated)
    moved, _ = align(target, source)
    return float(np.sqrt(np.square(target - transforms.apply(moved, source)).sum(1).mean()))


def _positions(poses: Sequence[Pose] | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([pose[:3, 3] for pose in poses])


if __name__ == "__main__":
    sys.exit(main())
