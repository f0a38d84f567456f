# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Folders of images with poses, in the layout of the TUM RGB-D benchmark (Sturm et al., IROS 2012).

DIR/rgb/TIMESTAMP.jpg    or DIR/rgb.txt with lines `timestamp path`
DIR/depth/TIMESTAMP.png  or DIR/depth.txt likewise; may be missing
DIR/groundtruth.txt      lines `timestamp tx ty tz qx qy qz qw`, map <- camera; may be missing
DIR/camera_info.yaml     a calibration
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.dataset import ImageList
from mast3r_ros.datasets.images import FrameReader
from mast3r_ros.datasets.kinds import is_image
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.datasets.summary import WITHOUT_DEPTH, WITHOUT_POSE, RecordingError
from mast3r_ros.datasets.trajectory import parse_time, read_lines, read_poses
from mast3r_ros.frame import Frame
from mast3r_ros.geometry.transforms import Pose

# As the benchmark's own tools: what is further apart does not belong together [ns].
_MAX_DIFFERENCE = 20_000_000


class TumFolder(ImageList):
    """A TUM folder's images, in the order of time.

    Images are joined with poses and depth images by the nearest time stamp, at most 20 ms away.
    """

    def __init__(self, folder: Path, options: SourceOptions) -> None:
        """Read what belongs to the images.

        Args:
            folder: see the layout above.
            options: the calibration is `camera_info.yaml` in the folder by default.

        Raises:
            RecordingError: something is missing or cannot be read.
            CameraError: the calibration is not one.
        """
        super().__init__(str(folder), options)
        if not folder.is_dir():
            raise RecordingError(f"{folder} is not a folder")
        images = _listing(folder, "rgb")
        if not images:
            raise RecordingError(f"{folder} has no images: neither rgb/TIMESTAMP.jpg nor rgb.txt")
        camera_file = options.camera or folder / "camera_info.yaml"
        if not camera_file.is_file():
            raise RecordingError(f"there is no {camera_file}: give the calibration with --camera")
        self._reader = FrameReader(options, camera_file)
        self._depths = _listing(folder, "depth")
        poses, problem = self._truth(folder)
        times, self._depth_times = _sorted(poses), _sorted(self._depths)
        for time, path in sorted(images.items()):
            nearest = _nearest(times, time)
            if nearest is None:
                self.summary.note(WITHOUT_POSE, path.name, problem)
            pose = None if nearest is None else poses[nearest]
            load = partial(self._load, path, time)
            self.images.append(PosedImage(path.name, pose, load, time, summary=self.summary))
        self.summary.images = len(self.images)

    def _truth(self, folder: Path) -> tuple[dict[int, Pose], str]:
        """Poses by time, and what is wrong where an image has none."""
        file = folder / "groundtruth.txt"
        if not file.is_file():
            return {}, f"there is no {file}"
        return read_poses(file, self.summary), (
            f"no pose within {_MAX_DIFFERENCE / 1e9:g} s in groundtruth.txt; does it count the "
            "same time as rgb?"
        )

    def _load(self, path: Path, time: int, with_depth: bool) -> Frame:
        depth = None
        if with_depth and self._depths:
            nearest = _nearest(self._depth_times, time)
            if nearest is None:
                reason = f"no depth image within {_MAX_DIFFERENCE / 1e9:g} s"
                self.summary.note(WITHOUT_DEPTH, path.name, reason)
            else:
                depth = self._depths[nearest]
        return self._reader.read(path, depth, time)


def _sorted(by_time: dict[int, Pose] | dict[int, Path]) -> NDArray[np.int64]:
    return np.array(sorted(by_time), np.int64)


def _listing(folder: Path, kind: str) -> dict[int, Path]:
    """Image files by time [ns], from an index file or from their names."""
    index = folder / f"{kind}.txt"
    if index.is_file():
        return {
            parse_time(index, number, words[0]): folder / " ".join(words[1:])
            for number, words in read_lines(index)
        }
    files = sorted(file for file in (folder / kind).glob("*") if is_image(file))
    try:
        return {parse_time(folder / kind, 0, file.stem): file for file in files}
    except RecordingError as error:
        raise RecordingError(
            f"{folder / kind}: names must be time stamps in seconds, or stand in {index}: {error}"
        ) from error


def _nearest(times: NDArray[np.int64], time: int) -> int | None:
    if not len(times):
        return None
    best = int(times[np.abs(times - time).argmin()])
    return best if abs(best - time) <= _MAX_DIFFERENCE else None
