# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Sequences of CO3Dv2 (Reizenstein et al., ICCV 2021, arXiv 2109.00512).

DIR/CATEGORY/frame_annotations.jgz                        a gzipped JSON list of frames
DIR/CATEGORY/set_lists/set_lists_fewview_dev.json         {"test": [[sequence, number, path], ...]}
DIR/CATEGORY/SEQUENCE/images/frameNNNNNN.jpg              as the annotations' paths say
"""

from __future__ import annotations

import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mast3r_ros.common.size import ImageSize
from mast3r_ros.common.untrusted import read_file
from mast3r_ros.datasets.image_set import ImageSet
from mast3r_ros.datasets.images import read_rgb
from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose

ANNOTATIONS = "frame_annotations.jgz"
_MAX_BYTES = 1 << 31
# PyTorch3D's cameras look along +z with x to the left and y up; optical frames turn both.
_FLIP = np.diag([-1.0, -1.0, 1.0])


def read_category(root: Path, category: str, split: str) -> list[ImageSet]:
    """The sequences of one category that belong to a split of the few-view development set.

    Raises:
        RecordingError: a file is missing, or not of this layout.
    """
    lists = _read_json(root / category / "set_lists/set_lists_fewview_dev.json")
    if not isinstance(lists, dict) or split not in lists:
        raise RecordingError(f"{root / category}/set_lists/set_lists_fewview_dev.json: no {split}")
    wanted = {(str(sequence), int(number)) for sequence, number, *_ in lists[split]}
    sequences: dict[str, list[PosedImage]] = {}
    file = root / category / ANNOTATIONS
    for entry in _read_json(file):
        try:
            key = str(entry["sequence_name"]), int(entry["frame_number"])
            if key in wanted:
                sequences.setdefault(key[0], []).append(_image(root, entry))
        except (KeyError, TypeError, ValueError) as error:
            raise RecordingError(f"{file}: a frame that is not one: {error!r}") from error
    return [
        ImageSet(f"{category}/{name}", category, tuple(images))
        for name, images in sorted(sequences.items())
    ]


def _image(root: Path, entry: dict[str, Any]) -> PosedImage:
    height, width = map(int, entry["image"]["size"])
    camera, pose = camera_of(entry["viewpoint"], ImageSize(width, height))
    path = root / entry["image"]["path"]
    return PosedImage(path.name, pose, partial(_load, path, camera))


def camera_of(viewpoint: dict[str, Any], size: ImageSize) -> tuple[Camera, Pose]:
    """Intrinsics and world <- camera of a viewpoint in the conventions of PyTorch3D.

    x_camera = x_world R + T with x to the left and y up. The focal length and the principal point
    are in normalized device coordinates, isotropic or by the image's bounds.

    Raises:
        KeyError, ValueError: an entry is missing or has no meaning.
    """
    rotation = _FLIP @ np.array(viewpoint["R"], np.float64).T
    translation = _FLIP @ np.array(viewpoint["T"], np.float64)
    width, height = size
    formats = {
        "ndc_isotropic": (min(size) / 2.0, min(size) / 2.0),
        "ndc_norm_image_bounds": (width / 2.0, height / 2.0),
    }
    kind = viewpoint.get("intrinsics_format", "ndc_norm_image_bounds")
    if kind not in formats:
        raise ValueError(f"intrinsics_format {kind!r}: expected one of {', '.join(formats)}")
    sx, sy = formats[kind]
    fx, fy = map(float, viewpoint["focal_length"])
    px, py = map(float, viewpoint["principal_point"])
    # The image's corner is at 0 there, at -0.5 here.
    camera = Camera(
        width,
        height,
        sx * fx,
        sy * fy,
        width / 2.0 - sx * px - 0.5,
        height / 2.0 - sy * py - 0.5,
    )
    return camera, transforms.inverse(transforms.make(rotation, translation))


def _load(path: Path, camera: Camera, with_depth: bool) -> Frame:
    return Frame(read_rgb(path), camera)


def _read_json(path: Path) -> Any:
    try:
        data = read_file(path, _MAX_BYTES)
        return json.loads(gzip.decompress(data) if path.suffix == ".jgz" else data)
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise RecordingError(f"{path} is not JSON: {error}") from error
