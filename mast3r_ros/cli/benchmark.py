# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `benchmark`: a published benchmark on its own data, resumable."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mast3r_ros.cli.localize import RELOCALIZER_PANEL
from mast3r_ros.cli.options import OFFLINE, Ray, Workers, text, with_options
from mast3r_ros.cli.output import JsonFile, console, print_table, progress, write_json
from mast3r_ros.evaluation.benchmarks.options import BenchmarkOptions
from mast3r_ros.localization.options import RelocalizerOptions


@with_options(benchmark_options="Which part of the data", options=RELOCALIZER_PANEL)
def benchmark(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help=text(
                "One of mapfree, co3d, re10k, aachen, inloc, 7scenes, tum, dtu, "
                "fast-matching, ablations."
            ),
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help=text(
                "The benchmark's data, as its own archives unpack; or worlds: 50 rendered rooms in "
                "the layout of mapfree or re10k, to try it."
            ),
        ),
    ],
    benchmark_options: BenchmarkOptions,
    options: RelocalizerOptions = OFFLINE,
    front_end: Annotated[
        str,
        typer.Option(
            "--front-end",
            metavar="NAME",
            help=text(
                "sift, xfeat, mast3r, mast3r=CHECKPOINT, loftr, or no-motion, the guess that the "
                "camera has not moved."
            ),
        ),
    ] = "mast3r",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help=text(
                "Run directory; resumes from its results. By default runs/NAME_FRONT-END_SPLIT."
            ),
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=0, help=text("Only the first N queries; 0: all."))
    ] = 0,
    ray: Ray = None,
    workers: Workers = 0,
    json: JsonFile = None,
) -> None:
    """Run a published benchmark on its own data, beside the paper's figures."""
    from mast3r_ros.evaluation.benchmarks import rendered, runner
    from mast3r_ros.evaluation.benchmarks.answer import make_solver
    from mast3r_ros.evaluation.benchmarks.registry import open_benchmark
    from mast3r_ros.evaluation.benchmarks.report import figures_table, write_report

    folder = out or Path("runs") / f"{name}_{_slug(front_end)}_{benchmark_options.split}"
    opened = data
    if str(data) == rendered.NAME and name in rendered.LAYOUTS:
        opened = rendered.render(name, benchmark_options, folder.parent)
    chosen = open_benchmark(name, opened, benchmark_options)
    solver = make_solver(front_end, options, benchmark_options)
    asked = {
        "benchmark": name,
        "data": str(data),
        "front_end": front_end,
        "fingerprint": solver.front_end.fingerprint if solver.front_end else "",
        "limit": limit,
        "match_by": benchmark_options.match_by,
        "options": {**chosen.about(), **asdict(options)},
    }
    tasks = runner.limited(chosen.tasks(), limit)
    run = runner.RunFolder(folder, asked)
    left = runner.remaining(tasks, run.records)
    if ray is not None:
        from mast3r_ros.evaluation.benchmarks import cluster

        plan = cluster.Plan(name, opened.resolve(), benchmark_options, front_end, options)
        records = cluster.answers(plan, left, ray, workers)
    else:
        records = (r for task in left for r in chosen.answered(task, task.queries, solver))
    count = sum(len(task.queries) for task in left)
    if run.records:
        console.print(f"Resuming: {len(run.records)} queries are done, {count} are left")
    for _ in progress(run.append(records), f"{name}, {front_end}", count):
        pass
    summary = runner.summary_of(chosen, tasks, run.records, asked)
    run.conclude(summary)
    ordered = [run.records[query] for task in tasks for query in task.queries]
    write_report(folder / "report.html", summary, ordered, chosen.plots(ordered))
    print_table("", figures_table(summary))
    for file in chosen.submit(ordered, folder):
        console.print(f"Submission: {file}")
    if summary["unreadable"]:
        console.print(
            f"{summary['unreadable']} queries could not be read; the first: "
            f"{summary['first_unreadable']}"
        )
    console.print(f"Run: {folder} (summary.json, report.html, results.jsonl)")
    write_json(summary, json)


def _slug(front_end: str) -> str:
    """A front end's name as part of a folder's name."""
    return "".join(c if c.isalnum() or c in "-." else "-" for c in front_end)
