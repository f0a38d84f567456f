# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keyframe maps as COLMAP models, and COLMAP models as keyframe maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from mast3r_ros.datasets.images import read_rgb
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.features import FeatureDescription
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping.colmap_camera import CENTER, from_colmap
from mast3r_ros.mapping.colmap_database import empty_model, image_id
from mast3r_ros.mapping.extra import MappingError, library
from mast3r_ros.mapping.pairs import feature_description, features_of, match_pairs, similar_pairs
from mast3r_ros.mapping.tracks import make_tracks

# Keyframes that look alike and are matched, so that they share points.
_NEIGHBORS = 6
# A keypoint shows a point of the model whose pixel is this near [pixels].
_SAME_PIXEL = 2.0
# Error of a model's pixel [pixels]; relative deviation of a depth that one image alone gives.
_PIXEL_SIGMA = 1.0
_SINGLE_VIEW_SIGMA = 0.05


def image_names(keyframes: KeyframeMap) -> dict[int, str]:
    """A file name for each keyframe by its id: its time [s], or its id where times repeat."""
    stamps = {k.stamp for k in keyframes}
    if len(stamps) < len(keyframes):
        return {k.id: f"{k.id:06d}.png" for k in keyframes}
    return {k.id: f"{k.stamp // 10**9}.{k.stamp % 10**9:09d}.png" for k in keyframes}


def to_model(keyframes: KeyframeMap) -> Any:
    """The map as a pycolmap.Reconstruction: its cameras, poses, keypoints and known points.

    Images are numbered in the order of the keyframes, see `image_id`.

    Raises:
        MappingError: the front end keeps no features, or a keyframe has no camera.
    """
    pycolmap, front_end = library("pycolmap"), features_of(keyframes)
    chosen, names = keyframes.in_order(), image_names(keyframes)
    model = empty_model(chosen, posed=True)
    for number, keyframe in enumerate(chosen):
        model.images[image_id(number)].name = names[keyframe.id]
    pairs = similar_pairs(keyframes, _NEIGHBORS)
    tracks = make_tracks(chosen, match_pairs(chosen, pairs, front_end))
    order = np.argsort(tracks.point, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(tracks.point))[:-1]) if len(order) else []
    for place, rows in zip(tracks.points, parts, strict=True):
        elements = [
            pycolmap.TrackElement(image_id(int(tracks.keyframe[i])), int(tracks.keypoint[i]))
            for i in rows
        ]
        model.add_point3D(place, pycolmap.Track(elements), np.zeros(3, np.uint8))
    model.update_point_3d_errors()
    return model


def read_model(path: Path) -> Any:
    """The COLMAP model of a folder, binary or text, as a pycolmap.Reconstruction.

    Raises:
        MappingError: there is none, it cannot be read, or it has no images.
    """
    pycolmap = library("pycolmap")
    if not any((path / f"images.{suffix}").is_file() for suffix in ("bin", "txt")):
        raise MappingError(
            f"{path} holds no COLMAP model (images.bin or images.txt): name the folder of the "
            "model, often sparse/0"
        )
    try:
        model = pycolmap.Reconstruction(path)
    except (ValueError, RuntimeError, IndexError, OSError) as error:
        raise MappingError(f"{path}: pycolmap cannot read the model: {error}") from error
    if not model.num_reg_images():
        raise MappingError(f"{path}: the model has no image with a pose")
    return model


def camera_poses(model: Any) -> dict[str, Pose]:
    """Model <- camera of each registered image, by its name, in the order of time."""
    images = [model.images[i] for i in model.reg_image_ids()]
    images.sort(key=lambda image: (_stamp(image.name), str(image.name)))
    return {image.name: model_pose(image) for image in images}


def model_pose(image: Any) -> Pose:
    """Model <- camera of a registered pycolmap.Image, (4, 4)."""
    camera_model = np.vstack([image.cam_from_world().matrix(), [0.0, 0.0, 0.0, 1.0]])
    return transforms.inverse(camera_model)


def registered(model: Any, keyframes: KeyframeMap) -> list[tuple[Keyframe, Any]]:
    """The keyframes that have a pose in the model, and their images."""
    known = set(model.reg_image_ids())
    return [
        (keyframe, model.images[image_id(number)])
        for number, keyframe in enumerate(keyframes)
        if image_id(number) in known
    ]


