# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Structure from motion: poses of images of which nothing but the calibration is known.

pycolmap's incremental mapper does it on this package's own features and matches. Intrinsics stay as
they were calibrated.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.recording import PosedImage, read_frames
from mast3r_ros.frontends.features import correspondences
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping.colmap_database import image_id, write_database
from mast3r_ros.mapping.colmap_model import model_pose, observations
from mast3r_ros.mapping.extra import MappingError, library
from mast3r_ros.mapping.options import ReconstructionOptions, RefineOptions
from mast3r_ros.mapping.pairs import MatchedPair, feature_description
from mast3r_ros.mapping.refinement import refine
from mast3r_ros.mapping.sightings import SeenPair, thinned
from mast3r_ros.matching.correspondences import Correspondences

# Fewer points or images with depth say nothing of the meters.
_MIN_DEPTHS, _MIN_IMAGES = 10, 3
# All is adjusted when the model has grown by this factor, and at the end.
_GROWTH = 1.3
# What a sensor's depth is wrong by as a whole: 1.4 % against the device's tracking in the office,
# 3.5 % corrected by the makers of another recording (Sturm et al., IROS 2012).
_SENSOR_SCALE = 0.015
# A model's poses bend and its scale is off, so they hardly hold back what depth says [m, degrees].
_FITTED = RefineOptions(position_sigma=0.2, rotation_sigma=2.0)
# Normal deviations of a median absolute deviation.
_MAD = 1.4826
# The map's axes (REP-103: x forward, y left, z up) seen by the first camera (x right, y down).
_MAP_CAMERA = transforms.make([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], [0, 0, 0])


@dataclass(frozen=True)
class Scale:
    """Meters of a model.

    Attributes:
        meters: of one unit.
        sigma: relative standard deviation; 0 where the distance was given.
        source: where they come from, for people.
    """

    meters: float
    sigma: float
    source: str

    def __str__(self) -> str:
        sure = f", known to {self.sigma:.2%}" if self.sigma else ""
        return f"meters from {self.source}{sure}"


def describe(
    keyframes: KeyframeMap, images: Iterable[PosedImage], with_depth: bool
) -> Iterator[tuple[int, str]]:
    """Add images to a map, all at its origin: their poses are to be found.

    Yields:
        Each new keyframe's id, and the image's name.

    Raises:
        RecordingError: none of the images can be read.
    """
    for image, frame in read_frames(images, with_depth):
        yield keyframes.add(frame, np.eye(4), triangulate=False), image.name


