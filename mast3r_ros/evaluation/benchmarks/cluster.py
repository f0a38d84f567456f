# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A benchmark on several processes or machines, by Ray.

Every machine sees the data at the same path. What a worker that dies had
answered since its last shard is answered again by its successor; nothing else is lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mast3r_ros.common.cluster import actors
from mast3r_ros.evaluation.benchmarks.answer import Solver, make_solver
from mast3r_ros.evaluation.benchmarks.base import Record, Task
from mast3r_ros.evaluation.benchmarks.options import BenchmarkOptions
from mast3r_ros.evaluation.benchmarks.registry import open_benchmark
from mast3r_ros.localization.options import RelocalizerOptions

# Queries that a worker answers before it reports: a shard maps its references again.
_SHARD = 25


@dataclass(frozen=True)
class Plan:
    """What every worker needs to know: of plain types, so that it travels.

    Attributes:
        benchmark: its name.
        data: the folder.
        options: which part of it.
        front_end: its name.
        relocalizer: how poses are found.
    """

    benchmark: str
    data: Path
    options: BenchmarkOptions
    front_end: str
    relocalizer: RelocalizerOptions


class Worker:
    """What runs in a process of its own."""

    def __init__(self, plan: Plan) -> None:
        """Open the data and the front end."""
        self._benchmark = open_benchmark(plan.benchmark, plan.data, plan.options)
        self._solver: Solver = make_solver(plan.front_end, plan.relocalizer, plan.options)

    def process(self) -> int:
        """The process's id."""
        return os.getpid()

    def answer(self, task: Task) -> list[Record]:
        """The records of a shard."""
        return list(self._benchmark.answered(task, task.queries, self._solver))


def shards(tasks: Sequence[Task]) -> list[Task]:
    """Parts of the tasks, of `_SHARD` queries at the most."""
    return [
        Task(task.name, task.queries[i : i + _SHARD])
        for task in tasks
        for i in range(0, len(task.queries), _SHARD)
    ]


def answers(plan: Plan, tasks: Sequence[Task], address: str, workers: int) -> Iterator[Record]:
    """Answer all queries on a cluster; records come in the order in which they are ready.

    Args:
        plan: what is run.
        tasks: what is left to do.
        address, workers: as in `common.cluster.actors`.

    Raises:
        ClusterError: no cluster, or a query that ended its workers again and again.
        ModuleNotFoundError: Ray is not installed.
    """
    with actors(Worker, plan, address, workers) as there:
        for records in there.as_ready(lambda a, shard: a.answer.remote(shard), shards(tasks)):
            yield from records
