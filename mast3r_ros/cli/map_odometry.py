# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`map build --poses odometry`: a map of images whose poses drift."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mast3r_ros.cli.output import console, progress
from mast3r_ros.cli.refining import refine_map
from mast3r_ros.mapping.options import OdometryMapOptions, RefineOptions, SelectionOptions

if TYPE_CHECKING:
    from mast3r_ros.datasets.recording import PosedImage
    from mast3r_ros.frontends.base import FrontEnd
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.mapping.describing import Describe
    from mast3r_ros.mapping.spill import Spill

ODOMETRY_PANEL = "How poses are straightened (--poses odometry)"
SELECTION_PANEL = "Which images become keyframes (--poses given and odometry)"


def straightened_map(
    images: Iterable[PosedImage],
    front_end: FrontEnd,
    depth: bool,
    count: int,
    selection: SelectionOptions,
    options: OdometryMapOptions,
    spill: Spill,
    describe: Describe[PosedImage] | None = None,
) -> tuple[KeyframeMap, dict[str, Any]]:
    """A map of the selected images, straightened by loop closures and refined.

    Args:
        images: in the order of time, with odometry's poses.
        count: number of images.
        spill: for keyframes that do not fit into memory.
        describe: as in `selection.add_selected`.
    """
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.localization.options import RelocalizerOptions
    from mast3r_ros.mapping import loop_closure
    from mast3r_ros.mapping.extra import library
    from mast3r_ros.mapping.selection import add_selected

    # What is missing is said before the work, not after it.
    library("gtsam")
    drifting = KeyframeMap(front_end)
    added = add_selected(drifting, images, depth, selection, describe=describe)
    for _ in progress(spill.over(drifting, added), "Describing", count):
        pass
    pairs = loop_closure.closure_pairs(drifting, options)
    found = loop_closure.find_closures(drifting, pairs, RelocalizerOptions())
    closures = progress(found, "Closing loops", len(pairs))
    straight = loop_closure.straighten(drifting, closures, options)
    facts = straight.as_dict()
    console.print(
        f"{straight.closures} of {len(pairs)} similar pairs are localized in each other, "
        f"{len(straight.believed)} are consistent; keyframes moved by "
        f"{100 * facts['moved_median_m']:.1f} cm (median), "
        f"at most {100 * facts['moved_max_m']:.1f} cm"
    )
    # What the graph does not believe, a refinement need not find out again.
    refined = refine_map(straight.keyframes, RefineOptions(), straight.believed)
    return refined.keyframes, {"loop_closures": facts, "refinement": refined.as_dict()}
