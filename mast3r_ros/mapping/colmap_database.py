# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keyframes and their matches as a COLMAP database, from which pycolmap reconstructs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.mapping.colmap_camera import CENTER, to_colmap
from mast3r_ros.mapping.extra import MappingError, library
from mast3r_ros.mapping.pairs import MatchedPair, feature_description


def image_id(number: int) -> int:
    """COLMAP's id of the image of a number: ids begin with 1."""
    return number + 1


def empty_model(keyframes: Sequence[Keyframe], posed: bool) -> Any:
    """A pycolmap.Reconstruction of the keyframes' cameras and keypoints, without points.

    Args:
        keyframes: described by features; image number i is the i-th.
        posed: give the images the keyframes' poses.

    Raises:
        MappingError: a keyframe has no camera, or COLMAP has no model of one.
    """
    pycolmap = library("pycolmap")
    model, cameras = pycolmap.Reconstruction(), dict[Any, int]()
    for number, keyframe in enumerate(keyframes):
        if keyframe.camera is None:
            raise MappingError(
                f"keyframe {keyframe.id} has no camera: give the calibration of its images"
            )
        if keyframe.camera not in cameras:
            cameras[keyframe.camera] = len(cameras) + 1
            model.add_camera_with_trivial_rig(to_colmap(keyframe.camera, cameras[keyframe.camera]))
        image = pycolmap.Image(
            name=f"{number:06d}",
            keypoints=feature_description(keyframe.description).keypoints.astype(float) + CENTER,
            camera_id=cameras[keyframe.camera],
            image_id=image_id(number),
        )
        rigid = pycolmap.Rigid3d(transforms.inverse(keyframe.pose)[:3])
        model.add_image_with_trivial_frame(image, *([rigid] if posed else []))
    return model


def write_database(
    path: Path, keyframes: Sequence[Keyframe], matches: Iterable[MatchedPair]
) -> None:
    """Write keypoints and verified matches.

    Args:
        path: a new file.
        keyframes: described by features; image number i is the i-th.
        matches: between them, see `pairs.verified`.
    """
    pycolmap, model = library("pycolmap"), empty_model(keyframes, posed=False)
    with pycolmap.Database.open(path) as database:
        for camera in model.cameras.values():
            database.write_camera(camera, use_camera_id=True)
        for rig in model.rigs.values():
            database.write_rig(rig, use_rig_id=True)
        for frame in model.frames.values():
            database.write_frame(frame, use_frame_id=True)
        for image in model.images.values():
            database.write_image(image, use_image_id=True)
        for number, keyframe in enumerate(keyframes):
            pixels = feature_description(keyframe.description).keypoints + CENTER
            database.write_keypoints(image_id(number), pixels)
        for pair in matches:
            geometry = pycolmap.TwoViewGeometry(
                config=pycolmap.TwoViewGeometryConfiguration.CALIBRATED,
                inlier_matches=pair.rows.astype(np.uint32),
            )
            database.write_two_view_geometry(image_id(pair.one), image_id(pair.other), geometry)
