# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Runs a benchmark into a run directory; killed at any moment, it resumes where it was.

RUN/run.json        what was asked for, and the versions of what answered
RUN/results.jsonl   one line a query, in the order in which they were answered
RUN/...             files that belong to a query, such as clouds, written before its line
RUN/summary.json    the figures, written when every query has its line
RUN/report.html     the same for people
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import numpy as np

from mast3r_ros.evaluation.benchmarks import rendered
from mast3r_ros.evaluation.benchmarks.base import Benchmark, BenchmarkError, Record, Task

_RUN, _RESULTS, _SUMMARY = "run.json", "results.jsonl", "summary.json"
_PACKAGES = ("mast3r_ros", "numpy", "opencv-python-headless", "poselib", "torch", "onnxruntime")


class RunFolder:
    """The files of one run."""

    def __init__(self, folder: Path, asked: dict[str, Any]) -> None:
        """Begin a run, or resume it.

        Args:
            folder: made where it does not exist.
            asked: what belongs to the figures; a run is resumed with the same alone.

        Raises:
            BenchmarkError: the folder holds a run of something else, or a damaged one.
            OSError: it cannot be written.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / _RUN
        # As it comes back from the file: tuples become lists.
        asked = json.loads(json.dumps(asked))
        if file.is_file():
            _require_same(file, asked)
        else:
            _replace(file, json.dumps({**asked, "versions": versions()}, indent=2) + "\n")
        self.records = self._read()

    @property
    def results(self) -> Path:
        """The file of the records."""
        return self.folder / _RESULTS

    def _read(self) -> dict[str, Record]:
        """Records by query; a last line that was cut off is dropped, and answered again."""
        if not self.results.is_file():
            return {}
        records: dict[str, Record] = {}
        whole = 0
        with self.results.open("rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                try:
                    record = json.loads(line)
                    records[record["query"]] = record
                except (ValueError, KeyError, TypeError) as error:
                    raise BenchmarkError(
                        f"{self.results}, line {len(records) + 1} is damaged: delete it, or start "
                        "in another --out"
                    ) from error
                whole += len(line)
        os.truncate(self.results, whole)
        return records

    def append(self, records: Iterator[Record]) -> Iterator[Record]:
        """Write each record as soon as it is there, its files first; yields it without them."""
        with self.results.open("a") as stream:
            for answered in records:
                record = dict(answered)
                for name, content in record.pop("files", {}).items():
                    _replace(self.folder / name, content)
                _write_line(stream, record)
                self.records[record["query"]] = record
                yield record

    def conclude(self, summary: dict[str, Any]) -> None:
        """Write the figures."""
        _replace(self.folder / _SUMMARY, json.dumps(summary, indent=2) + "\n")


def limited(tasks: Sequence[Task], limit: int) -> list[Task]:
    """The first queries of all tasks, as many as a smoke run wants; 0 for all."""
    chosen, left = [], limit or sum(len(task.queries) for task in tasks)
    for task in tasks:
        if left <= 0:
            break
        chosen.append(Task(task.name, task.queries[:left]))
        left -= len(chosen[-1].queries)
    return chosen


def remaining(tasks: Sequence[Task], done: dict[str, Record]) -> list[Task]:
    """What is left to do of each task."""
    left = (Task(t.name, tuple(q for q in t.queries if q not in done)) for t in tasks)
    return [task for task in left if task.queries]


def summary_of(
    benchmark: Benchmark, tasks: Sequence[Task], records: dict[str, Record], asked: dict[str, Any]
) -> dict[str, Any]:
    """The figures of a finished run: the same however often it was interrupted."""
    ordered = [records[query] for task in tasks for query in task.queries]
    errors = [r for r in ordered if "error" in r]
    return {
        **asked,
        "versions": versions(),
        "figures": {k: _finite(v) for k, v in benchmark.summarize(ordered).items()},
        "seconds": round(sum(r.get("seconds", 0.0) for r in ordered), 1),
        "unreadable": len(errors),
        "first_unreadable": errors[0]["error"] if errors else None,
        # Of other images than the benchmark's own, the papers say nothing.
        "published": {}
        if asked.get("data") == rendered.NAME
        else {row.name: dict(row.figures) for row in benchmark.published()},
    }


def _finite(value: float | None) -> float | None:
    """JSON knows no infinity: the median of errors is one where most queries have no pose."""
    return value if value is not None and np.isfinite(value) else None


def versions() -> dict[str, str]:
    """Of the packages that figures depend on."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def _require_same(file: Path, asked: dict[str, Any]) -> None:
    try:
        before = json.loads(file.read_text())
    except ValueError as error:
        raise BenchmarkError(f"{file} is damaged: start in another --out") from error
    for name, value in asked.items():
        if before.get(name) != value:
            raise BenchmarkError(
                f"{file.parent} holds a run with {name} = {before.get(name)!r}, not {value!r}: "
                "resume it with the same options, or start in another --out"
            )


def _write_line(stream: IO[str], record: Record) -> None:
    stream.write(json.dumps(record) + "\n")
    # Flushed to the kernel: a killed process loses nothing that it has answered.
    stream.flush()


def _replace(file: Path, content: str | bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    part.replace(file)