def check_meters(
    keyframes: KeyframeMap, ids: Mapping[str, int], scale_from: tuple[str, str, float] | None
) -> None:
    """Raise MappingError where nothing can give a map its meters, before the work is done.

    Args:
        keyframes: as `describe` added them.
        ids: of the keyframes, by the images' names.
        scale_from: names of two images and the distance between their cameras [m].
    """
    if scale_from is None:
        if sum(k.sensed for k in keyframes) < _MIN_IMAGES:
            raise MappingError(
                "the images have no depth: give the meters by --scale-from A B METERS, two images "
                "and the distance between their cameras"
            )
        return
    one, other, meters = scale_from
    for name in (one, other):
        if name not in ids:
            raise MappingError(f"no image {name}: they are called {', '.join([*ids][:3])}, ...")
    if one == other or not 0 < meters < np.inf:
        raise MappingError(
            f"--scale-from {one} {other} {meters:g}: give two images and a positive distance"
        )


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
        MappingError: no two images begin a model.
    """
    pycolmap = library("pycolmap")
    settings = pycolmap.IncrementalPipelineOptions(
        ba_refine_focal_length=False,
        ba_refine_extra_params=False,
        extract_colors=False,
        multiple_models=False,
        min_model_size=_MIN_IMAGES,
        ba_global_frames_ratio=_GROWTH,
        ba_global_points_ratio=_GROWTH,
        random_seed=options.seed,
    )
    settings.mapper.init_min_tri_angle = options.initial_angle
    with tempfile.TemporaryDirectory(prefix="mast3r_ros_") as folder:
        database = Path(folder) / "database.db"
        write_database(database, list(keyframes), matches)
        models = pycolmap.incremental_mapping(database, folder, folder, settings)
    if not models:
        raise MappingError(
            f"none of the {len(keyframes)} images begin a model: they need to overlap, and to be "
            "taken from places apart; allow a smaller --initial-angle, or take more images"
        )
    return max(models.values(), key=lambda model: int(model.num_reg_images()))


def scale_from_depth(model: Any, keyframes: KeyframeMap) -> Scale:
    """Meters from the depth that a sensor gave the keyframes: the median over all points.

    The deviation is that of the images' medians; what all depth is wrong by does not show in it.

    Raises:
        MappingError: too few points of the model have depth.
    """
    ratios = []
    for keyframe, image in _registered(model, keyframes):
        seen = observations(model, image)
        depth = feature_description(keyframe.description).points[seen.keypoint, 2]
        known = np.isfinite(depth) & keyframe.sensed
        if known.sum() >= _MIN_DEPTHS:
            ratios.append(depth[known] / seen.depth[known])
    if len(ratios) < _MIN_IMAGES:
        raise MappingError(
            f"{len(ratios)} images of the model have depth at its points, {_MIN_IMAGES} needed for "
            "meters: give --scale-from A B METERS"
        )
    together = np.concatenate(ratios)
    meters = float(np.median(together))
    apart = np.abs([np.median(of_image) / meters - 1.0 for of_image in ratios])
    return Scale(
        meters,
        float(_MAD * np.median(apart) / np.sqrt(len(ratios))),
        f"depth at {len(together)} points of {len(ratios)} images",
    )


def scale_fitted_to_depth(
    keyframes: KeyframeMap, described: KeyframeMap, matches: Iterable[MatchedPair], scale: Scale
) -> Scale:
    """The scale at which depth fits how the images move, in place of the median over points.

    A model's points that few or near images see lie too near or too far, and with them the median
    of `scale_from_depth`: how depth moves across images, over all pairs, is what binds the scale.
    The adjusted poses themselves are not kept: an error of the depth's registration turns them,
    3 degrees in the office, where the model's are 0.7 degrees from the truth.

    Args:
        keyframes: of `posed`.
        described: those that the matches are numbered by.
        matches: verified.
        scale: of `scale_from_depth`.
    """
    at = {k.id: i for i, k in enumerate(keyframes)}
    every = list(described)
    seen = [
        SeenPair(
            at[every[pair.one].id],
            at[every[pair.other].id],
            *_both_ways(every[pair.one], every[pair.other], thinned(pair.rows)),
        )
        for pair in matches
        if every[pair.one].id in at and every[pair.other].id in at
    ]
    before = np.array([k.pose[:3, 3] for k in keyframes])
    fitted = refine(keyframes, seen, _FITTED).keyframes
    after = np.array([k.pose[:3, 3] for k in fitted])
    factor = float(np.linalg.norm(after - after.mean(0)) / np.linalg.norm(before - before.mean(0)))
    sigma = float(np.hypot(scale.sigma, _SENSOR_SCALE))
    return replace(scale, meters=scale.meters * factor, sigma=sigma)


def _both_ways(
    one: Keyframe, other: Keyframe, rows: NDArray[np.int64]
) -> tuple[Correspondences, Correspondences]:
    """A pair's matches, each keyframe once as the reference."""
    first, second = (feature_description(k.description) for k in (one, other))
    sure = np.ones(len(rows), np.float32)
    return (
        correspondences(first, second, rows, sure),
        correspondences(second, first, rows[:, ::-1], sure),
    )


def scale_from_distance(
    model: Any, keyframes: KeyframeMap, ids: Mapping[str, int], one: str, other: str, meters: float
) -> Scale:
    """Meters from the distance between the cameras of two images, given by their names.

    Raises:
        MappingError: an image is not in the model.
    """
    poses = {k.id: model_pose(image) for k, image in _registered(model, keyframes)}
    for name in (one, other):
        if ids[name] not in poses:
            raise MappingError(
                f"image {name} could not be registered: give --scale-from two other images"
            )
    distance = transforms.distance(poses[ids[one]], poses[ids[other]])
    return Scale(meters / distance, 0.0, f"the distance between {one} and {other}")


def posed(keyframes: KeyframeMap, model: Any, scale: Scale) -> KeyframeMap:
    """The registered keyframes where the model has them, in meters.

    The map's origin is the first camera, its axes are those of REP-103 seen by it. Keyframes
    without depth take their points from the model.
    """
    found = list(_registered(model, keyframes))
    poses = []
    for _, image in found:
        pose = model_pose(image)
        pose[:3, 3] *= scale.meters
        poses.append(pose)
    map_model = _MAP_CAMERA @ transforms.inverse(poses[0])
    return keyframes.derive(
        replace(
            keyframe if keyframe.sensed else _with_model_points(keyframe, model, image, scale),
            pose=map_model @ pose,
        )
        for (keyframe, image), pose in zip(found, poses, strict=True)
    )


def _registered(model: Any, keyframes: KeyframeMap) -> list[tuple[Keyframe, Any]]:
    """The keyframes that have a pose in the model, and their images."""
    known = set(model.reg_image_ids())
    return [
        (keyframe, model.images[image_id(number)])
        for number, keyframe in enumerate(keyframes)
        if image_id(number) in known
    ]


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