def add_model(keyframes: KeyframeMap, model: Any, folder: Path, scale: float) -> Iterator[int]:
    """Make each registered image of a COLMAP model a keyframe, with the model's points.

    Keypoints near a model's pixel take its point; the others are triangulated, as those of any
    keyframe without depth.

    Args:
        keyframes: the map to add to.
        model: a pycolmap.Reconstruction.
        folder: of the model's images.
        scale: meters of one unit of the model.

    Yields:
        Each new keyframe's id.

    Raises:
        MappingError: an image is missing or lies outside of the folder, or a camera has no
            equivalent.
        RecordingError: an image cannot be read.
    """
    features_of(keyframes)
    cameras = {i: from_colmap(camera) for i, camera in model.cameras.items()}
    by_name = {image.name: image for image in model.images.values()}
    for name, pose in camera_poses(model).items():
        image, file = by_name[name], (folder / name).resolve()
        if not file.is_file() or not file.is_relative_to(folder.resolve()):
            raise MappingError(f"image {name} of the model is not in {folder}: name its folder")
        frame = Frame(read_rgb(file), cameras[image.camera_id], _stamp(name))
        described = feature_description(keyframes.front_end.describe(frame))
        observed = observations(model, image)
        points, sigma = _keypoint_points(described, observed, frame)
        scaled = pose.copy()
        scaled[:3, 3] *= scale
        yield keyframes.add(
            frame, scaled, described.with_points((points * scale).astype(np.float32), sigma)
        )


@dataclass(frozen=True)
class Observations:
    """The points of a model that one image shows.

    Attributes:
        keypoint: (N,) rows of the image's keypoints.
        pixels: (N, 2) our pixels.
        depth: (N,) along the optical axis [units of the model].
        sigma: (N,) relative standard deviation of the depth.
    """

    keypoint: NDArray[np.int64]
    pixels: NDArray[np.float64]
    depth: NDArray[np.float64]
    sigma: NDArray[np.float64]


def observations(model: Any, image: Any) -> Observations:
    """What one image of a pycolmap.Reconstruction shows, points behind it left out."""
    camera_world = image.cam_from_world().matrix()
    focal = float(model.cameras[image.camera_id].mean_focal_length())
    rows, pixels, depths, sigmas = [], [], [], []
    for row, pixel in enumerate(image.points2D):
        if not pixel.has_point3D():
            continue
        point = model.points3D[pixel.point3D_id]
        depth = float(camera_world[2] @ [*point.xyz, 1.0])
        if depth > 0:
            others = (model.images[e.image_id] for e in point.track.elements)
            sigmas.append(_depth_sigma(image, others, point.xyz, focal))
            rows.append(row)
            pixels.append(pixel.xy - CENTER)
            depths.append(depth)
    return Observations(
        np.array(rows, np.int64),
        np.array(pixels).reshape(-1, 2),
        np.array(depths),
        np.array(sigmas),
    )


def _depth_sigma(
    image: Any, others: Iterator[Any], point: NDArray[np.float64], focal: float
) -> float:
    """Relative deviation of a point's depth by the angles under which other images see it."""
    center = image.projection_center()
    ray = point - center
    length = np.linalg.norm(ray)
    information = 0.0
    for other in others:
        away = point - other.projection_center()
        distance = np.linalg.norm(away)
        sine = np.linalg.norm(np.cross(ray, away)) / (length * distance)
        # Pixels that the point's image moves by, for a change of its depth by its whole length.
        information += (focal * sine * length / distance / _PIXEL_SIGMA) ** 2 / 2.0
    return float(min(information**-0.5, _SINGLE_VIEW_SIGMA)) if information else _SINGLE_VIEW_SIGMA


def _keypoint_points(
    described: FeatureDescription, observed: Observations, frame: Frame
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points (N, 3) of keypoints near a model's pixel, and their deviations; NaN elsewhere."""
    depth = np.full(len(described), np.nan)
    sigma = np.full(len(described), np.nan, np.float32)
    if len(observed.depth) and len(described):
        apart, nearest = KDTree(observed.pixels).query(described.keypoints)
        near = apart < _SAME_PIXEL
        depth[near] = observed.depth[nearest[near]]
        sigma[near] = observed.sigma[nearest[near]]
    assert frame.camera is not None
    points = frame.camera.unproject(described.keypoints, depth).astype(np.float32)
    return points, np.where(np.isfinite(points).all(1), sigma, np.float32(np.nan))


def _stamp(name: str) -> int:
    """The time [ns] that a file is named by, 0 where it is named otherwise."""
    seconds, _, rest = Path(name).stem.partition(".")
    if not (seconds.isdecimal() and rest.isdecimal() and len(rest) <= 9 and len(seconds) <= 10):
        return 0
    return int(seconds) * 10**9 + int(rest.ljust(9, "0"))


def scale_between(poses: Mapping[str, Pose], one: str, other: str, meters: float) -> float:
    """Meters of a unit of a model, from the distance between two of its images.

    Raises:
        MappingError: an image is not there, the two are at one place, or meters is not positive.
    """
    for name in (one, other):
        if name not in poses:
            known = ", ".join(list(poses)[:3])
            raise MappingError(f"no image {name} with a pose: they are called {known}, ...")
    distance = transforms.distance(poses[one], poses[other])
    if distance <= 0 or not meters > 0:
        raise MappingError(
            f"{one} and {other} are {distance:g} units apart, {meters:g} m: choose two images "
            "that are apart, and the distance between their cameras"
        )
    return meters / distance
