# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`map build --poses none`: a map of images whose poses nobody knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from mast3r_ros.cli.map_by_depth import left_out, place_by_depth
from mast3r_ros.cli.output import console, progress
from mast3r_ros.mapping.options import DenseOptions, ReconstructionOptions

if TYPE_CHECKING:
    from mast3r_ros.datasets.recording import PosedImage
    from mast3r_ros.frame import Frame
    from mast3r_ros.frontends.base import Description, FrontEnd
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.mapping.dense import DensePoints
    from mast3r_ros.mapping.describing import Describe
    from mast3r_ros.mapping.scale import Scale
    from mast3r_ros.mapping.spill import Spill

RECONSTRUCTION_PANEL = "How poses are reconstructed (--poses none)"
DENSE_PANEL = "Dense cloud (--dense)"
# Of a model with fewer of the images, depth may know more.
_ENOUGH = 0.9


@dataclass
class DenseRequest:
    """What `--dense` asks for, and what has come of it so far.

    Attributes:
        front_end: whose matches are triangulated.
        options: how.
        folder: for the cloud, the model and the page.
        descriptions: of the images by `front_end`, by the keyframes' ids.
        found: points of the registered images, likewise.
    """

    front_end: FrontEnd
    options: DenseOptions
    folder: Path
    descriptions: dict[int, Description] = field(default_factory=dict)
    found: dict[int, DensePoints] = field(default_factory=dict)


def reconstruct_map(
    images: Iterable[PosedImage],
    front_end: FrontEnd,
    depth: bool,
    count: int,
    options: ReconstructionOptions,
    scale_from: tuple[str, str, float] | None,
    spill: Spill,
    dense: DenseRequest | None = None,
    describe: Describe[PosedImage] | None = None,
) -> tuple[KeyframeMap, dict[str, Any]]:
    """A map of all the images that can be registered, and what is known of it.

    Args:
        count: number of images.
        scale_from: names of two images and the distance of their cameras [m]; None takes the
            meters from depth, or where there is none, from the points that the front end of a
            dense cloud predicts.
        spill: for keyframes that do not fit into memory.
        dense: also make a dense cloud, and write it.
        describe: as in `reconstruction.describe`.
    """
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.mapping import reconstruction
    from mast3r_ros.mapping import scale as scales
    from mast3r_ros.mapping.extra import MappingError, library
    from mast3r_ros.mapping.pairs import features_of, match_pairs, similar_pairs, verified

    # What is missing is said before the work, not after it.
    library("pycolmap")
    unposed = KeyframeMap(front_end)
    chosen = features_of(unposed)
    added = spill.over(unposed, reconstruction.describe(unposed, images, depth, describe))
    ids = _described(progress(added, "Describing", count), dense)
    scales.check_meters(unposed, ids, scale_from, dense is not None)
    every = unposed.in_order()
    pairs = similar_pairs(unposed, options.alike, options.successors)
    matches = progress(match_pairs(every, pairs, chosen), "Matching", len(pairs))
    sure = list(verified(every, matches, chosen, options.seed))
    # A model that is given its meters, or is wanted itself, has to be one.
    helps = scale_from is None and dense is None and scales.has_depth(unposed)
    try:
        model = reconstruction.register(unposed, sure, options)
    except MappingError:
        placed = place_by_depth(unposed, pairs, ids, 0) if helps else None
        if placed is None:
            raise
        return placed
    if helps and model.num_reg_images() < _ENOUGH * len(unposed):
        placed = place_by_depth(unposed, pairs, ids, model.num_reg_images())
        if placed is not None:
            return placed
    if dense is not None:
        _triangulate(dense, unposed, model)
    if scale_from is not None:
        scale = scales.scale_from_distance(model, unposed, ids, *scale_from)
    elif scales.has_depth(unposed):
        scale = scales.scale_from_depth(model, unposed)
        posed = reconstruction.posed(unposed, model, scale)
        try:
            scale = scales.scale_fitted_to_depth(posed, unposed, sure, scale)
        except MappingError:
            placed = place_by_depth(unposed, pairs, ids, 0) if helps else None
            if placed is None:
                raise
            return placed
    else:
        assert dense is not None
        scale = scales.scale_from_network(
            [figure for points in dense.found.values() for figure in points.meters]
        )
    keyframes = reconstruction.posed(unposed, model, scale)
    left = left_out(keyframes, ids)
    error = float(model.compute_mean_reprojection_error())
    console.print(
        escape(
            f"{len(keyframes)} of {len(unposed)} images registered, mean reprojection error "
            f"{error:.2f} pixels; {scale}"
            + (f"; not registered: {', '.join(left)}" if left else "")
        )
    )
    about = {} if dense is None else _write(dense, keyframes, unposed, model, scale, ids)
    return keyframes, {
        "registered": len(keyframes),
        "not_registered": left,
        "reprojection_error_px": error,
        "points": int(model.num_points3D()),
        "scale_source": scale.source,
        "scale_sigma": scale.sigma,
        "scale_sure": scale.sure,
        **about,
    }


def _described(
    added: Iterable[tuple[int, str, Frame]], dense: DenseRequest | None
) -> dict[str, int]:
    """Ids of all images by their names; describes them for a dense cloud as they are added."""
    ids: dict[str, int] = {}
    for keyframe_id, name, frame in added:
        ids[name] = keyframe_id
        if dense is not None:
            # Depth stays out of it: a sensor's points would take the place of predicted ones.
            bare = replace(frame, depth=None)
            dense.descriptions[keyframe_id] = dense.front_end.describe(bare)
    return ids


def _triangulate(dense: DenseRequest, unposed: KeyframeMap, model: Any) -> None:
    from mast3r_ros.mapping.dense_cloud import triangulated

    points = triangulated(model, unposed, dense.descriptions, dense.front_end, dense.options)
    count = int(model.num_reg_images())
    dense.found.update(progress(points, "Triangulating pixels", count))


def _write(
    dense: DenseRequest,
    keyframes: KeyframeMap,
    unposed: KeyframeMap,
    model: Any,
    scale: Scale,
    ids: dict[str, int],
) -> dict[str, Any]:
    """Write the cloud, the model and the page; returns what is known of them."""
    from mast3r_ros.mapping.dense_cloud import colored_cloud, write_dense
    from mast3r_ros.mapping.reconstruction import map_from_model

    map_model = map_from_model(unposed, model, scale)
    spacing = dense.options.dense_spacing
    cloud = colored_cloud(dense.found, unposed, map_model, scale.meters, spacing)
    names = {keyframe_id: name for name, keyframe_id in ids.items()}
    write_dense(dense.folder, cloud, keyframes, unposed, model, scale, names)
    console.print(escape(f"{len(cloud.points)} points in {dense.folder} (cloud.ply, cloud.html)"))
    return {"dense_points": len(cloud.points), "dense_folder": str(dense.folder)}
