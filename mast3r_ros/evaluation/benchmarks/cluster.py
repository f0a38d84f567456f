# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A benchmark on several processes or machines, by Ray: one actor a GPU, which keeps its front end.

Every machine needs this package and sees the data at the same path. What a worker that dies had
answered since its last shard is answered again by its successor; nothing else is lost.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mast3r_ros.evaluation.benchmarks.answer import Solver, make_solver
from mast3r_ros.evaluation.benchmarks.base import BenchmarkError, Record, Task
from mast3r_ros.evaluation.benchmarks.options import BenchmarkOptions
from mast3r_ros.evaluation.benchmarks.registry import open_benchmark
from mast3r_ros.localization.options import RelocalizerOptions

# Queries that a worker answers before it reports: a shard maps its references again.
_SHARD = 25
# A query that ends its worker so often ends the run.
_RESTARTS = 3
_TIMEOUT = 5.0  # [s]


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
        address: of a running cluster; "auto" takes the one of this machine, or starts one.
        workers: number of actors; 0 takes one a GPU, or one a core where there is no GPU.

    Raises:
        BenchmarkError: no cluster, or a query that ended its workers again and again.
        ModuleNotFoundError: Ray is not installed.
    """
    import ray
    from ray.exceptions import RayActorError
    from ray.util import ActorPool

    _connect(ray, address, workers)
    try:
        cluster: Any = ray  # typed in part
        resources: dict[str, float] = cluster.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        count = workers or gpus or int(resources.get("CPU", 1))
        kind = ray.remote(
            max_restarts=_RESTARTS,
            max_task_retries=_RESTARTS,
            num_cpus=0 if gpus else 1,
            num_gpus=min(1.0, gpus / count),
        )(Worker)
        pool = ActorPool([kind.remote(plan) for _ in range(count)])
        for records in pool.map_unordered(lambda a, shard: a.answer.remote(shard), shards(tasks)):
            yield from records
    except RayActorError as error:
        raise BenchmarkError(
            f"a worker died {_RESTARTS + 1} times on one shard ({error}): resume the run without "
            "--ray to see why"
        ) from error
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str, workers: int) -> None:
    quiet = {"include_dashboard": False, "log_to_driver": False}
    if address == "auto":
        try:
            ray.init(address="auto", log_to_driver=False)
        except ConnectionError:
            ray.init(num_cpus=workers or None, **quiet)
        return
    _require_reachable(address)
    ray.init(address=address, log_to_driver=False)


def _require_reachable(address: str) -> None:
    """Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_TIMEOUT).close()
    except (OSError, ValueError, OverflowError) as error:
        raise BenchmarkError(
            f"no Ray cluster at {address} ({error}): start one with `ray start --head`, or give "
            "--ray auto"
        ) from error
