# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A page that shows a map: its floor plan and what its keyframes saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mast3r_ros.drawing import page
from mast3r_ros.drawing.floor_plan import FloorPlan, draw_floor_plan
from mast3r_ros.drawing.page import Picture
from mast3r_ros.drawing.plots import seen_from_above
from mast3r_ros.keyframes.keyframe import Keyframe, decode_thumbnail
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping.check_report import floor_points
from mast3r_ros.mapping.extra import MappingError

# A page with more pictures is slow to open.
_PICTURES = 200


def write_page(path: Path, keyframes: KeyframeMap, name: str) -> None:
    """Write the page: figures, a floor plan, and the thumbnails of up to 200 keyframes.

    Args:
        path: of the HTML file.
        keyframes: the map.
        name: of the map, for the headline.

    Raises:
        MappingError: the map is empty.
        OSError: the file cannot be written.
    """
    every = keyframes.in_order()
    if not every:
        raise MappingError("the map holds no keyframes: there is nothing to show")
    poses = np.array([k.pose for k in every])
    plane, flipped = seen_from_above(poses)
    points = floor_points(keyframes)
    plan = FloorPlan(plane, flipped, poses, [str(k.id) for k in every], points)
    extent = np.ptp(poses[:, :3, 3], axis=0)
    facts = {
        "keyframes": str(len(every)),
        "with depth": str(sum(k.sensed for k in every)),
        "known points": str(len(points)),
        "extent": " x ".join(f"{side:.1f}" for side in extent) + " m",
        "front end": keyframes.front_end.name,
    }
    shown = np.unique(np.linspace(0, len(every) - 1, min(len(every), _PICTURES)).astype(int))
    sections = [
        page.tiles(facts),
        page.heading("Floor plan"),
        page.plots({"keyframes on the floor plan": draw_floor_plan(plan)}),
        page.gallery("Keyframes", [_picture(every[i]) for i in shown]),
    ]
    page.write_page(path, f"Map {name}", "Keyframes, where they look, and known points.", sections)


def _picture(keyframe: Keyframe) -> Picture:
    position = ", ".join(f"{value:.2f}" for value in keyframe.pose[:3, 3])
    known = ""
    if keyframe.covariance is not None:
        sigma = np.sqrt(np.diag(keyframe.covariance)[:3].max())
        known = f", known to {100 * sigma:.1f} cm"
    return Picture(
        f"{keyframe.id}:", f"at {position} m{known}", decode_thumbnail(keyframe.thumbnail)
    )
