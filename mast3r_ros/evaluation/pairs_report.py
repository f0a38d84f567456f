# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The figures of pairs for people: what a single table has no room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mast3r_ros.drawing.page import Table
from mast3r_ros.evaluation.pairs import GUESS
from mast3r_ros.evaluation.report import number, percent

Figures = Mapping[str, Any]
_POSE_COLUMNS = (
    "pairs", "localized", "wrong", "50 cm, 10°", "10 cm, 2°", "rotation", "position", "direction"
)  # fmt: skip


def comparison(figures: Mapping[str, Figures]) -> Table:
    """A line for each figure, a column for each front end."""
    return Table(
        ["", *figures],
        [
            [label, *(_show(found, path, factor, unit) for found in figures.values())]
            for label, path, factor, unit in _FIGURES
        ],
    )


def bins(name: str, found: Figures) -> dict[str, Table]:
    """The figures of one front end by overlap and by confidence, by heading."""
    tables: dict[str, tuple[Sequence[str], list[list[str]]]] = {
        f"{name}: by overlap": (
            ["", *_POSE_COLUMNS, "match error", "right"],
            [[_range(b, 1), *_pose_cells(b), *_match_cells(b)] for b in found["overlap_bins"]],
        ),
        f"{name}: accepted poses by confidence": (
            ["", *_POSE_COLUMNS],
            [[_range(b, 3), *_pose_cells(b)] for b in found["confidence_bins"] if name != GUESS],
        ),
        f"{name}: matches by confidence": (
            ["", "matches", "match error", "right"],
            [
                [_range(b, 3), str(b["matches"]), *_match_cells(b)]
                for b in found["match_calibration"]["bins"]
            ],
        ),
    }
    return {title: Table(columns, rows) for title, (columns, rows) in tables.items() if rows}


def _range(bounds: Mapping[str, float], digits: int) -> str:
    return f"{bounds['from']:.{digits}f} to {bounds['to']:.{digits}f}"


def _pose_cells(poses: Figures) -> list[str]:
    return [
        str(poses["queries"]),
        percent(poses["localized"]),
        str(poses["wrong_accepted"]),
        percent(poses["within_50cm_10deg"]),
        percent(poses["within_10cm_2deg"]),
        number(poses["median_rotation_deg"], 1, "°"),
        number(poses["median_translation_m"], 100, "cm"),
        number(poses.get("median_direction_deg"), 1, "°"),
    ]


def _match_cells(matches: Figures) -> list[str]:
    return [number(matches["median_px"], 1, "px"), percent(matches["right_share"])]


def _show(found: Figures, path: str, factor: float, unit: str) -> str:
    value: Any = found
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return percent(value) if unit == "%" else number(value, factor, unit)


# Label, where the figure is, and how it is shown.
_FIGURES: list[tuple[str, str, float, str]] = [
    ("pairs", "queries", 1, ""),
    ("localized", "localized", 1, "%"),
    ("wrong, accepted", "wrong_accepted", 1, ""),
    ("within 50 cm, 10°", "within_50cm_10deg", 1, "%"),
    ("within 10 cm, 2°", "within_10cm_2deg", 1, "%"),
    ("median rotation error", "median_rotation_deg", 1, "°"),
    ("median position error", "median_translation_m", 100, "cm"),
    ("median direction error", "median_direction_deg", 1, "°"),
    ("metric ratio", "metric_ratio", 1, ""),
    ("median NEES (5.35 is exact)", "nees.median", 1, ""),
    ("95th percentile of NEES (12.6)", "nees.p95", 1, ""),
    ("unchecked: within 50 cm, 10°", "unchecked.within_50cm_10deg", 1, "%"),
    ("unchecked: within 10 cm, 2°", "unchecked.within_10cm_2deg", 1, "%"),
    ("unchecked: median rotation error", "unchecked.median_rotation_deg", 1, "°"),
    ("unchecked: median position error", "unchecked.median_translation_m", 100, "cm"),
    ("unchecked: metric ratio", "unchecked.metric_ratio", 1, ""),
    ("AUC at 5°", "auc_5deg", 1, "%"),
    ("AUC at 10°", "auc_10deg", 1, "%"),
    ("AUC at 20°", "auc_20deg", 1, "%"),
    ("matches a pair", "matches.median_count", 1, ""),
    ("median match error", "matches.median_px", 1, "px"),
    ("mean match error", "matches.mean_px", 1, "px"),
    ("median match error, of the longer side", "matches.median_of_side", 1, "%"),
    ("matches within 1 px", "matches.within_1px", 1, "%"),
    ("matches within 2 px", "matches.within_2px", 1, "%"),
    ("matches within 5 px", "matches.within_5px", 1, "%"),
    ("matches within 10 px", "matches.within_10px", 1, "%"),
    ("right matches (1 % of the longer side)", "matches.right_share", 1, "%"),
    ("right matches, of the inliers", "matches.kept_right_share", 1, "%"),
    ("confidence to pose error, rank correlation", "confidence.spearman", 1, ""),
    ("AUC of precision over recall", "confidence.precision_recall_auc", 1, "%"),
    ("confidence to match error, rank correlation", "match_calibration.spearman", 1, ""),
    ("median time", "latency_ms.total", 1, "ms"),
]
