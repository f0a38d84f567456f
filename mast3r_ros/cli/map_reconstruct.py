# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`map build --poses none`: a map of images whose poses nobody knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from mast3r_ros.cli.output import console, progress
from mast3r_ros.mapping.options import ReconstructionOptions

if TYPE_CHECKING:
    from mast3r_ros.datasets.recording import PosedImage
    from mast3r_ros.frontends.base import FrontEnd
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap

RECONSTRUCTION_PANEL = "How poses are reconstructed (--poses none)"


def reconstruct_map(
    images: Iterable[PosedImage],
    front_end: FrontEnd,
    depth: bool,
    count: int,
    options: ReconstructionOptions,
    scale_from: tuple[str, str, float] | None,
) -> tuple[KeyframeMap, dict[str, Any]]:
    """A map of all the images that can be registered, and what is known of it.

    Args:
        count: number of images.
        scale_from: names of two images and the distance of their cameras [m]; None takes the
            meters from depth.
    """
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.mapping import reconstruction
    from mast3r_ros.mapping.extra import library
    from mast3r_ros.mapping.pairs import features_of, match_pairs, similar_pairs, verified

    # What is missing is said before the work, not after it.
    library("pycolmap")
    unposed = KeyframeMap(front_end)
    chosen = features_of(unposed)
    described = progress(reconstruction.describe(unposed, images, depth), "Describing", count)
    ids = {name: keyframe_id for keyframe_id, name in described}
    reconstruction.check_meters(unposed, ids, scale_from)
    descriptions = [k.description for k in unposed]
    pairs = similar_pairs(descriptions, options.alike, options.successors)
    matches = progress(match_pairs(descriptions, pairs, chosen), "Matching", len(pairs))
    sure = list(verified(list(unposed), matches, chosen, options.seed))
    model = reconstruction.register(unposed, sure, options)
    if scale_from is None:
        scale = reconstruction.scale_from_depth(model, unposed)
    else:
        scale = reconstruction.scale_from_distance(model, unposed, ids, *scale_from)
    keyframes = reconstruction.posed(unposed, model, scale)
    if scale_from is None:
        scale = reconstruction.scale_fitted_to_depth(keyframes, unposed, sure, scale)
        keyframes = reconstruction.posed(unposed, model, scale)
    registered = {k.id for k in keyframes}
    left = [name for name, i in ids.items() if i not in registered]
    error = float(model.compute_mean_reprojection_error())
    console.print(
        escape(
            f"{len(keyframes)} of {len(unposed)} images registered, mean reprojection error "
            f"{error:.2f} pixels; {scale}"
            + (f"; not registered: {', '.join(left)}" if left else "")
        )
    )
    return keyframes, {
        "registered": len(keyframes),
        "not_registered": left,
        "reprojection_error_px": error,
        "points": int(model.num_points3D()),
        "scale_source": scale.source,
        "scale_sigma": scale.sigma,
    }
