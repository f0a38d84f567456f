# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a calibration says, and the files that say it.

Read are the files of ROS' camera_calibration, the output of `ros2 topic echo` of a camera_info,
OpenCV's FileStorage (YAML and JSON), and Kalibr's camchain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mast3r_ros.common.untrusted import brief, first_mapping, read_file, text
from mast3r_ros.geometry.distortion import FISHEYE, CameraError

_MAX_BYTES = 1 << 20
# What the same things are called, in the order in which they are looked for.
_WIDTHS, _HEIGHTS = ("image_width", "width"), ("image_height", "height")
_SIZES = ("image_size", "resolution")
_MATRICES = ("camera_matrix", "k", "K", "cameraMatrix", "intrinsics")
_COEFFICIENTS = (
    "distortion_coefficients", "d", "D", "distCoeffs", "dist_coeffs", "distortion_coeffs",
)  # fmt: skip
_PROJECTIONS = ("projection_matrix", "p", "P")


@dataclass(frozen=True)
class Calibration:
    """The fields of a sensor_msgs/CameraInfo.

    Attributes:
        width, height: of the full image [pixels].
        k: the matrix K, 9 numbers by rows.
        d: distortion coefficients.
        model: distortion model.
        p: the matrix P of the rectified image, 12 numbers by rows, or empty.
        binning: (columns, rows) that were joined; 0 means 1.
        window: (x, y, width, height) in the full image [pixels]; without size, all of it.
    """

    width: int
    height: int
    k: tuple[float, ...]
    d: tuple[float, ...] = ()
    model: str = ""
    p: tuple[float, ...] = ()
    binning: tuple[int, int] = (1, 1)
    window: tuple[int, int, int, int] = (0, 0, 0, 0)


def read(path: Path) -> Calibration:
    """Read a calibration file.

    Raises:
        CameraError: the file cannot be read, or is not a calibration.
    """
    try:
        return parse(read_file(path, _MAX_BYTES).decode("utf-8-sig"))
    except OSError as error:
        problem = error.strerror or str(error)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        problem = f"it has no {error}" if isinstance(error, KeyError) else str(error)
    raise CameraError(
        f"{path} is not a calibration: {problem}; it should be as camera_calibration writes it"
    )


def parse(content: str) -> Calibration:
    """A calibration from the text of a file.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    # OpenCV's headline is not YAML.
    lines = [line for line in content.splitlines() if not line.startswith("%YAML")]
    found = first_mapping("\n".join(lines), _Loader)
    if found is None:
        raise ValueError("it has no names with values")
    return _from_mapping(_only_camera(found))


class _Loader(yaml.SafeLoader):
    """Plain data, with OpenCV's matrices as mappings."""


def _matrix(loader: yaml.SafeLoader, node: Any) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _matrix)


def _only_camera(content: dict[str, Any]) -> dict[str, Any]:
    """The one camera of a Kalibr camchain; any other content as it is."""
    cameras = [value for name, value in content.items() if str(name).startswith("cam")]
    chained = [c for c in cameras if isinstance(c, dict) and "intrinsics" in c]
    if len(chained) > 1:
        raise ValueError(f"it has {len(chained)} cameras; keep one of them")
    return chained[0] if chained else content


def _from_mapping(content: Mapping[str, Any]) -> Calibration:
    size = _find(content, _SIZES)
    width, height = size if size is not None else (
        _find(content, _WIDTHS), _find(content, _HEIGHTS)
    )  # fmt: skip
    if width is None or height is None:
        raise KeyError("image_width and image_height")
    k = _numbers(_find(content, _MATRICES))
    if len(k) == 4:  # Kalibr: fx fy cx cy
        k = (k[0], 0.0, k[2], 0.0, k[1], k[3], 0.0, 0.0, 1.0)
    if len(k) != 9:
        raise KeyError(f"camera_matrix of 9 numbers, but {len(k)}")
    model = text(content.get("distortion_model") or "", "distortion_model")
    if not model and content.get("fisheye_model"):
        model = FISHEYE
    window = content.get("roi") or {}
    if not isinstance(window, Mapping):
        raise ValueError(f"roi {brief(window)} is not x_offset, y_offset, width and height")
    return Calibration(
        _whole(width),
        _whole(height),
        k,
        _numbers(_find(content, _COEFFICIENTS)),
        model,
        _numbers(_find(content, _PROJECTIONS)),
        (_whole(content.get("binning_x", 1)), _whole(content.get("binning_y", 1))),
        (
            _whole(window.get("x_offset", 0)),
            _whole(window.get("y_offset", 0)),
            _whole(window.get("width", 0)),
            _whole(window.get("height", 0)),
        ),
    )


def _find(content: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((content[name] for name in names if content.get(name) is not None), None)


def _numbers(value: Any) -> tuple[float, ...]:
    """Numbers by rows of a list, a list of lists, or a matrix with `data`."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        value = value["data"]
    if not isinstance(value, list):
        raise ValueError(f"{brief(value)} is not a list of numbers")
    flat = [n for row in value for n in (row if isinstance(row, list) else [row])]
    return tuple(map(float, flat))


def _whole(value: Any) -> int:
    number = float(value)
    if number != int(number):
        raise ValueError(f"{brief(value)} is not a whole number")
    return int(number)
