# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scenes of the Map-free Relocalization benchmark (Arnold et al., ECCV 2022, arXiv 2210.05494).

DIR/SPLIT/sXXXXX/intrinsics.txt     lines `path fx fy cx cy width height`
DIR/SPLIT/sXXXXX/poses.txt          lines `path qw qx qy qz tx ty tz`, camera <- world [m]
DIR/SPLIT/sXXXXX/poses_device.txt   the same by the device's own tracking; may be missing
DIR/SPLIT/sXXXXX/seq0/frame_00000.jpg   the reference, whose camera frame is the world
DIR/SPLIT/sXXXXX/seq1/frame_NNNNN.jpg   the queries
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mast3r_ros.datasets.image_poses import read_poses
from mast3r_ros.datasets.images import read_rgb
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.datasets.trajectory import parse_numbers, parse_size, read_lines
from mast3r_ros.frame import Frame
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose

REFERENCE = "seq0/frame_00000.jpg"
_QUERY = re.compile(r"seq1/frame_(\d+)\.\w+")


@dataclass(frozen=True)
class MapFreeScene:
    """One reference image and the queries of its place.

    Attributes:
        folder: of the scene.
        cameras: by image path, as in `intrinsics.txt`.
        poses: reference camera <- camera by image path; without those that the benchmark hides.
        tracked: device's world <- camera, likewise; empty where there is no such file.
    """

    folder: Path
    cameras: dict[str, Camera]
    poses: dict[str, Pose]
    tracked: dict[str, Pose]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    def numbers(self) -> dict[int, str]:
        """Paths of the queries by their frame number, ascending; numbers may be missing."""
        found = ((_QUERY.fullmatch(path), path) for path in self.cameras)
        return dict(sorted((int(match[1]), path) for match, path in found if match))

    def frame(self, path: str) -> Frame:
        """An image with its camera.

        Raises:
            RecordingError: it cannot be read, or is not in `intrinsics.txt`.
            FrameError: it is not of the size that `intrinsics.txt` says.
        """
        if path not in self.cameras:
            raise RecordingError(f"{self.folder}/intrinsics.txt does not name {path}")
        return Frame(read_rgb(self.folder / path), self.cameras[path], frame_id=path)


def read_scene(folder: Path) -> MapFreeScene:
    """Read the text files of a scene.

    Raises:
        RecordingError: a file is missing, or a line is not what it should be.
    """
    cameras, file = {}, folder / "intrinsics.txt"
    for number, (path, *words) in read_lines(file):
        fx, fy, cx, cy = parse_numbers(file, number, words[:4], 4)
        cameras[path] = Camera(*parse_size(file, number, words[4:]), fx, fy, cx, cy)
    tracked = folder / "poses_device.txt"
    return MapFreeScene(
        folder,
        cameras,
        read_poses(folder / "poses.txt"),
        read_poses(tracked) if tracked.is_file() else {},
    )
