# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The figures of pairs for people: tables of every front end side by side, and match pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mast3r_ros.datasets.recording import PosedPair
from mast3r_ros.drawing.matches import draw_matches
from mast3r_ros.evaluation.pairs import GUESS
from mast3r_ros.evaluation.pairs_metrics import PairOutcome
from mast3r_ros.evaluation.report import Picture, gallery, percent, table, write_page
from mast3r_ros.localization.result import Localization

Summaries = Mapping[str, dict[str, Any]]
_UNKNOWN = "-"
_PICTURES = 4
_POSE_COLUMNS = (
    "pairs", "accepted", "wrong", "10°, 50 cm", "2°, 10 cm", "rotation", "position", "direction"
)  # fmt: skip


def figures_table(summaries: Summaries) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the figures: one column a front end."""
    return ["", *summaries], [
        [label, *(show(summary) for summary in summaries.values())] for label, show in _FIGURES
    ]


def detail_tables(summaries: Summaries) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Headings, columns and rows of the bins of each front end."""
    for name, summary in summaries.items():
        rows = [[_range(b, 1), *_pose_cells(b), *_match_cells(b)] for b in summary["overlap_bins"]]
        if rows:
            yield f"{name}: by overlap", ["", *_POSE_COLUMNS, "match error", "right"], rows
        rows = [[_range(b, 3), *_pose_cells(b)] for b in summary["calibration"]["bins"]]
        if rows and name != GUESS:
            yield f"{name}: accepted poses by confidence", ["", *_POSE_COLUMNS], rows
        bins = summary["match_calibration"]["bins"]
        rows = [[_range(b, 3), str(b["matches"]), *_match_cells(b)] for b in bins]
        if rows:
            columns = ["", "matches", "match error", "right"]
            yield f"{name}: matches by confidence", columns, rows


class Album:
    """Match pictures of each front end: typical ones, the worst accepted, refused ones."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[tuple[float, Picture]]] = {}

    def consider(
        self, name: str, pair: PosedPair, outcome: PairOutcome, answer: Localization
    ) -> None:
        """Keep a picture if it is among the first, or among the worst so far."""
        if not answer.matches:
            return
        if outcome.pose is None:
            self._keep(f"{name}: refused", 0.0, pair, outcome, answer)
            return
        self._keep(f"{name}: accepted", 0.0, pair, outcome, answer)
        self._keep(f"{name}: largest errors", outcome.excess, pair, outcome, answer)

    def _keep(
        self,
        kind: str,
        rank: float,
        pair: PosedPair,
        outcome: PairOutcome,
        answer: Localization,
    ) -> None:
        kept = self._kinds.setdefault(kind, [])
        if len(kept) == _PICTURES and rank <= kept[-1][0]:
            return
        kept.append((rank, picture(pair, outcome, answer)))
        kept.sort(key=lambda entry: -entry[0])
        del kept[_PICTURES:]

    def pictures(self) -> Iterator[tuple[str, list[Picture]]]:
        """By heading."""
        for kind, kept in sorted(self._kinds.items()):
            yield kind, [kept_one for _, kept_one in kept]


def write_pairs_report(path: Path, lead: str, summaries: Summaries, album: Album) -> None:
    """Write the page.

    Raises:
        OSError: the file cannot be written.
    """
    sections = [
        table("Figures", *figures_table(summaries)),
        *(table(*parts) for parts in detail_tables(summaries)),
        *(gallery(heading, pictures) for heading, pictures in album.pictures()),
    ]
    write_page(path, "Pairs of images: an evaluation", lead, sections)


def picture(pair: PosedPair, outcome: PairOutcome, answer: Localization) -> Picture:
    """The matches of a pair."""
    match = answer.matches[0]
    image = draw_matches(
        pair.reference.image,
        pair.query.image,
        match.correspondences.reference_pixels,
        match.correspondences.query_pixels,
        match.inliers,
    )
    errors = ""
    if outcome.pose is not None:
        errors = f"{100 * outcome.translation_error:.1f} cm, {outcome.rotation_error:.2f}° off; "
    shared = f"{100 * pair.overlap:.0f} % shared"
    return Picture(pair.name, f"{shared}; {errors}{answer.message}", image)


def _percent(share: float | None) -> str:
    return _UNKNOWN if share is None else percent(share)


def number(value: float | None, factor: float, unit: str) -> str:
    """A figure as people read it."""
    return _UNKNOWN if value is None else f"{_digits(factor * value)} {unit}".rstrip()


def _digits(value: float) -> str:
    """Three of them, more where they stand before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _range(bounds: Mapping[str, float], digits: int) -> str:
    return f"{bounds['from']:.{digits}f} to {bounds['to']:.{digits}f}"


