# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scenes of the 7-Scenes data set (Shotton et al., CVPR 2013).

DIR/SCENE/TrainSplit.txt, TestSplit.txt      lines `sequence1`
DIR/SCENE/seq-01/frame-000000.color.png      640 x 480
DIR/SCENE/seq-01/frame-000000.depth.png      16 bits [mm], 65535 where unknown; may be missing
DIR/SCENE/seq-01/frame-000000.pose.txt       world <- camera, 4 x 4 [m]
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from mast3r_ros.datasets.images import read_depth, read_rgb
from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.datasets.trajectory import parse_matrix, read_lines
from mast3r_ros.frame import Frame
from mast3r_ros.geometry.camera import Camera

# As the data set's page gives them for both of its cameras.
CAMERA = Camera(640, 480, 585.0, 585.0, 320.0, 240.0)
_UNKNOWN = 65.0  # [m]: 65535 mm, and nothing in a room is as far


def read_scene(folder: Path, split: str) -> list[PosedImage]:
    """The images of `train` or `test`, in the order of their sequences.

    Frames whose pose is not finite are left out: tracking was lost there.

    Raises:
        RecordingError: a file is missing, or not of this layout.
    """
    images = []
    for number, (word, *_) in read_lines(folder / f"{split.capitalize()}Split.txt"):
        digits = re.fullmatch(r"sequence(\d+)", word)
        if digits is None:
            raise RecordingError(
                f"{folder}/{split.capitalize()}Split.txt, line {number}: '{word[:40]}' is not a "
                "sequence"
            )
        sequence = folder / f"seq-{int(digits[1]):02d}"
        files = sorted(sequence.glob("frame-*.color.png"))
        if not files:
            raise RecordingError(f"{sequence} holds no frame-*.color.png")
        for file in files:
            matrix = file.with_name(file.name.replace(".color.png", ".pose.txt"))
            pose = parse_matrix(matrix, read_lines(matrix))
            if pose is not None:
                name = f"{sequence.name}/{file.name.removesuffix('.color.png')}"
                images.append(PosedImage(name, pose, partial(_load, file)))
    return images


def _load(file: Path, with_depth: bool) -> Frame:
    depth_file = file.with_name(file.name.replace(".color.", ".depth."))
    depth = None
    if with_depth and depth_file.is_file():
        depth = read_depth(depth_file)
        depth[depth > _UNKNOWN] = np.nan
    return Frame(read_rgb(file), CAMERA, depth=depth)
