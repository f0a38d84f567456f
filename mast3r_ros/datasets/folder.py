# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Image files without depth: a folder with a file of poses, or images alone."""

from __future__ import annotations

import glob
from functools import partial
from pathlib import Path

from mast3r_ros.datasets.dataset import ImageList
from mast3r_ros.datasets.images import FrameReader
from mast3r_ros.datasets.kinds import is_image
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.datasets.summary import WITHOUT_POSE, RecordingError
from mast3r_ros.datasets.trajectory import parse_pose, read_lines
from mast3r_ros.frame import Frame

_CALIBRATION = "camera_info.yaml"


class PosedFolder(ImageList):
    """A folder of images, in the order of the lines `image tx ty tz qx qy qz qw` of a file."""

    def __init__(self, folder: Path, options: SourceOptions) -> None:
        """Read the poses.

        Raises:
            RecordingError: something is missing or cannot be read.
            CameraError: the calibration is not one.
        """
        super().__init__(str(folder), options)
        poses = options.pose_file
        if poses is None:
            raise RecordingError(f"{folder}: give the file of poses with --pose-file")
        camera_file = options.camera or folder / _CALIBRATION
        if not camera_file.is_file():
            raise RecordingError(
                f"--pose-file needs --camera: there is no {camera_file}, the camera of the images"
            )
        reader = FrameReader(options, camera_file)
        for number, (name, *values) in read_lines(poses):
            path = folder / name
            if not path.is_file():
                raise RecordingError(f"{poses}, line {number}: there is no image {path}")
            pose = parse_pose(poses, number, values, self.summary)
            if pose is None:
                self.summary.note(WITHOUT_POSE, name, "its line is not a pose")
            load = partial(_load, reader, path, len(self.images))
            self.images.append(PosedImage(name, pose, load, len(self.images), summary=self.summary))
        if not self.images:
            raise RecordingError(f"{poses} has no lines `image tx ty tz qx qy qz qw`")
        named = {image.name for image in self.images}
        others = sorted(f.name for f in folder.iterdir() if is_image(f) and f.name not in named)
        for name in others:
            self.summary.note(WITHOUT_POSE, name, f"{poses} does not name it")
        self.summary.images = len(self.images) + len(others)


class ImageFiles(ImageList):
    """Image files without poses, in the order of their names."""

    def __init__(self, path: Path, options: SourceOptions) -> None:
        """List the files.

        Args:
            path: a folder, a pattern, or one file.
            options: without `camera`, frames have no camera, unless the folder has a
                `camera_info.yaml`.

        Raises:
            RecordingError: there is no such file.
            CameraError: the calibration is not one.
        """
        super().__init__(str(path), options)
        if path.is_dir():
            files, folder = sorted(path.iterdir()), path
        else:
            exact = path.exists()
            files = [path] if exact else sorted(map(Path, glob.glob(str(path), recursive=True)))
            folder = path.parent
        files = [file for file in files if file.is_file() and is_image(file)]
        if not files:
            raise RecordingError(f"{path}: there is no such image")
        beside = folder / _CALIBRATION
        reader = FrameReader(options, options.camera or (beside if beside.is_file() else None))
        names = {file: file.name for file in files}
        if len(set(names.values())) < len(files):
            names = {file: str(file) for file in files}
        for number, file in enumerate(files):
            self.summary.note(WITHOUT_POSE, names[file], "image files alone have no poses")
            load = partial(_load, reader, file, number)
            self.images.append(PosedImage(names[file], None, load, number, summary=self.summary))
        self.summary.images = len(self.images)


def _load(reader: FrameReader, path: Path, stamp: int, with_depth: bool) -> Frame:
    return reader.read(path, None, stamp)
