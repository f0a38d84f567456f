# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Camera intrinsics: projection, and undistortion of pixels to rays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mast3r_ros.common.untrusted import whole
from mast3r_ros.geometry import calibration
from mast3r_ros.geometry.calibration import Calibration
from mast3r_ros.geometry.distortion import FISHEYE, STANDARD, canonical
from mast3r_ros.geometry.distortion import CameraError as CameraError
from mast3r_ros.geometry.pixels import PixelTransform

# No camera has more pixels in a row or column.
MAX_SIDE = 1 << 17
# Rays further from the optical axis than this are of no use on the plane z = 1.
_MAX_RAY_ANGLE = np.deg2rad(80.0)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with ROS distortion, after sensor_msgs/CameraInfo.

    Attributes:
        width, height: image size [pixels].
        fx, fy, cx, cy: focal lengths and principal point [pixels], pixel centers at integers.
        distortion: coefficients in OpenCV's order; empty for a pinhole.
        model: `plumb_bob`, `rational_polynomial` or `equidistant` (OpenCV's fisheye). Other names
            that mean one of these are replaced.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    model: str = STANDARD

    def __post_init__(self) -> None:
        if not (0 < self.width <= MAX_SIDE and 0 < self.height <= MAX_SIDE):
            raise CameraError(
                f"image size {self.width}x{self.height}: both must be in [1, {MAX_SIDE}]"
            )
        numbers = np.array([self.fx, self.fy, self.cx, self.cy], np.float64)
        if not np.isfinite(numbers).all():
            raise CameraError(f"intrinsics {numbers.tolist()}: all must be finite")
        if self.fx <= 0 or self.fy <= 0:
            raise CameraError(
                f"focal length ({self.fx}, {self.fy}): must be positive; is the camera calibrated?"
            )
        model, distortion = canonical(self.model, self.distortion)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "distortion", distortion)

    @staticmethod
    def from_matrix(
        size: tuple[int, int],
        matrix: ArrayLike,
        distortion: Sequence[float] = (),
        model: str = STANDARD,
    ) -> Camera:
        """From (width, height), a (3, 3) or flat matrix K and distortion coefficients."""
        k = np.asarray(matrix, np.float64).reshape(3, 3)
        coefficients = tuple(float(d) for d in distortion)
        return Camera(
            int(size[0]), int(size[1]), k[0, 0], k[1, 1], k[0, 2], k[1, 2], coefficients, model
        )

    @staticmethod
    def from_calibration(found: Calibration, rectified: bool = False) -> Camera:
        """The camera of the images that a calibration belongs to, its binning and window applied.

        Args:
            found: the calibration.
            rectified: whether the images are rectified, so that P holds and there is no distortion.

        Raises:
            CameraError: it describes no camera.
        """
        size = (found.width, found.height)
        # Drivers of cameras without distortion may leave P empty: K is the same then.
        undistorted = canonical(found.model, found.d) == (STANDARD, ())
        if not rectified or (undistorted and len(found.p) == 12 and not any(found.p)):
            camera = Camera.from_matrix(size, found.k, found.d, found.model)
        elif len(found.p) != 12:
            raise CameraError("the calibration has no P, which rectified images need")
        else:
            camera = Camera.from_matrix(size, np.reshape(found.p, (3, 4))[:, :3])
        left, top, width, height = found.window
        if width and height:
            camera = camera.cropped(left, top, width, height)
        columns, rows = max(found.binning[0], 1), max(found.binning[1], 1)
        if columns * rows > 1:
            size = (camera.width // columns, camera.height // rows)
            if not all(size):
                raise CameraError(f"binning {columns}x{rows} leaves nothing of the image")
            camera = camera.resized(*size)
        return camera

    @staticmethod
    def from_yaml(path: str | Path, rectified: bool = False) -> Camera:
        """Read a calibration file, see `geometry.calibration`.

        Raises:
            CameraError: the file is not a calibration, or describes no camera.
        """
        found = calibration.read(Path(path))
        try:
            return Camera.from_calibration(found, rectified)
        except CameraError as error:
            raise CameraError(f"{path} is not a calibration: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as maps and JSON files hold them; `from_dict` reads them."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Camera:
        """The camera of `to_dict`.

        Raises:
            CameraError: the values are not those of a camera.
        """
        try:
            fx, fy, cx, cy = (float(values[name]) for name in ("fx", "fy", "cx", "cy"))
            width, height = (whole(values[name], name, 1, MAX_SIDE) for name in ("width", "height"))
            distortion = tuple(map(float, values["distortion"]))
            return Camera(width, height, fx, fy, cx, cy, distortion, str(values["model"]))
        except CameraError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CameraError(f"values of no camera: {error!r}") from error

    @property
    def matrix(self) -> NDArray[np.float64]:
        """K, (3, 3)."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def project(self, points: ArrayLike) -> NDArray[np.float64]:
        """Project (N, 3) points of the camera frame [m] to (N, 2) pixels; NaN behind the camera."""
        xyz = np.asarray(points, np.float64).reshape(-1, 3)
        pixels = np.full((len(xyz), 2), np.nan)
        front = xyz[:, 2] > 0
        if not front.any():
            return pixels
        if self.distortion:
            source = np.ascontiguousarray(xyz[front])[:, None]
            fisheye = self.model == FISHEYE
            project = cv2.fisheye.projectPoints if fisheye else cv2.projectPoints
            zero = np.zeros(3)
            projected, _ = project(source, zero, zero, self.matrix, np.array(self.distortion))
            pixels[front] = projected.reshape(-1, 2)
        else:
            pixels[front] = xyz[front, :2] / xyz[front, 2:] * (self.fx, self.fy) + (
                self.cx,
                self.cy,
            )
        return pixels

    def normalize(self, pixels: ArrayLike) -> NDArray[np.float64]:
        """Undistort (N, 2) pixels to (N, 2) coordinates on the plane z = 1.

        NaN where a pixel has no ray within 80 degrees of the optical axis.
        """
        uv = np.asarray(pixels, np.float64).reshape(-1, 2)
        if not self.distortion:
            return np.asarray((uv - (self.cx, self.cy)) / (self.fx, self.fy))
        if not len(uv):
            return np.zeros((0, 2))
        coefficients = np.array(self.distortion)
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-10)
        source = np.ascontiguousarray(uv)[:, None]
        if self.model == FISHEYE:
            rays = cv2.fisheye.undistortPoints(source, self.matrix, coefficients, criteria=criteria)
        else:
            # OpenCV 4 gives the version that heeds `criteria` a name of its own.
            undistort = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)
            rays = undistort(
                source, self.matrix, coefficients, R=np.eye(3), P=np.eye(3), criteria=criteria
            )
        rays = np.asarray(rays, np.float64).reshape(-1, 2)
        # Iterative undistortion may diverge far outside the calibrated field: keep what returns.
        back = self.project(np.column_stack([rays, np.ones(len(rays))]))
        good = (np.hypot(*rays.T) < np.tan(_MAX_RAY_ANGLE)) & (np.hypot(*(back - uv).T) < 0.5)
        return np.where(good[:, None], rays, np.nan)

    def unproject(self, pixels: ArrayLike, depth: ArrayLike) -> NDArray[np.float64]:
        """(N, 2) pixels and (N,) depths along z [m] to (N, 3) points; NaN where unknown."""
        z = np.asarray(depth, np.float64)
        rays = self.normalize(pixels)
        z = np.where(np.isfinite(z) & (z > 0), z, np.nan)
        return np.column_stack([rays * z[:, None], z])

    def transformed(self, transform: PixelTransform, size: tuple[int, int]) -> Camera:
        """The camera of the image after a resize or crop; `size` is the new (width, height).

        Distortion acts on the plane z = 1, so its coefficients stay.
        """
        (sx, sy), (ox, oy) = transform.scale, transform.offset
        return replace(
            self,
            width=size[0],
            height=size[1],
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=self.cx * sx + ox,
            cy=self.cy * sy + oy,
        )

    def resized(self, width: int, height: int) -> Camera:
        """The camera of the whole image resized to width x height."""
        old = (self.width, self.height)
        return self.transformed(PixelTransform.resize(old, (width, height)), (width, height))

    def cropped(self, left: int, top: int, width: int, height: int) -> Camera:
        """The camera of a window of the image."""
        return self.transformed(PixelTransform.crop(left, top), (width, height))
