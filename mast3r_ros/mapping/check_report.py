# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The page of a check: where a robot gets lost, for the team that is to trust the map."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.drawing import page
from mast3r_ros.drawing.floor_plan import FloorPlan, draw_floor_plan
from mast3r_ros.drawing.page import Picture, Table
from mast3r_ros.drawing.plots import seen_from_above
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe import Keyframe, decode_thumbnail
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping import checking
from mast3r_ros.mapping.checking import Place
from mast3r_ros.mapping.expected_strength import over_floor_plan

# Cells of the heat map, along its longer side.
_CELLS = 120
# What the floor plan shows around the keyframes [m].
_MARGIN = 1.0
_PICTURES = 6


def write_report(path: Path, keyframes: KeyframeMap, places: Sequence[Place], name: str) -> None:
    """Write a page: figures, advice, a heat map over the floor plan, pairs and weak places.

    Args:
        path: of the HTML file.
        keyframes: the map.
        places: of its check.
        name: of the map, for the headline.

    Raises:
        OSError: the file cannot be written.
    """
    figures = checking.summary(places)
    refused = figures["checked"] - figures["localized"]
    pairs = checking.fooling_pairs(places)
    error = figures["median_error_m"]
    facts = {
        "keyframes checked": str(figures["checked"]),
        "localized by the others": str(figures["localized"]),
        "refused": str(refused),
        "wrong": str(figures["wrong"]),
        "pairs that fool each other": str(len(pairs)),
        "without a neighbor": str(figures["without_neighbor"]),
        "median error": "-" if error is None else f"{100 * error:.1f} cm",
    }
    advice = "".join(f"<li>{escape(line)}</li>" for line in checking.advice(places))
    lead = "Each keyframe was localized in the map without itself. Where that fails, a robot that "
    lead += "looks at the place from elsewhere may fail, too."
    sections = [
        page.tiles(facts),
        page.heading("What to do"),
        f"<ul>{advice}</ul>",
        page.heading("Floor plan"),
        page.plots({"strength over the floor plan": _plan(keyframes, places, pairs)}),
        page.heading("Keyframes, the weakest first"),
        page.table(_table(places)),
        page.gallery("Pairs that fool each other", _pair_pictures(keyframes, pairs)),
        page.gallery("Weakest places", _weak_pictures(keyframes, places)),
    ]
    page.write_page(path, f"Check of {name}", lead, sections)


def floor_points(keyframes: KeyframeMap) -> NDArray[np.float64]:
    """(N, 3) known points of all keyframes [m], in the map; none of front ends without."""
    found = [np.zeros((0, 3))]
    for keyframe in keyframes:
        points = getattr(keyframe.description, "points", None)
        if points is not None:
            flat = np.asarray(points, np.float64).reshape(-1, 3)
            found.append(transforms.apply(keyframe.pose, flat[np.isfinite(flat).all(1)]))
    return np.concatenate(found)


def _plan(
    keyframes: KeyframeMap, places: Sequence[Place], pairs: Sequence[tuple[int, int, int]]
) -> bytes:
    poses = np.array([k.pose for k in keyframes])
    numbers = {k.id: i for i, k in enumerate(keyframes)}
    plane, flipped = seen_from_above(poses)
    at = poses[:, plane, 3]
    low, high = at.min(0) - _MARGIN, at.max(0) + _MARGIN
    cells = np.maximum((_CELLS * (high - low) / (high - low).max()).astype(int), 2)
    axes = [np.linspace(low[i], high[i], cells[i]) for i in (0, 1)]
    grid = np.stack(np.meshgrid(*axes), -1)
    lost = {p.keyframe_id for p in places if not p.strength}
    return draw_floor_plan(
        FloorPlan(
            plane,
            flipped,
            poses,
            [str(k.id) for k in keyframes],
            floor_points(keyframes),
            over_floor_plan(places, grid, plane),
            (low[0], high[0], low[1], high[1]),
            np.array([k.id in lost for k in keyframes]),
            [(numbers[a], numbers[b]) for a, b, _ in pairs],
        )
    )


def _table(places: Sequence[Place]) -> Table:
    weakest = sorted(places, key=lambda p: p.strength)
    rows = [
        [
            str(p.keyframe_id),
            "wrong" if p.wrong else p.answer.message,
            f"{p.strength:.2f}",
            f"{100 * p.position_m:.1f}" if p.answer.localized else "",
            f"{np.rad2deg(p.rotation_rad):.2f}" if p.answer.localized else "",
            str(p.answer.inliers),
            str(p.neighbors),
        ]
        for p in weakest
    ]
    columns = ("keyframe", "", "strength", "position error [cm]", "orientation error [°]")
    bad = {i for i, p in enumerate(weakest) if not p.strength}
    return Table([*columns, "inliers", "neighbors"], rows, names=2, bad=bad)


def _pair_pictures(keyframes: KeyframeMap, pairs: Sequence[tuple[int, int, int]]) -> list[Picture]:
    pictures = []
    for one, other, count in pairs[:_PICTURES]:
        first, second = keyframes[one], keyframes[other]
        apart = transforms.distance(first.pose, second.pose)
        pictures.append(
            Picture(
                f"{one} and {other}:",
                f"{count} matches agree, {apart:.1f} m apart",
                np.hstack([_thumbnail(first), _thumbnail(second)]),
            )
        )
    return pictures


def _weak_pictures(keyframes: KeyframeMap, places: Sequence[Place]) -> list[Picture]:
    weakest = sorted(places, key=lambda p: p.strength)[:_PICTURES]
    return [
        Picture(
            f"{p.keyframe_id}:",
            p.answer.message,
            decode_thumbnail(keyframes[p.keyframe_id].thumbnail),
        )
        for p in weakest
    ]


def _thumbnail(keyframe: Keyframe) -> NDArray[np.uint8]:
    """A thumbnail of a fixed height, so that two fit side by side."""
    return page.of_height(decode_thumbnail(keyframe.thumbnail), 240)
