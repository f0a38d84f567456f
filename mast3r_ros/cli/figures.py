# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How an evaluation ends: figures as JSON, a table, a report, and files of its queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mast3r_ros.cli.output import console, print_table, write_json
from mast3r_ros.common.options import check, option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mast3r_ros.evaluation.pose_error import Bound
    from mast3r_ros.evaluation.report import Row

_PICTURES = 4


@dataclass(frozen=True)
class FigureOptions:
    """What is measured, and what is written of it."""

    truth_sigma: tuple[float, float] | None = option(
        None,
        "Standard deviation of the true poses, for each axis [m] [degrees]; NEES is reported with "
        "and without it",
    )
    report: Path | None = option(None, "Write a page with plots and pictures (HTML)")
    queries: Path | None = option(None, "Write one line per query (.csv or .json)")
    trajectory: Path | None = option(
        None, "Write the estimated poses in the TUM format; one file per row"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.truth_sigma is not None and min(self.truth_sigma) < 0:
            raise ValueError(f"truth_sigma = {self.truth_sigma}: must not be negative")

    @property
    def pictures(self) -> int:
        """Pictures of a kind; none without a report."""
        return 0 if self.report is None else _PICTURES

    @property
    def truth_covariance(self) -> NDArray[np.float64] | None:
        """(6, 6) of the true poses [m, rad]."""
        import numpy as np

        if self.truth_sigma is None:
            return None
        meters, degrees = self.truth_sigma
        return np.diag(np.repeat([meters**2, np.deg2rad(degrees) ** 2], 3))


def conclude(
    rows: Sequence[Row],
    bounds: Sequence[Bound],
    about: Mapping[str, Any],
    options: FigureOptions,
    json: Path | None,
    title: str = "Relocalization: an evaluation",
) -> None:
    """Write everything that the options ask for, and print the table.

    Args:
        rows: at least one.
        bounds: finest first; beyond the last one, a pose is wrong.
        about: what else belongs to the figures, by JSON key.
        options: where things are written.
        json: where the figures are written; standard output if None.
        title: of the report.
    """
    from mast3r_ros.evaluation.files import write_queries, write_trajectory
    from mast3r_ros.evaluation.report import figures_table, write_report

    truth = options.truth_covariance
    found = [{**row.labels, **row.figures} for row in rows]
    # A single row's figures are the object's own keys, too.
    alone = found[0] if len(found) == 1 else {}
    write_json({**about, "truth_sigma": options.truth_sigma, **alone, "rows": found},
               Path("-") if json is None else json)  # fmt: skip
    print_table("", figures_table(rows, bounds))
    for row in rows:
        for heading, table in row.details.items():
            print_table(heading, table)
    if options.queries is not None:
        write_queries(options.queries, rows, truth)
    if options.trajectory is not None:
        for row in rows:
            write_trajectory(_trajectory_file(options.trajectory, row, rows), row.outcomes)
    if options.report is not None:
        write_report(options.report, title, _lead(about), rows, bounds, truth_covariance=truth)
        console.print(f"Report: {options.report}")


def _lead(about: Mapping[str, Any]) -> str:
    """What was evaluated, in a line: `every 8, map from desk, with depth`."""
    words = []
    for key, value in about.items():
        name = key.replace("_", " ")
        if isinstance(value, bool):
            words.append(f"{'with' if value else 'without'} {name}")
        elif value is not None and not isinstance(value, dict):
            words.append(f"{name} {value}")
    return ", ".join(words)


def _trajectory_file(path: Path, row: Row, rows: Sequence[Row]) -> Path:
    """The file itself, or with several rows one with the row's labels in its name."""
    if len(rows) == 1:
        return path
    name = "_".join("".join(c if c.isalnum() else "-" for c in v) for v in row.labels.values())
    return path.with_name(f"{path.stem}_{name}{path.suffix}")
