# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A benchmark's figures for people: our row beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mast3r_ros.drawing import curves, page
from mast3r_ros.drawing.page import Table
from mast3r_ros.evaluation.benchmarks.base import Record

# Figures in [0, 1] are shown as they are in the papers.
_UNITS = {"_px": ("px", 1), "_ms": ("ms", 2), "_mm": ("mm", 3), "_m": ("m", 2), "_deg": ("°", 2)}
_COUNTS = ("queries", "pairs", "matches", "scans", "points")


def figures_table(summary: Mapping[str, Any]) -> Table:
    """A line for each figure, a column for this run and one for each published row."""
    figures, published = summary["figures"], summary["published"]
    rows = [
        [
            _title(name),
            _show(name, value),
            *(_show(name, row.get(name)) for row in published.values()),
        ]
        for name, value in figures.items()
    ]
    return Table(["", "this run", *published], rows)


def write_report(
    path: Path,
    summary: Mapping[str, Any],
    records: Sequence[Record],
    plots: Mapping[str, bytes],
) -> None:
    """Write the page; `plots` are the benchmark's own.

    Raises:
        OSError: the file cannot be written.
    """
    said = [f"{k.replace('_', ' ')} {v}" for k, v in summary.items() if isinstance(v, str | int)]
    sections = [page.table(figures_table(summary))]
    shown = {**plots, **_errors(records)}
    if shown:
        sections += [page.heading("Plots"), page.plots(shown)]
    sections += [
        page.heading("Options and versions"),
        page.table(Table(["", ""], [[k, str(v)] for k, v in _settings(summary)], names=2)),
    ]
    page.write_page(path, f"Benchmark: {summary['benchmark']}", ", ".join(said), sections)


def _settings(summary: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(k, v) for name in ("options", "versions") for k, v in summary[name].items()]


def _errors(records: Sequence[Record]) -> dict[str, bytes]:
    """Share of all queries by their error, one plot for each kind of error."""
    plots = {}
    for name in ("translation_m", "rotation_deg", "direction_deg", "vcre_px"):
        known = np.sort([r[name] for r in records if name in r])
        if len(known):
            share = np.arange(1, len(known) + 1) / len(records)
            plots[f"share of queries by {_title(name)}"] = curves.cumulative(
                known, share, _title(name)
            )
    return plots


def _title(name: str) -> str:
    for suffix, (unit, _) in _UNITS.items():
        if name.endswith(suffix) and not name.startswith("within"):
            return f"{name.removesuffix(suffix)} [{unit}]"
    return name.replace("_", " ")


def _show(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name.endswith(_COUNTS):
        return str(int(value))
    for suffix, (_, digits) in _UNITS.items():
        if name.endswith(suffix) and not name.startswith("within"):
            return f"{value:.{digits}f}" if np.isfinite(value) else "none"
    return f"{100 * value:.1f} %"
