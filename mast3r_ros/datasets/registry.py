# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The formats that are known, and the door to them.

A format is added by an entry in `FORMATS`. Its module is imported when it is opened, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mast3r_ros.common.paths import expand
from mast3r_ros.datasets.kinds import WORLDS, has_images, is_bag, is_tum
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.datasets.summary import RecordingError

if TYPE_CHECKING:
    from mast3r_ros.datasets.dataset import Dataset


@dataclass(frozen=True)
class Format:
    """One kind of source.

    Attributes:
        name: for people.
        text: what such a source looks like.
        recognize: whether a source is of this kind.
        open: opens it.
    """

    name: str
    text: str
    recognize: Callable[[Path, SourceOptions], bool]
    open: Callable[[Path, SourceOptions], Dataset]


def _open_worlds(path: Path, options: SourceOptions) -> Dataset:
    from mast3r_ros.datasets.worlds import Worlds

    return Worlds(options)


def _open_bag(path: Path, options: SourceOptions) -> Dataset:
    from mast3r_ros.datasets.bag import Bag

    return Bag(path, options)


def _open_posed(path: Path, options: SourceOptions) -> Dataset:
    from mast3r_ros.datasets.folder import PosedFolder

    return PosedFolder(path, options)


def _open_tum(path: Path, options: SourceOptions) -> Dataset:
    from mast3r_ros.datasets.tum import TumFolder

    return TumFolder(path, options)


def _open_images(path: Path, options: SourceOptions) -> Dataset:
    from mast3r_ros.datasets.folder import ImageFiles

    return ImageFiles(path, options)


# The first that recognizes a source opens it.
FORMATS = (
    Format(
        WORLDS,
        f"`{WORLDS}` (rendered rooms that no training has seen, as pairs)",
        lambda path, _: str(path) == WORLDS and not path.exists(),
        _open_worlds,
    ),
    Format(
        "bag",
        "a rosbag2 (sqlite3 or mcap; its folder or one file)",
        lambda path, _: is_bag(path),
        _open_bag,
    ),
    Format(
        "images with poses",
        "a folder of images with a file of poses (--pose-file)",
        lambda path, options: options.pose_file is not None,
        _open_posed,
    ),
    Format(
        "tum",
        "a folder in the layout of the TUM RGB-D benchmark (rgb/, groundtruth.txt)",
        lambda path, _: is_tum(path),
        _open_tum,
    ),
    Format(
        "images",
        "image files (a folder, a pattern or one file)",
        lambda path, _: has_images(path),
        _open_images,
    ),
)


def open_dataset(source: Path | str, options: SourceOptions | None = None) -> Dataset:
    """Open a source of images, of whatever format.

    Args:
        source: a path, a pattern of paths, or `worlds`.
        options: how it is read.

    Raises:
        RecordingError: no such source, no format fits, or it is damaged.
        CameraError: its calibration describes no camera.
    """
    options = options or SourceOptions()
    path = expand(source)
    for entry in FORMATS:
        if entry.recognize(path, options):
            return entry.open(path, options)
    problem = "holds no images that can be read" if path.exists() else "does not exist"
    known = ", ".join(entry.text for entry in FORMATS)
    raise RecordingError(f"{path} {problem}; a source is one of: {known}")
