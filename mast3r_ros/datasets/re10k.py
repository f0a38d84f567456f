# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Clips of RealEstate10K (Zhou et al., SIGGRAPH 2018, arXiv 1805.09817).

DIR/SPLIT/CLIP.txt              the video's address, then lines of 19 numbers (see `read_clip`)
DIR/SPLIT/CLIP/TIMESTAMP.png    the frames, or .jpg; those that are missing are left out
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mast3r_ros.datasets.image_set import ImageSet
from mast3r_ros.datasets.images import read_rgb
from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.datasets.trajectory import parse_numbers, read_lines
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera

_NUMBERS = 19


def read_clip(path: Path) -> ImageSet:
    """The frames of a clip that are there.

    A line is `timestamp[us] fx fy cx cy 0 0 p00 ... p23`: intrinsics as fractions of the image's
    width and height, then camera <- world, 3 x 4 by rows, in an unknown unit.

    Args:
        path: the clip's text file.

    Raises:
        RecordingError: the file cannot be read, or a line has other numbers.
    """
    images = []
    # The first line is an address, which is not a line of numbers.
    for number, words in read_lines(path):
        if len(words) == 1:
            continue
        values = np.array(parse_numbers(path, number, words, _NUMBERS))
        image = _image_file(path.with_suffix(""), words[0])
        if image is not None:
            camera_world = np.vstack([values[7:].reshape(3, 4), [0.0, 0.0, 0.0, 1.0]])
            pose = transforms.inverse(camera_world)
            load = partial(_load, image, values[1:5].tolist())
            images.append(PosedImage(image.name, pose, load, 1000 * int(words[0])))
    return ImageSet(path.stem, "re10k", tuple(images))


def _image_file(folder: Path, timestamp: str) -> Path | None:
    files = (folder / f"{timestamp}{suffix}" for suffix in (".png", ".jpg"))
    return next((file for file in files if file.is_file()), None)


def _load(path: Path, fractions: Sequence[float], with_depth: bool) -> Frame:
    image = read_rgb(path)
    height, width = image.shape[:2]
    fx, fy, cx, cy = fractions
    # The image's corner is at 0 there, at -0.5 here.
    camera = Camera(width, height, fx * width, fy * height, cx * width - 0.5, cy * height - 0.5)
    return Frame(image, camera)
