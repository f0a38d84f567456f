# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Evaluations for people: one table with a row each, and a page with plots and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.drawing import calibration as calibration_plots
from mast3r_ros.drawing import page, plots
from mast3r_ros.drawing.page import Picture, Table
from mast3r_ros.evaluation.calibration import precision_recall
from mast3r_ros.evaluation.outcome import Outcome
from mast3r_ros.evaluation.pose_error import Bound
from mast3r_ros.geometry.transforms import Pose

UNKNOWN = "-"


@dataclass(frozen=True)
class Row:
    """One evaluation: some queries, one front end, one map.

    Attributes:
        labels: what tells it from the other rows, by column.
        outcomes: of the queries.
        figures: of `summarize`; empty where only the outcomes are shown.
        keyframes: their poses by id.
        names: of the keyframes, where they have better ones than their id.
        pictures: by the heading that they stand under.
        details: more tables, by heading.
    """

    labels: Mapping[str, str]
    outcomes: Sequence[Outcome]
    figures: Mapping[str, Any] = field(default_factory=dict)
    keyframes: Mapping[int, Pose] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    pictures: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    details: Mapping[str, Table] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The labels in one line."""
        return ", ".join(self.labels.values())


def figures_table(rows: Sequence[Row], bounds: Sequence[Bound]) -> Table:
    """A line for each row: recall, wrong poses, errors, NEES, latency."""
    columns = _columns(rows, bounds)
    labels = list(rows[0].labels)
    return Table(
        [*labels, *columns],
        [[*row.labels.values(), *(show(row.figures) for show in columns.values())] for row in rows],
        names=len(labels),
        bad={i for i, row in enumerate(rows) if row.figures["wrong_accepted"]},
    )


def _columns(
    rows: Sequence[Row], bounds: Sequence[Bound]
) -> dict[str, Callable[[Mapping[str, Any]], str]]:
    """How each column shows the figures of a row."""
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "queries": lambda f: str(f["queries"]),
        "localized": lambda f: percent(f["localized"]),
        **{b.label: lambda f, key=b.key: percent(f[key]) for b in bounds},  # type: ignore[misc]
        "wrong": lambda f: str(f["wrong_accepted"]),
        "median": lambda f: number(f["median_translation_m"], 100, "cm"),
        "angle": lambda f: number(f["median_rotation_deg"], 1, "°"),
        "NEES median": lambda f: number(f["nees"]["median"]),
        "p95": lambda f: number(f["nees"]["p95"]),
        "in 95 %": lambda f: percent(f["nees"]["coverage_95"]),
    }
    if any("nees_with_truth_sigma" in row.figures for row in rows):
        columns["with truth's sigma: median"] = lambda f: number(
            f["nees_with_truth_sigma"]["median"]
        )
        columns["in 95 % "] = lambda f: percent(f["nees_with_truth_sigma"]["coverage_95"])
    columns["decodes"] = lambda f: number(f["mean_decodes"])
    columns["time"] = lambda f: number(f["latency_ms"].get("total"), 1, "ms")
    return columns


def filtered_table(figures: Mapping[str, Any]) -> Table:
    """One line: a trajectory by odometry and fixes, see `filtered.trajectory_figures`."""
    driven = figures["driven_between_fixes_m"]
    shown = {
        "first fix": number(figures["seconds_to_first_fix"], 1, "s"),
        "localized": percent(figures["localized"]),
        "driven between fixes": number(driven["median"], 1, "m"),
        "at the most": number(driven["largest"], 1, "m"),
        "ATE": number(figures["ate_m"], 100, "cm"),
        "angle": number(figures["ate_deg"], 1, "°"),
        "RPE over 1 s": number(figures["rpe_m"], 100, "cm"),
        "its angle": number(figures["rpe_deg"], 1, "°"),
        "NEES mean": number(figures["nees"]),
        "in 95 %": percent(figures["coverage"]),
    }
    return Table(list(shown), [list(shown.values())], names=0)


def scale_table(figures: Mapping[str, Any]) -> dict[str, Table]:
    """One line, see `summary.scale_figures`; nothing where no pair of images was looked at."""
    if not figures["samples"]:
        return {}
    shown = [
        number(figures["factor"]),
        "" if figures["sigma"] is None else percent(figures["sigma"]),
        str(figures["samples"]),
    ]
    columns = ["factor", "known to", "pairs of images"]
    return {"Predicted points, scaled by odometry": Table(columns, [shown], names=0)}


def queries_table(row: Row, bounds: Sequence[Bound]) -> Table:
    """A line for each query."""
    cells, bad = [], set()
    for i, outcome in enumerate(row.outcomes):
        error, keyframe = outcome.error, outcome.keyframe
        if not error.within(bounds[-1]):
            bad.add(i)
        cells.append(
            [
                outcome.name,
                "" if keyframe is None else row.names.get(keyframe, str(keyframe)),
                "" if outcome.localized else f"refused: {outcome.message}",
                f"{100 * error.translation_m:.2f}" if outcome.localized else "",
                f"{error.rotation_deg:.2f}" if outcome.localized else "",
                number(outcome.nees()) if outcome.localized else "",
                str(outcome.inliers),
                f"{1e3 * outcome.seconds:.0f}",
            ]
        )
    columns = ("query", "keyframe", "", "position error [cm]", "orientation error [°]", "NEES")
    return Table([*columns, "inliers", "time [ms]"], cells, names=3, bad=bad)


def write_report(
    path: Path,
    title: str,
    lead: str,
    rows: Sequence[Row],
    bounds: Sequence[Bound],
    facts: Mapping[str, str] | None = None,
    truth_covariance: NDArray[np.float64] | None = None,
) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        title, lead: at the top of it.
        rows: one section each.
        bounds: finest first; beyond the last one, a pose is wrong.
        facts: figures at the top, by name, in place of the table.
        truth_covariance: as in `summarize`.

    Raises:
        OSError: the file cannot be written.
    """
    head = page.tiles(facts) if facts else page.table(figures_table(rows, bounds))
    sections = [head]
    for row in rows:
        sections += _sections(row, bounds, truth_covariance)
    page.write_page(path, title, lead, sections)