def _pose_cells(poses: Mapping[str, Any]) -> list[str]:
    return [
        str(poses["pairs"]),
        _percent(poses["accepted"]),
        _percent(poses["wrong_accepted"]),
        _percent(poses["within_50cm_10deg"]),
        _percent(poses["within_10cm_2deg"]),
        number(poses["median_rotation_deg"], 1, "°"),
        number(poses["median_translation_m"], 100, "cm"),
        number(poses["median_direction_deg"], 1, "°"),
    ]


def _match_cells(matches: Mapping[str, Any]) -> list[str]:
    return [number(matches["median_px"], 1, "px"), _percent(matches["right_share"])]


def _of(key: str, *inner: str) -> Callable[[dict[str, Any]], Any]:
    def get(summary: dict[str, Any]) -> Any:
        value = summary[key]
        for name in inner:
            value = value[name]
        return value

    return get


def _as_percent(get: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], str]:
    return lambda summary: _percent(get(summary))


def _as_number(
    get: Callable[[dict[str, Any]], Any], factor: float = 1.0, unit: str = ""
) -> Callable[[dict[str, Any]], str]:
    return lambda summary: number(get(summary), factor, unit)


_FIGURES: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
    ("pairs", _as_number(_of("pairs"))),
    ("accepted", _as_percent(_of("accepted"))),
    ("wrong, accepted", _as_percent(_of("wrong_accepted"))),
    ("within 10°, 50 cm", _as_percent(_of("within_50cm_10deg"))),
    ("within 2°, 10 cm", _as_percent(_of("within_10cm_2deg"))),
    ("median rotation error", _as_number(_of("median_rotation_deg"), 1, "°")),
    ("median position error", _as_number(_of("median_translation_m"), 100, "cm")),
    ("median direction error", _as_number(_of("median_direction_deg"), 1, "°")),
    ("metric ratio", _as_number(_of("metric_ratio"))),
    ("error over covariance (5.3 is honest)", _as_number(_of("median_normalized_error"))),
    ("unchecked: within 10°, 50 cm", _as_percent(_of("unchecked", "within_50cm_10deg"))),
    ("unchecked: within 2°, 10 cm", _as_percent(_of("unchecked", "within_10cm_2deg"))),
    (
        "unchecked: median rotation error",
        _as_number(_of("unchecked", "median_rotation_deg"), 1, "°"),
    ),
    (
        "unchecked: median position error",
        _as_number(_of("unchecked", "median_translation_m"), 100, "cm"),
    ),
    ("unchecked: metric ratio", _as_number(_of("unchecked", "metric_ratio"))),
    ("AUC at 5°", _as_percent(_of("auc_5deg"))),
    ("AUC at 10°", _as_percent(_of("auc_10deg"))),
    ("AUC at 20°", _as_percent(_of("auc_20deg"))),
    ("matches a pair", _as_number(_of("matches", "median_count"))),
    ("median match error", _as_number(_of("matches", "median_px"), 1, "px")),
    ("mean match error", _as_number(_of("matches", "mean_px"), 1, "px")),
    ("median match error, of the longer side", _as_percent(_of("matches", "median_of_side"))),
    *(
        (f"matches within {limit} px", _as_percent(_of("matches", f"within_{limit}px")))
        for limit in (1, 2, 5, 10)
    ),
    ("right matches (1 % of the longer side)", _as_percent(_of("matches", "right_share"))),
    ("right matches, of those kept", _as_percent(_of("matches", "kept_right_share"))),
    ("confidence to pose error, rank correlation", _as_number(_of("calibration", "spearman"))),
    ("AUC of precision over recall", _as_percent(_of("calibration", "precision_recall_auc"))),
    (
        "confidence to match error, rank correlation",
        _as_number(_of("match_calibration", "spearman")),
    ),
    ("median time", _as_number(_of("median_ms"), 1, "ms")),
]
