# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Maps in the formats of other tools."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2

from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.datasets.trajectory import write_poses
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping.cloud_files import cloud, write_pcd, write_ply
from mast3r_ros.mapping.colmap_model import image_names, to_model
from mast3r_ros.mapping.extra import MappingError, library
from mast3r_ros.mapping.pairs import feature_description

FORMATS = ("colmap", "hloc", "tum", "ply", "pcd")
# Folders of a COLMAP project and of hloc's output.
_MODEL, _IMAGES, _SFM = "sparse/0", "images", "sfm"


def export(keyframes: KeyframeMap, form: str, out: Path, *, as_text: bool = False) -> None:
    """Write a map in another format.

    Args:
        form: one of `FORMATS`: `colmap` a model in the folder `out`/sparse/0; `hloc` a model in
            `out`/sfm with features.h5 and global-features.h5; `tum` a trajectory; `ply` and
            `pcd` the known points.
        out: a folder for colmap and hloc, else a file.
        as_text: a COLMAP model as text, not binary.

    Raises:
        MappingError: the map has nothing that the format holds.
        MissingExtraError: a library of the extra `mapping` is needed.
        OSError: a file cannot be written.
    """
    if not len(keyframes):
        raise MappingError("the map holds no keyframes: there is nothing to export")
    if form in ("colmap", "hloc"):
        folder = out / (_MODEL if form == "colmap" else _SFM)
        model = to_model(keyframes)
        folder.mkdir(parents=True, exist_ok=True)
        (model.write_text if as_text else model.write)(folder)
        if form == "hloc":
            _write_hloc(keyframes, out)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    if form == "tum":
        write_poses(out, ((k.stamp, k.pose) for k in keyframes))
    else:
        (write_ply if form == "ply" else write_pcd)(out, *cloud(keyframes))


def _write_hloc(keyframes: KeyframeMap, out: Path) -> None:
    """Local and global features as hloc stores them: its pixel centers are at integers, too."""
    h5py, names = library("h5py"), image_names(keyframes)
    with h5py.File(out / "features.h5", "w") as features:
        for keyframe in keyframes:
            described = feature_description(keyframe.description)
            group = features.create_group(names[keyframe.id])
            group["keypoints"] = described.keypoints
            group["descriptors"] = described.descriptors.T
            group["scores"] = described.scores
            group["image_size"] = described.size
    with h5py.File(out / "global-features.h5", "w") as features:
        for keyframe in keyframes:
            group = features.create_group(names[keyframe.id])
            group["global_descriptor"] = keyframe.description.global_descriptor


def write_images(keyframes: KeyframeMap, images: Iterable[PosedImage], out: Path) -> Path:
    """Write the original images of the keyframes, named as `export` names them in a model.

    Args:
        images: of the recording that the map was built from; they are found by their stamps.
        out: the folder of `export`.

    Returns:
        The folder of the images.

    Raises:
        MappingError: a keyframe has no stamp of its own, or its image is not in the recording.
    """
    wanted = {
        k.stamp: name for k, name in zip(keyframes, image_names(keyframes).values(), strict=True)
    }
    if len(wanted) < len(keyframes):
        raise MappingError("keyframes share a stamp: their images cannot be told apart")
    folder = out / _IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        name = wanted.pop(image.stamp, None)
        if name is not None:
            pixels = image.load(False).image
            cv2.imwrite(str(folder / name), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    if wanted:
        first = min(wanted) / 1e9
        raise MappingError(
            f"{len(wanted)} keyframes have no image in the recording, the first is of "
            f"{first:.6f} s: name the recording that the map was built from"
        )
    return folder
