# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a benchmark is: tasks with queries, a record a query, figures of all records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mast3r_ros.common.errors import UserError
from mast3r_ros.common.paths import expand
from mast3r_ros.evaluation.benchmarks.answer import Solver
from mast3r_ros.evaluation.benchmarks.options import BenchmarkOptions

Record = dict[str, Any]
Ask = Callable[[str], Record]
Figures = Mapping[str, float | None]


class BenchmarkError(UserError, ValueError):
    """Data, options or a run directory that do not fit a benchmark."""


@dataclass(frozen=True)
class Task:
    """Queries that share their references: one worker's work at a time.

    Attributes:
        name: no other task has it.
        queries: their keys; no other query of the benchmark has the same one.
    """

    name: str
    queries: tuple[str, ...]


@dataclass(frozen=True)
class Published:
    """Figures of a paper, for the row beside ours.

    Attributes:
        name: method and conditions.
        figures: by the names that `Benchmark.summarize` uses.
    """

    name: str
    figures: Figures


class Benchmark(ABC):
    """One benchmark on one folder of data.

    A record is a dictionary for JSON with at least `task` and `query`, and either `error` or what
    `prepare` promises. Everything that figures and submissions need is in the records, so that a
    run can be resumed from them. What is too large for a line, such as a cloud, is in `files`,
    bytes by name: they are written to the run directory and left out of the record.
    """

    name: ClassVar[str]
    text: ClassVar[str]
    #: What to download, how large, under which terms.
    data_hint: ClassVar[str]
    #: The figure by which submissions are ranked.
    main_figure: ClassVar[str]

    def __init__(self, data: Path, options: BenchmarkOptions) -> None:
        """Open the data.

        Raises:
            BenchmarkError: there is no such folder; says what to download.
        """
        self.data, self.options = expand(data), options
        if not self.data.is_dir():
            raise self.missing(f"{data} is not a folder")

    def missing(self, problem: str) -> BenchmarkError:
        """The error of data that is not there."""
        return BenchmarkError(f"{self.name}: {problem}. {self.data_hint}")

    def answered(self, task: Task, queries: Sequence[str], solver: Solver) -> Iterator[Record]:
        """Answer some queries of a task, in their order.

        A query that cannot be read gives a record with an `error`: it counts as not answered.
        """
        try:
            ask = self.prepare(task, solver)
        except UserError as error:
            yield from ({"task": task.name, "query": q, "error": str(error)} for q in queries)
            return
        for query in queries:
            try:
                found = ask(query)
            except UserError as error:
                found = {"error": str(error)}
            yield {"task": task.name, "query": query, **found}

    @abstractmethod
    def tasks(self) -> Sequence[Task]:
        """All tasks, in a fixed order.

        Raises:
            BenchmarkError: the data is not there.
        """

    @abstractmethod
    def prepare(self, task: Task, solver: Solver) -> Ask:
        """Read what the queries of a task share, and return the function that answers one.

        That function takes a query's key, and returns its figures and what a submission needs.
        """

    @abstractmethod
    def summarize(self, records: Sequence[Record]) -> dict[str, float | None]:
        """The benchmark's figures."""

    def published(self) -> Iterable[Published]:
        """Rows of papers for the same data and split."""
        return ()

    def plots(self, records: Sequence[Record]) -> dict[str, bytes]:
        """SVG by what it shows, for the report."""
        return {}

    def submit(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write what the benchmark's server takes; returns the files."""
        return []

    def about(self) -> dict[str, Any]:
        """The options that this benchmark uses: what belongs to its figures."""
        return {"split": self.options.split}
