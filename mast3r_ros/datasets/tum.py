# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Folders of images with poses, in the layout of the TUM RGB-D benchmark (Sturm et al., IROS 2012).

DIR/rgb/TIMESTAMP.jpg    or DIR/rgb.txt with lines `timestamp path`
DIR/depth/TIMESTAMP.png  or DIR/depth.txt likewise; may be missing
DIR/groundtruth.txt      lines `timestamp tx ty tz qx qy qz qw`, map <- camera
DIR/camera_info.yaml     a ROS calibration
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.images import DEPTH_SCALE, IMAGE_SUFFIXES, read_depth, read_rgb
from mast3r_ros.datasets.recording import PosedImage, RecordingError
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose

# As the benchmark's own tools: what is further apart does not belong together.
_MAX_DIFFERENCE = 0.02


def read_tum(
    folder: Path, camera_file: Path | None = None, depth_scale: float = DEPTH_SCALE
) -> list[PosedImage]:
    """A TUM folder's images, in the order of time.

    Images are joined with poses and depth images by the nearest time stamp, at most 20 ms away;
    images without a pose are left out.

    Args:
        folder: see the layout above.
        camera_file: the calibration, by default `camera_info.yaml` in the folder.
        depth_scale: units of the depth images a metre: 1000 for millimetres; 5000 for the
            recordings of the benchmark itself.

    Raises:
        RecordingError: something is missing or cannot be read.
        CameraError: the calibration is not one.
    """
    if not folder.is_dir():
        raise RecordingError(f"{folder} is not a folder")
    images = _listing(folder, "rgb")
    if not images:
        raise RecordingError(f"{folder} has no images: neither rgb/TIMESTAMP.jpg nor rgb.txt")
    camera_file = camera_file or folder / "camera_info.yaml"
    if not camera_file.is_file():
        raise RecordingError(f"there is no {camera_file}: name the calibration with --camera")
    camera = Camera.from_yaml(camera_file)
    depths = _listing(folder, "depth")
    poses = read_poses(folder / "groundtruth.txt")
    times, depth_times = np.array(sorted(poses)), np.array(sorted(depths))
    recording: list[PosedImage] = []
    for time, path in sorted(images.items()):
        pose_time, depth_time = _nearest(times, time), _nearest(depth_times, time)
        if pose_time is None:
            continue
        depth = None if depth_time is None else depths[depth_time]
        load = partial(_load, path, depth, camera, depth_scale, round(time * 1e9))
        recording.append(PosedImage(path.name, poses[pose_time], load))
    if not recording:
        raise RecordingError(
            f"{folder}: none of {len(images)} images has a pose within {_MAX_DIFFERENCE} s; "
            "do rgb and groundtruth.txt count the same time?"
        )
    return recording


def read_images(folder: Path, poses_file: Path, camera_file: Path) -> list[PosedImage]:
    """A folder of images without depth, in the order of the lines `name tx ty tz qx qy qz qw`.

    Raises:
        RecordingError: something is missing or cannot be read.
        CameraError: the calibration is not one.
    """
    camera = Camera.from_yaml(camera_file)
    recording: list[PosedImage] = []
    for number, (name, *values) in _lines(poses_file):
        path = folder / name
        if not path.is_file():
            raise RecordingError(f"{poses_file}, line {number}: there is no image {path}")
        load = partial(_load, path, None, camera, DEPTH_SCALE, len(recording))
        recording.append(PosedImage(name, _pose(poses_file, number, values), load))
    if not recording:
        raise RecordingError(f"{poses_file} has no lines `name tx ty tz qx qy qz qw`")
    return recording


def read_poses(path: Path) -> dict[float, Pose]:
    """Poses by time [s] from lines `timestamp tx ty tz qx qy qz qw`; `#` starts a comment.

    Raises:
        RecordingError: the file cannot be read, or a line is not a pose.
    """
    poses = {
        _time(path, number, time): _pose(path, number, values)
        for number, (time, *values) in _lines(path)
    }
    if not poses:
        raise RecordingError(f"{path} has no lines `timestamp tx ty tz qx qy qz qw`")
    return poses


def _load(
    path: Path, depth: Path | None, camera: Camera, scale: float, stamp: int, with_depth: bool
) -> Frame:
    known = read_depth(depth, scale) if with_depth and depth is not None else None
    return Frame(read_rgb(path), camera, stamp, depth=known)


def _listing(folder: Path, kind: str) -> dict[float, Path]:
    """Image files by time, from an index file or from their names."""
    index = folder / f"{kind}.txt"
    if index.is_file():
        return {
            _time(index, number, words[0]): folder / words[-1] for number, words in _lines(index)
        }
    files = [f for f in (folder / kind).glob("*") if f.suffix.lower() in IMAGE_SUFFIXES]
    try:
        return {float(file.stem): file for file in files}
    except ValueError as error:
        raise RecordingError(
            f"{folder / kind}: names must be time stamps in seconds, or stand in {index}: {error}"
        ) from error


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and words of what is not a comment."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"cannot read {path}: {error}") from error
    split = [(n, line.partition("#")[0].split()) for n, line in enumerate(lines, 1)]
    return [(n, words) for n, words in split if words]


def _time(path: Path, number: int, word: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise RecordingError(f"{path}, line {number}: '{word}' is not a time [s]") from error


def _pose(path: Path, number: int, words: list[str]) -> Pose:
    try:
        values = [float(word) for word in words]
        if len(values) != 7:
            raise ValueError(f"{len(values)} numbers")
        return transforms.from_quaternion(values[:3], values[3:])
    except ValueError as error:
        raise RecordingError(
            f"{path}, line {number}: expected tx ty tz qx qy qz qw, found {error}"
        ) from error


def _nearest(times: NDArray[np.float64], time: float) -> float | None:
    if not len(times):
        return None
    best = float(times[np.abs(times - time).argmin()])
    return best if abs(best - time) <= _MAX_DIFFERENCE else None
