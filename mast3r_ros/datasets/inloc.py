# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images of the InLoc data set (Taira et al., CVPR 2018, arXiv 1803.10368).

DIR/database/cutouts/DUC1/024/DUC_cutout_024_0_0.jpg       a view cut out of a panoramic scan
DIR/database/cutouts/DUC1/024/DUC_cutout_024_0_0.jpg.mat   XYZcut, (H, W, 3) [m] of the scan, or NaN
DIR/database/alignments/DUC1/transformations/DUC_trans_024.txt   building <- scan in lines 8 to 11
DIR/query/iphone7/IMG_0731.JPG
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.images import read_rgb
from mast3r_ros.datasets.matlab import read_arrays
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.datasets.trajectory import parse_matrix, read_lines
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.absolute_pose import ransac
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose

_CUTOUTS, _ALIGNMENTS = "database/cutouts", "database/alignments"
_QUERIES = "query/iphone7"
# Across a cutout's width, as the paper says [rad].
_CUTOUT_VIEW = np.deg2rad(60.0)
# An iPhone 7's focal length over the longer side of its image: 28 mm on 36 mm of film.
_QUERY_FOCAL = 28.0 / 36.0
# Pixels of a cutout from which its camera is found, and how far they may be off in the median.
_SAMPLES = 2000
_MAX_PIXELS = 3.0


def cutout_names(root: Path) -> list[str]:
    """Paths of the cutouts below the data set's folder."""
    return [str(path.relative_to(root)) for path in sorted(root.glob(f"{_CUTOUTS}/*/*/*.jpg"))]


def query_names(root: Path) -> list[str]:
    """Paths of the queries below the data set's folder."""
    files = (root / _QUERIES).glob("*")
    return [
        str(p.relative_to(root)) for p in sorted(files) if p.suffix.lower() in (".jpg", ".jpeg")
    ]


def read_query(root: Path, name: str) -> Frame:
    """A query with its camera.

    Raises:
        RecordingError: it cannot be read.
    """
    image = read_rgb(root / name)
    height, width = image.shape[:2]
    return Frame(image, _camera(width, height, max(width, height) * _QUERY_FOCAL))


def read_cutout(root: Path, name: str) -> tuple[Frame, Pose]:
    """A cutout with its depth, and building <- camera.

    The data set gives the points of a cutout, not its camera: that is found from them.

    Raises:
        RecordingError: a file is missing or not of this layout, or the points are not those of a
            camera of the stated angle of view.
    """
    image, file = read_rgb(root / name), root / f"{name}.mat"
    points = _read_points(file)
    height, width = image.shape[:2]
    if points.shape != (height, width, 3):
        raise RecordingError(
            f"{file}: XYZcut of shape {points.shape}, the image is {width}x{height}"
        )
    camera = _camera(width, height, width / 2.0 / np.tan(_CUTOUT_VIEW / 2.0))
    scan_camera = _find_camera(file, points, camera)
    depth = transforms.apply(transforms.inverse(scan_camera), points.reshape(-1, 3))[:, 2]
    frame = Frame(image, camera, depth=depth.reshape(height, width).astype(np.float32))
    building, scan = Path(name).parts[-3:-1]
    aligned = root / _ALIGNMENTS / building / "transformations" / f"DUC_trans_{scan}.txt"
    return frame, _read_alignment(aligned) @ scan_camera


def _camera(width: int, height: int, focal: float) -> Camera:
    return Camera(width, height, focal, focal, (width - 1) / 2.0, (height - 1) / 2.0)


def _read_points(file: Path) -> NDArray[np.float64]:
    (points,) = read_arrays(file, "XYZcut")
    return points.astype(np.float64)


def _find_camera(file: Path, points: NDArray[np.float64], camera: Camera) -> Pose:
    """Scan <- camera."""
    rows, columns = np.nonzero(np.isfinite(points).all(axis=2))
    chosen = np.linspace(0, len(rows) - 1, min(_SAMPLES, len(rows))).astype(int)
    rows, columns = rows[chosen], columns[chosen]
    pixels = np.column_stack([columns, rows]).astype(np.float64)
    seen = points[rows, columns]
    pose = ransac(seen, camera.normalize(pixels), (camera.fx, camera.fy), _MAX_PIXELS)
    if pose is not None:
        back = camera.project(transforms.apply(transforms.inverse(pose), seen))
        if np.nanmedian(np.linalg.norm(back - pixels, axis=1)) < _MAX_PIXELS:
            return pose
    raise RecordingError(
        f"{file}: XYZcut is not what a camera of {np.rad2deg(_CUTOUT_VIEW):.0f} degrees sees"
    )


def _read_alignment(path: Path) -> Pose:
    """Building <- scan. Lines before the matrix hold other matrices."""
    lines = [line for line in read_lines(path) if line[0] in range(8, 12)]
    pose = parse_matrix(path, lines) if lines else None
    if pose is None:
        raise RecordingError(f"{path} holds no matrix in lines 8 to 11")
    return pose
