# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The points of a map as files that viewers of point clouds read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.ply import ply_bytes
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe import Keyframe, decode_thumbnail
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping.extra import MappingError
from mast3r_ros.mapping.pairs import feature_description, features_of


def cloud(keyframes: KeyframeMap) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Known points of all keyframes, (N, 3) [m] in the map, and colors (N, 3) of the thumbnails.

    Raises:
        MappingError: the front end keeps no features, or no point is known.
    """
    features_of(keyframes)
    places, colors = [], []
    for keyframe in keyframes:
        description = feature_description(keyframe.description)
        known = np.isfinite(description.points).all(1)
        colors.append(colors_at(keyframe, description.keypoints[known]))
        places.append(transforms.apply(keyframe.pose, description.points[known]))
    if not sum(map(len, places)):
        raise MappingError(
            "no keyframe of the map knows a point: build it with depth, or from images that overlap"
        )
    return np.concatenate(places).astype(np.float32), np.concatenate(colors)


def colors_at(keyframe: Keyframe, pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colors (N, 3), RGB, of a keyframe's thumbnail at pixels (N, 2) of its image."""
    thumbnail = decode_thumbnail(keyframe.thumbnail)
    height, width = thumbnail.shape[:2]
    scale = np.array([width, height]) / keyframe.size
    column, row = (np.rint(pixels * scale).astype(int)).T
    return np.asarray(thumbnail[row.clip(0, height - 1), column.clip(0, width - 1)], np.uint8)


def write_ply(path: Path, places: NDArray[np.float32], colors: NDArray[np.uint8]) -> None:
    """Write a binary PLY file of points (N, 3) [m] and their colors (N, 3), RGB."""
    path.write_bytes(ply_bytes(places, colors))


def write_pcd(path: Path, places: NDArray[np.float32], colors: NDArray[np.uint8]) -> None:
    """Write a binary PCD file (version 0.7 of the Point Cloud Library), the color in `rgb`."""
    red, green, blue = colors.astype(np.uint32).T
    packed = (red << 16 | green << 8 | blue).astype("<u4").view("<f4")
    data = np.column_stack([places.astype("<f4"), packed])
    header = (
        "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z rgb\n"
        f"SIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\nWIDTH {len(data)}\nHEIGHT 1\n"
        f"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(data)}\nDATA binary\n"
    )
    path.write_bytes(header.encode() + data.tobytes())
