# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A dense cloud of reconstructed images, and the files that show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.drawing import page
from mast3r_ros.drawing.clouds import SCRIPT, STYLE, Cloud, DrawnCamera, cloud_html
from mast3r_ros.frontends.base import Description, FrontEnd, densely
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.thinning import thinned
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping.cloud_files import colors_at, write_ply
from mast3r_ros.mapping.colmap_model import model_pose, registered
from mast3r_ros.mapping.dense import MIN_PARALLAX, DensePoints, DenseView, dense_points
from mast3r_ros.mapping.extra import MappingError, library
from mast3r_ros.mapping.options import DenseOptions
from mast3r_ros.mapping.reconstruction import map_from_model
from mast3r_ros.mapping.scale import Scale

CLOUD, MODEL, PAGE = "cloud.ply", "sparse/0", "cloud.html"
_BLUE = "#0969da"
# A page with more points is slow to turn.
_DRAWN = 150_000
# How large a point is drawn, as an angle seen from the first camera [rad].
_POINT_SIZE = 0.006


@dataclass(frozen=True)
class ColoredCloud:
    """Points of many images.

    Attributes:
        points: (N, 3) [m] in the map.
        colors: (N, 3) RGB.
    """

    points: NDArray[np.float32]
    colors: NDArray[np.uint8]


def neighbors(model: Any, count: int) -> dict[int, list[int]]:
    """For each registered image of a model, those that share most of its points, best first.

    A point counts where the two images see it under an angle that is worth a triangulation.

    Args:
        model: a pycolmap.Reconstruction.
        count: of neighbors at the most.

    Returns:
        Image ids by image id.
    """
    centers = {i: model.images[i].projection_center() for i in model.reg_image_ids()}
    shared: Counter[tuple[int, int]] = Counter()
    for point in model.points3D.values():
        seen = sorted({element.image_id for element in point.track.elements})
        rays = np.array([centers[i] - point.xyz for i in seen])
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        apart = rays @ rays.T < np.cos(MIN_PARALLAX)
        shared.update(
            (seen[a], seen[b]) for a, b in combinations(range(len(seen)), 2) if apart[a, b]
        )
    found: dict[int, list[int]] = {i: [] for i in centers}
    for (one, other), _ in shared.most_common():
        for a, b in ((one, other), (other, one)):
            if len(found[a]) < count:
                found[a].append(b)
    return found


def triangulated(
    model: Any,
    keyframes: KeyframeMap,
    descriptions: Mapping[int, Description],
    front_end: FrontEnd,
    options: DenseOptions,
) -> Iterator[tuple[int, DensePoints]]:
    """The dense points of each registered image, in the model's frame and unit.

    Args:
        model: of `reconstruction.register`.
        keyframes: that it was made of.
        descriptions: of their images by `front_end`, by the keyframes' ids.
        front_end: whose matches are triangulated; its densest ones are taken.
        options: how many images must agree, and the like.

    Yields:
        The keyframe's id and its points, an image at a time.
    """
    views: dict[int, DenseView] = {}
    ids: dict[int, int] = {}
    for keyframe, image in registered(model, keyframes):
        assert keyframe.camera is not None
        pose = model_pose(image)
        views[image.image_id] = DenseView(descriptions[keyframe.id], keyframe.camera, pose)
        ids[image.image_id] = keyframe.id
    matcher = densely(front_end)
    for image_id, others in neighbors(model, options.dense_neighbors).items():
        if others:
            some = [views[i] for i in others]
            yield ids[image_id], dense_points(views[image_id], some, matcher, options)


def colored_cloud(
    found: Mapping[int, DensePoints],
    keyframes: KeyframeMap,
    map_model: Pose,
    meters: float,
    spacing: float,
) -> ColoredCloud:
    """The points of all images in the map.

    Args:
        found: by the keyframes' ids, in the model's unit.
        keyframes: their thumbnails give the colors.
        map_model: see `reconstruction.map_from_model`.
        meters: of the unit.
        spacing: smallest distance between two points [m]; 0 keeps all.

    Raises:
        MappingError: no image has a point.
    """
    points = np.concatenate([np.zeros((0, 3)), *(dense.points for dense in found.values())])
    if not len(points):
        raise MappingError(
            "no pixel has a point on which enough images agree: take more images, from places "
            "apart, or allow a smaller --dense-agree or a larger --dense-sigma"
        )
    colors = np.concatenate([colors_at(keyframes[i], dense.pixels) for i, dense in found.items()])
    points = transforms.apply(map_model, meters * points)
    kept = thinned(points, spacing) if spacing else np.arange(len(points))
    return ColoredCloud(points[kept].astype(np.float32), colors[kept])


def write_dense(
    folder: Path,
    cloud: ColoredCloud,
    keyframes: KeyframeMap,
    unposed: KeyframeMap,
    model: Any,
    scale: Scale,
    names: Mapping[int, str],
) -> None:
    """Write the cloud, the model and a page that shows both.

    FOLDER/cloud.ply     the cloud, binary
    FOLDER/sparse/0      the model as COLMAP's, in meters and in the map's frame
    FOLDER/cloud.html    the cloud with the cameras, for people

    Args:
        folder: made where it does not exist.
        cloud: of `colored_cloud`.
        keyframes: those with poses in the map.
        unposed: that the model was made of.
        model: is moved into the map's frame.
        scale: its meters.
        names: of the images, by the keyframes' ids.

    Raises:
        OSError: a file cannot be written.
    """
    (folder / MODEL).mkdir(parents=True, exist_ok=True)
    write_ply(folder / CLOUD, cloud.points, cloud.colors)
    for keyframe, image in registered(model, unposed):
        image.name = names[keyframe.id]
    pycolmap, map_model = library("pycolmap"), map_from_model(unposed, model, scale)
    rotation = pycolmap.Rotation3d(map_model[:3, :3])
    model.transform(pycolmap.Sim3d(scale.meters, rotation, map_model[:3, 3]))
    model.write(folder / MODEL)
    _write_page(folder / PAGE, cloud, keyframes, scale)


def _write_page(path: Path, cloud: ColoredCloud, keyframes: KeyframeMap, scale: Scale) -> None:
    every = keyframes.in_order()
    # The axes of a page's clouds are a camera's: the first one's here.
    camera_map = transforms.inverse(every[0].pose)
    shown = np.random.default_rng(0).permutation(len(cloud.points))[:_DRAWN]
    cameras = [
        DrawnCamera("cameras", _BLUE, camera_map @ k.pose, k.camera) for k in every if k.camera
    ]
    points = transforms.apply(camera_map, cloud.points[shown])
    drawn = Cloud(points, cloud.colors[shown], cameras, _POINT_SIZE)
    low, high = np.percentile(cloud.points, (1, 99), axis=0)
    facts = {
        "images": str(len(every)),
        "points": f"{len(cloud.points):,}",
        "extent": " x ".join(f"{side:.1f}" for side in high - low) + " m",
        "metric scale known to": f"{scale.sigma:.1%}" if scale.sigma else "as given",
    }
    sections = [
        f"<style>{STYLE}</style>",
        page.tiles(facts),
        f"<figure>{cloud_html(drawn)}</figure>",
        SCRIPT,
    ]
    page.write_page(path, "Dense reconstruction", f"{scale}.", sections)
