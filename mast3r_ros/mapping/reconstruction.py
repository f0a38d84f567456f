# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Structure from motion: poses of images of which nothing but the calibration is known.

pycolmap's incremental mapper does it on this package's own features and matches. Intrinsics stay as
they were calibrated.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mast3r_ros.datasets.recording import PosedImage, read_frames
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping.colmap_database import write_database
from mast3r_ros.mapping.colmap_model import model_pose, observations, registered
from mast3r_ros.mapping.describing import Describe, describe_here
from mast3r_ros.mapping.extra import MappingError, library
from mast3r_ros.mapping.options import ReconstructionOptions
from mast3r_ros.mapping.pairs import MatchedPair, feature_description
from mast3r_ros.mapping.scale import MIN_IMAGES, Scale

# All is adjusted when the model has grown by this factor, and at the end.
_GROWTH = 1.3
# The map's axes (REP-103: x forward, y left, z up) seen by the first camera (x right, y down).
MAP_CAMERA = transforms.make([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], [0, 0, 0])


def describe(
    keyframes: KeyframeMap,
    images: Iterable[PosedImage],
    with_depth: bool,
    how: Describe[PosedImage] | None = None,
) -> Iterator[tuple[int, str, Frame]]:
    """Add images to a map, all at its origin: their poses are to be found.

    Args:
        keyframes: the map.
        images: in the order of time.
        with_depth: use their depth where they have some.
        how: in this process by the map's front end, unless said otherwise.

    Yields:
        Each new keyframe's id, and the image's name and contents.

    Raises:
        RecordingError: none of the images can be read.
    """
    described = (how or describe_here(keyframes.front_end))(read_frames(images, with_depth))
    for image, frame, description in described:
        keyframe_id = keyframes.add(frame, np.eye(4), description, triangulate=False)
        yield keyframe_id, image.name, frame


def register(
    keyframes: KeyframeMap, matches: Iterable[MatchedPair], options: ReconstructionOptions
) -> Any:
    """Reconstruct poses and points of keyframes whose own poses mean nothing.

    Args:
        keyframes: described by features, in the order of time.
        matches: between them, numbered in their order and verified.

    Returns:
        The largest model, a pycolmap.Reconstruction in units of its own; see `image_id`.

    Raises:
        MappingError: no two images can start a model.
    """
    pycolmap = library("pycolmap")
    settings = pycolmap.IncrementalPipelineOptions(
        ba_refine_focal_length=False,
        ba_refine_extra_params=False,
        extract_colors=False,
        multiple_models=False,
        min_model_size=MIN_IMAGES,
        ba_global_frames_ratio=_GROWTH,
        ba_global_points_ratio=_GROWTH,
        random_seed=options.seed,
    )
    settings.mapper.init_min_tri_angle = options.initial_angle
    with tempfile.TemporaryDirectory(prefix="mast3r_ros_") as folder:
        database = Path(folder) / "database.db"
        write_database(database, keyframes.in_order(), matches)
        models = pycolmap.incremental_mapping(database, folder, folder, settings)
    if not models:
        raise MappingError(
            f"no model can be started from the {len(keyframes)} images: they must overlap and be "
            "taken at different places; try a smaller --initial-angle, or take more images"
        )
    return max(models.values(), key=lambda model: int(model.num_reg_images()))


def map_from_model(keyframes: KeyframeMap, model: Any, scale: Scale) -> Pose:
    """The pose (4, 4) that takes the model's points, once in meters, into the map.

    The map's origin is the first camera, its axes are those of REP-103 seen by it.
    """
    first = model_pose(registered(model, keyframes)[0][1])
    first[:3, 3] *= scale.meters
    return MAP_CAMERA @ transforms.inverse(first)


def posed(keyframes: KeyframeMap, model: Any, scale: Scale) -> KeyframeMap:
    """The registered keyframes where the model has them, in meters; see `map_from_model`.

    Keyframes without depth take their points from the model.
    """
    map_model = map_from_model(keyframes, model, scale)

    def found() -> Iterator[Keyframe]:
        for keyframe, image in registered(model, keyframes):
            pose = model_pose(image)
            pose[:3, 3] *= scale.meters
            own = keyframe if keyframe.sensed else _with_model_points(keyframe, model, image, scale)
            yield replace(own, pose=map_model @ pose)

    return keyframes.derive(found())


def _with_model_points(keyframe: Keyframe, model: Any, image: Any, scale: Scale) -> Keyframe:
    description, seen = feature_description(keyframe.description), observations(model, image)
    depth = np.full(len(description), np.nan)
    sigma = np.full(len(description), np.nan, np.float32)
    depth[seen.keypoint] = seen.depth * scale.meters
    sigma[seen.keypoint] = np.hypot(seen.sigma, scale.sigma)
    assert keyframe.camera is not None
    points = keyframe.camera.unproject(description.keypoints, depth).astype(np.float32)
    sigma[~np.isfinite(points).all(1)] = np.nan
    return replace(keyframe, description=description.with_points(points, sigma))
