# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A refinement with a bar of progress and a report, for each verb that ends in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from mast3r_ros.cli.output import console, progress
from mast3r_ros.mapping.options import RefineOptions

if TYPE_CHECKING:
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.mapping.refinement import Refinement

REFINE_PANEL = "How keyframes are adjusted"


def refine_map(
    keyframes: KeyframeMap, options: RefineOptions, pairs: Sequence[tuple[int, int]] = ()
) -> Refinement:
    """Refine a map with a bar of progress, and say what came of it.

    Args:
        keyframes: the map.
        options: how it is refined.
        pairs: numbers of keyframes that see the same things; those that look alike if none.
    """
    from mast3r_ros.mapping import refinement

    pairs = pairs or refinement.candidate_pairs(keyframes, options)
    matches = progress(refinement.matched_pairs(keyframes, pairs), "Matching", len(pairs))
    found = refinement.refine(keyframes, matches, options)
    console.print(escape("\n".join(_lines(found))))
    return found


def _lines(found: Refinement) -> list[str]:
    facts = found.as_dict()
    lines = [
        f"{len(found.agreeing)} pairs of keyframes agree, {len(found.contradicting)} contradict "
        "the others",
        f"median reprojection error: {found.before_px:.2f} pixels before, {found.after_px:.2f} "
        "after",
        f"keyframes moved by {100 * facts['moved_median_m']:.1f} cm and "
        f"{facts['moved_median_deg']:.2f} degrees in the median, "
        f"{100 * facts['moved_max_m']:.1f} cm and {facts['moved_max_deg']:.2f} degrees at the most",
    ]
    return lines + [f"keyframe {i}: {why}" for i, why in found.suspicious.items()]
