# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Text files of poses by image: lines `path qw qx qy qz tx ty tz`, camera <- world [m].

The format of the Map-free benchmark, of visuallocalization.net and of what is sent to either.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mast3r_ros.datasets.trajectory import parse_numbers, read_lines
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose


def read_poses(path: Path) -> dict[str, Pose]:
    """Poses world <- camera by image path; those that are zero or NaN are unknown and left out.

    Raises:
        RecordingError: the file cannot be read, or a line is not a pose.
    """
    poses = {}
    for number, (image, *words) in read_lines(path):
        # A submission may have a confidence behind the pose.
        w, x, y, z, *translation = parse_numbers(path, number, words[:7], 7)
        if np.isfinite([w, x, y, z, *translation]).all() and any((w, x, y, z)):
            camera_world = transforms.from_quaternion(translation, [x, y, z, w])
            poses[image] = transforms.inverse(camera_world)
    return poses


def pose_line(path: str, pose: Pose, confidence: float | None = None) -> str:
    """A line of such a file.

    Args:
        path: of the image.
        pose: world <- camera.
        confidence: the higher, the surer; None leaves it out.
    """
    translation, (x, y, z, w) = transforms.to_quaternion(transforms.inverse(pose))
    numbers = " ".join(f"{value:.9g}" for value in (w, x, y, z, *translation))
    return f"{path} {numbers}" + ("" if confidence is None else f" {confidence:.6f}")
