# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`map build --poses none` where structure from motion fails, but the images have depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from mast3r_ros.cli.output import console, progress

if TYPE_CHECKING:
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap


def place_by_depth(
    unposed: KeyframeMap, pairs: Sequence[tuple[int, int]], ids: Mapping[str, int], known: int
) -> tuple[KeyframeMap, dict[str, Any]] | None:
    """A map of images that are localized in one another by their depth, and what is known of it.

    None where this places no more images than `known`, or cannot run here; says why.

    Args:
        unposed: all images, at the origin.
        pairs: of them that may show one place.
        ids: of all images, by their names.
        known: so many have a pose without depth.
    """
    from mast3r_ros.localization.options import RelocalizerOptions
    from mast3r_ros.mapping.depth_poses import poses_from_depth
    from mast3r_ros.mapping.extra import MappingError, MissingExtraError
    from mast3r_ros.mapping.loop_closure import find_closures
    from mast3r_ros.mapping.scale import SENSOR_SCALE

    links = find_closures(unposed, pairs, RelocalizerOptions())
    try:
        tied = poses_from_depth(unposed, progress(links, "Localizing by depth", len(pairs)))
    except (MappingError, MissingExtraError) as error:
        console.print(escape(f"no poses from depth: {error}"))
        return None
    if len(tied.keyframes) <= known:
        console.print(
            f"by depth, {len(tied.keyframes)} images are localized: no more than without depth"
        )
        return None
    left = left_out(tied.keyframes, ids)
    console.print(
        escape(
            f"structure from motion registers {known} images; by depth, {len(tied.keyframes)} of "
            f"{len(ids)} are localized in each other: {tied.believed} of {tied.links} pairs are "
            "consistent; scale from depth" + (f"; not localized: {', '.join(left)}" if left else "")
        )
    )
    return tied.keyframes, {
        "registered": len(tied.keyframes),
        "not_registered": left,
        "links": tied.links,
        "links_believed": tied.believed,
        "scale_source": "depth of images that are localized in one another",
        "scale_sigma": SENSOR_SCALE,
        "scale_sure": True,
    }


def left_out(keyframes: KeyframeMap, ids: Mapping[str, int]) -> list[str]:
    """Names of the images that have no pose."""
    placed = {k.id for k in keyframes}
    return [name for name, i in ids.items() if i not in placed]
