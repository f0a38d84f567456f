# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Writes images with poses in the layouts of benchmarks, as their readers in `datasets` say."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from mast3r_ros.datasets.co3d import ANNOTATIONS
from mast3r_ros.datasets.dtu import MILLIMETERS
from mast3r_ros.datasets.layouts import (
    PosedFrame,
    camera_of,
    write_image,
    write_lines,
    write_pixels,
)
from mast3r_ros.datasets.ply import ply_bytes
from mast3r_ros.geometry import transforms

# Of the volume that a written scan of DTU observes, about its points [mm].
_MARGIN, _VOXEL = 100.0, 50.0


def write_co3d(
    root: Path, category: str, split: str, sequences: Mapping[str, Sequence[PosedFrame]]
) -> None:
    """Write a category of CO3Dv2, in isotropic normalized coordinates."""
    frames, listed = [], []
    flip = np.diag([-1.0, -1.0, 1.0])
    for sequence, images in sequences.items():
        for number, (frame, pose) in enumerate(images):
            path = f"{category}/{sequence}/images/frame{number:06d}.jpg"
            write_image(root / path, frame)
            camera, camera_world = camera_of(frame), transforms.inverse(pose)
            half = min(camera.width, camera.height) / 2.0
            viewpoint = {
                "R": (flip @ camera_world[:3, :3]).T.tolist(),
                "T": (flip @ camera_world[:3, 3]).tolist(),
                "focal_length": [camera.fx / half, camera.fy / half],
                "principal_point": [
                    (camera.width / 2.0 - camera.cx - 0.5) / half,
                    (camera.height / 2.0 - camera.cy - 0.5) / half,
                ],
                "intrinsics_format": "ndc_isotropic",
            }
            frames.append(
                {
                    "sequence_name": sequence,
                    "frame_number": number,
                    "image": {"path": path, "size": [camera.height, camera.width]},
                    "viewpoint": viewpoint,
                }
            )
            listed.append([sequence, number, path])
    (root / category / "set_lists").mkdir(parents=True, exist_ok=True)
    (root / category / ANNOTATIONS).write_bytes(gzip.compress(json.dumps(frames).encode()))
    lists = root / category / "set_lists/set_lists_fewview_dev.json"
    lists.write_text(json.dumps({split: listed}))


def write_seven_scenes(
    folder: Path, sequences: Mapping[int, Sequence[PosedFrame]], test: Sequence[int]
) -> None:
    """Write a scene of 7-Scenes: images of 640 x 480, whatever their cameras.

    Args:
        folder: of the scene.
        sequences: by number.
        test: numbers of the test sequences.
    """
    for number, images in sequences.items():
        for i, (frame, pose) in enumerate(images):
            stem = folder / f"seq-{number:02d}/frame-{i:06d}"
            write_image(stem.with_suffix(".color.png"), frame)
            if frame.depth is not None:
                millimeters = np.where(np.isfinite(frame.depth), 1000.0 * frame.depth, 65535)
                write_pixels(stem.with_suffix(".depth.png"), millimeters.astype(np.uint16))
            lines = ["\t".join(f"{value:.7e}" for value in row) for row in pose]
            write_lines(stem.with_suffix(".pose.txt"), lines)
    for split, chosen in (
        ("Train", [n for n in sequences if n not in test]),
        ("Test", [n for n in sequences if n in test]),
    ):
        write_lines(folder / f"{split}Split.txt", [f"sequence{n}" for n in chosen])


def write_dtu(
    root: Path, number: int, views: Sequence[PosedFrame], points: NDArray[np.floating] | None
) -> None:
    """Write a scan of DTU, everything about its points observed and above the table.

    Args:
        root: of the data set.
        number: of the scan.
        views: in meters; each names all the others as its best ones, in their order.
        points: (N, 3) [m], the truth; None leaves it out.
    """
    folder, pairs = root / f"scan{number}", [str(len(views))]
    for i, (frame, pose) in enumerate(views):
        write_image(folder / f"images/{i:08d}.jpg", frame)
        camera_world = transforms.inverse(pose)
        camera_world[:3, 3] *= MILLIMETERS
        extrinsic, intrinsic = (
            [" ".join(f"{value:.12g}" for value in row) for row in matrix]
            for matrix in (camera_world, camera_of(frame).matrix)
        )
        lines = ["extrinsic", *extrinsic, "", "intrinsic", *intrinsic, "", "425.0 2.5"]
        write_lines(folder / f"cams/{i:08d}_cam.txt", lines)
        others = [j for j in range(len(views)) if j != i]
        pairs += [str(i), " ".join([str(len(others)), *(f"{j} {99 - j}.5" for j in others)])]
    write_lines(folder / "pair.txt", pairs)
    if points is None:
        return
    truth = MILLIMETERS * points
    stl, masks = root / f"Points/stl/stl{number:03d}_total.ply", root / "ObsMask"
    for parent in (stl.parent, masks):
        parent.mkdir(parents=True, exist_ok=True)
    stl.write_bytes(ply_bytes(truth, np.zeros(truth.shape, np.uint8)))
    low, high = truth.min(0) - _MARGIN, truth.max(0) + _MARGIN
    shape = np.ceil((high - low) / _VOXEL).astype(int) + 1
    mask = {"ObsMask": np.ones(shape, np.uint8), "BB": np.stack([low, high]), "Res": _VOXEL}
    savemat(masks / f"ObsMask{number}_10.mat", mask)
    savemat(masks / f"Plane{number}.mat", {"P": np.array([[0.0], [0.0], [0.0], [1.0]])})
