# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scans of the DTU multi-view stereo data set (Jensen et al., CVPR 2014), in MVSNet's layout.

DIR/scan1/images/00000000.jpg          views
DIR/scan1/cams/00000000_cam.txt        `extrinsic`, camera <- world, 4 x 4 [mm]; `intrinsic`, 3 x 3;
                                       range of depths
DIR/scan1/pair.txt                     how many views; of each, a line with its number, and one with
                                       `count number score number score ...`, the best views first
DIR/Points/stl/stl001_total.ply        the truth [mm]
DIR/ObsMask/ObsMask1_10.mat            where the truth was scanned: ObsMask, BB and Res [mm]
DIR/ObsMask/Plane1.mat                 P: the truth above the table has P . (x, y, z, 1) > 0
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.images import read_rgb
from mast3r_ros.datasets.matlab import read_arrays
from mast3r_ros.datasets.ply import read_points
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.datasets.trajectory import read_lines
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose

MILLIMETERS = 1000.0  # of a meter


@dataclass(frozen=True)
class DtuView:
    """One image of a scan.

    Attributes:
        number: that its files have.
        frame: the image, with its camera.
        pose: world <- camera, (4, 4) [m].
    """

    number: int
    frame: Frame
    pose: Pose


@dataclass(frozen=True)
class DtuTruth:
    """What a scan's points are compared with.

    Attributes:
        points: (N, 3) [mm].
        observed: (X, Y, Z) bool: which voxels the scanner could see.
        corner: (3,) of the first voxel's center [mm].
        resolution: side of a voxel [mm].
        plane: (4,) positive above the table.
    """

    points: NDArray[np.float64]
    observed: NDArray[np.bool_]
    corner: NDArray[np.float64]
    resolution: float
    plane: NDArray[np.float64]


def scan_number(folder: Path) -> int | None:
    """The number of a scan's folder; None for other folders."""
    found = re.fullmatch(r"scan(\d+)", folder.name)
    return int(found[1]) if found else None


def read_views(folder: Path) -> list[DtuView]:
    """The views of a scan, by their numbers.

    Raises:
        RecordingError: there are none, or a file is missing or not of this layout.
    """
    files = sorted(folder.glob("cams/*_cam.txt"))
    if not files:
        raise RecordingError(f"{folder}/cams holds no *_cam.txt")
    return [_read_view(folder, file) for file in files]


def _read_view(folder: Path, file: Path) -> DtuView:
    stem = file.name.removesuffix("_cam.txt")
    matrices: dict[str, list[float]] = {"extrinsic": [], "intrinsic": []}
    values: list[float] = []
    for number, words in read_lines(file):
        try:
            if words[0] in matrices:
                values = matrices[words[0]]
            else:
                values += map(float, words)
        except ValueError as error:
            raise RecordingError(f"{file}, line {number}: {error}") from error
    # The range of depths follows the intrinsics.
    extrinsic, intrinsic = matrices["extrinsic"], matrices["intrinsic"][:9]
    if not stem.isdecimal() or len(extrinsic) != 16 or len(intrinsic) != 9:
        raise RecordingError(f"{file} holds no extrinsic (4 x 4) and intrinsic (3 x 3) matrix")
    camera_world = np.reshape(extrinsic, (4, 4))
    u, _, vt = np.linalg.svd(camera_world[:3, :3])
    rigid = transforms.make(u @ vt, camera_world[:3, 3] / MILLIMETERS)
    image = read_rgb(folder / f"images/{stem}.jpg")
    camera = Camera.from_matrix(image.shape[1::-1], intrinsic)
    return DtuView(int(stem), Frame(image, camera), transforms.inverse(rigid))


def read_pairs(folder: Path) -> dict[int, list[int]]:
    """The best other views of each view of a scan, the best first.

    Raises:
        RecordingError: the file is missing or not of this layout.
    """
    file = folder / "pair.txt"
    lines = [words for _, words in read_lines(file)][1:]
    try:
        # Each second word after the count is a score.
        return {
            int(of[0]): [int(word) for word in best[1::2]]
            for of, best in zip(lines[::2], lines[1::2], strict=True)
        }
    except ValueError as error:
        raise RecordingError(f"{file}: {error}") from error


def read_truth(root: Path, number: int) -> DtuTruth | None:
    """The truth of a scan; None where the data has none.

    Raises:
        RecordingError: a file of it is missing or damaged.
    """
    points = root / f"Points/stl/stl{number:03d}_total.ply"
    if not points.is_file():
        return None
    mask = read_arrays(root / f"ObsMask/ObsMask{number}_10.mat", "ObsMask", "BB", "Res")
    (plane,) = read_arrays(root / f"ObsMask/Plane{number}.mat", "P")
    observed, box, resolution = mask
    if observed.ndim != 3 or box.shape != (2, 3) or resolution.size != 1 or plane.size != 4:
        raise RecordingError(f"{root}/ObsMask: the masks of scan {number} have other shapes")
    return DtuTruth(
        read_points(points),
        observed.astype(bool),
        box[0].astype(float),
        float(resolution.ravel()[0]),
        plane.ravel().astype(float),
    )
