# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Aachen Day-Night v1.1 (Zhang et al., IJCV 2021): a city by day and by night.

DIR/images_upright/{db,query}/...                            images
DIR/3D-models/aachen_v_1_1                                   a COLMAP model of those in db
DIR/queries/{day,night}_time_queries_with_intrinsics.txt     see `datasets.hloc`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.hloc import ListedQuery, read_queries
from mast3r_ros.datasets.images import read_rgb
from mast3r_ros.evaluation.benchmarks.base import BenchmarkError
from mast3r_ros.evaluation.benchmarks.visual_localization import Query, VisualLocalization
from mast3r_ros.evaluation.pose_error import Bound
from mast3r_ros.frame import Frame
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.mapping.colmap_camera import camera_of, from_colmap
from mast3r_ros.mapping.colmap_model import Observations, model_pose, observations, read_model

_IMAGES, _MODEL = "images_upright", "3D-models/aachen_v_1_1"
_LIST = "_time_queries_with_intrinsics.txt"
# Around a pixel of the model, its depth is taken to be the same [pixels]: features of another kind
# lie beside, and a network sees every third pixel of these images.
_REACH = 4


class Aachen(VisualLocalization):
    """Database images have the poses and points of the data set's own model."""

    name = "aachen"
    text = "Aachen Day-Night v1.1: queries by day and night against retrieved images"
    data_hint = (
        "Download Aachen Day-Night v1.1 (images, query lists and COLMAP model, some tens of "
        "gigabytes) from visuallocalization.net, and agree to its terms for non-commercial "
        "research there; DIR holds images_upright, 3D-models and queries"
    )
    bounds = (Bound.of(0.25, 2.0), Bound.of(0.5, 5.0), Bound.of(5.0, 10.0))
    main_figure = f"day {bounds[0].key}"
    groups = ("day", "night")
    rows: ClassVar = {
        "MASt3R (paper)": {
            1: ((79.6, 93.5, 98.7), (70.2, 88.0, 97.4)),
            20: ((83.4, 95.3, 99.4), (76.4, 91.6, 100.0)),
        },
        "hloc (SuperPoint, LightGlue)": {None: ((89.6, 95.4, 98.8), (86.7, 93.9, 100.0))},
    }

    def queries(self) -> Mapping[str, Query]:
        """Of both lists."""
        return {
            listed.name: Query(file.name.removesuffix(_LIST), partial(self._load, listed))
            for file in sorted((self.data / "queries").glob(f"*{_LIST}"))
            for listed in read_queries(file)
        }

    def _load(self, listed: ListedQuery) -> Frame:
        camera = camera_of(listed.name, listed.model, listed.size, listed.parameters)
        return Frame(read_rgb(self.data / _IMAGES / listed.name), camera)

    @cached_property
    def _model(self) -> Any:
        folder = self.data / _MODEL
        if not folder.is_dir():
            raise self.missing(f"there is no {folder}")
        return read_model(folder)

    @cached_property
    def _images(self) -> dict[str, Any]:
        by_number = (self._model.images[i] for i in self._model.reg_image_ids())
        return {image.name: image for image in sorted(by_number, key=lambda image: image.name)}

    def database(self) -> Sequence[str]:
        """Images that have a pose in the model."""
        return list(self._images)

    def reference(self, name: str) -> tuple[Frame, Pose]:
        """An image, its depth around the points of the model that it shows, and its pose."""
        if name not in self._images:
            raise BenchmarkError(f"{self.data / _MODEL} has no image {name} with a pose")
        image = self._images[name]
        pixels = read_rgb(self.data / _IMAGES / name)
        depth = sparse_depth(observations(self._model, image), pixels.shape[:2])
        camera = from_colmap(self._model.cameras[image.camera_id])
        return Frame(pixels, camera, depth=depth), model_pose(image)


def sparse_depth(seen: Observations, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Depth (H, W) [m] around the pixels of a model's points, NaN elsewhere; the nearest wins."""
    depth = np.full(shape, np.nan, np.float32)
    reach = np.arange(-_REACH, _REACH + 1)
    down, across = (offsets.ravel() for offsets in np.meshgrid(reach, reach, indexing="ij"))
    apart = np.hypot(down, across)
    centers = np.rint(seen.pixels).astype(int)
    # Of two points, the one whose pixel is nearer is written last.
    for i in np.argsort(-apart, kind="stable"):
        if apart[i] > _REACH:
            continue
        column, row = centers[:, 0] + across[i], centers[:, 1] + down[i]
        inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
        depth[row[inside], column[inside]] = seen.depth[inside]
    return depth