def _sections(
    row: Row, bounds: Sequence[Bound], truth_covariance: NDArray[np.float64] | None
) -> list[str]:
    return [
        page.heading(row.title),
        page.plots(_plots(row, bounds, truth_covariance)),
        *(page.heading(name) + page.table(table) for name, table in row.details.items()),
        f"<details{' open' * (len(row.outcomes) < 100)}><summary>{escape('Queries')}</summary>"
        f"{page.table(queries_table(row, bounds))}</details>",
        *(page.gallery(name, pictures) for name, pictures in row.pictures.items()),
    ]


def _plots(
    row: Row, bounds: Sequence[Bound], truth_covariance: NDArray[np.float64] | None
) -> dict[str, bytes]:
    """SVG by what it shows."""
    accepted = [o for o in row.outcomes if o.localized]
    right = [o.error.within(bounds[-1]) for o in accepted]
    shown: dict[str, bytes] = {}
    if row.keyframes:
        shown["keyframes and poses from above"] = _top_view(row, bounds[-1])
    shown["histograms of the errors"] = plots.histograms(
        [
            plots.Histogram(
                "position error [cm]",
                [100 * o.error.translation_m for o in accepted],
                [100 * bound.translation_m for bound in bounds],
            ),
            plots.Histogram(
                "orientation error [degrees]",
                [o.error.rotation_deg for o in accepted],
                [float(np.rad2deg(bound.rotation_rad)) for bound in bounds],
            ),
        ]
    )
    curves = {"NEES": np.array([o.nees() for o in accepted])}
    if truth_covariance is not None:
        curves["with the truth's sigma"] = np.array([o.nees(truth_covariance) for o in accepted])
    curves = {name: values[np.isfinite(values)] for name, values in curves.items()}
    if len(curves["NEES"]):
        shown["quantiles of NEES against chi-square"] = calibration_plots.nees_quantiles(curves)
    if accepted and row.figures:
        curve = precision_recall([o.confidence for o in accepted], right, len(row.outcomes))
        shown["precision over recall"] = calibration_plots.precision_recall(
            curve.recall, curve.precision
        )
        bins = row.figures["confidence"]["reliability"]
        shown["reliability of the confidence"] = calibration_plots.reliability(
            *(np.array([b[key] for b in bins]) for key in ("confidence", "right", "poses"))
        )
    return shown


def _top_view(row: Row, bound: Bound) -> bytes:
    nowhere = np.full((4, 4), np.nan)
    return plots.top_view(
        np.array([o.truth for o in row.outcomes]),
        np.array([nowhere if o.pose is None else o.pose for o in row.outcomes]),
        np.array([not o.error.within(bound) for o in row.outcomes]),
        np.array(list(row.keyframes.values())),
        [row.names.get(keyframe, str(keyframe)) for keyframe in row.keyframes],
    )


def percent(share: float | None) -> str:
    """A fraction as people read it."""
    return UNKNOWN if share is None else f"{100 * share:.1f} %"


def number(value: float | None, factor: float = 1.0, unit: str = "") -> str:
    """A figure as people read it: three digits, more where they stand before the point."""
    if value is None or not np.isfinite(value):
        return UNKNOWN
    scaled = factor * value
    return (
        f"{scaled:.0f} {unit}".rstrip() if abs(scaled) >= 100 else f"{scaled:.3g} {unit}".rstrip()
    )
