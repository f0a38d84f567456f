# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks on a local Ray cluster of several processes."""

import os
import signal

import pytest
from benchmark_world import mapfree_tree

from mast3r_ros.common.cluster import ClusterError
from mast3r_ros.evaluation.benchmarks import cluster
from mast3r_ros.evaluation.benchmarks.answer import NO_MOTION, make_solver
from mast3r_ros.evaluation.benchmarks.base import Task
from mast3r_ros.evaluation.benchmarks.options import BenchmarkOptions
from mast3r_ros.evaluation.benchmarks.registry import open_benchmark
from mast3r_ros.localization.options import RelocalizerOptions

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    data = mapfree_tree(tmp_path_factory.mktemp("mapfree"), queries=range(0, 30, 5))
    return cluster.Plan("mapfree", data, BenchmarkOptions(), "sift", RelocalizerOptions())


@pytest.fixture(scope="module")
def expected(plan):
    """By query, without what a clock says."""
    benchmark = open_benchmark(plan.benchmark, plan.data, plan.options)
    solver = make_solver(plan.front_end, plan.relocalizer)
    return by_query(r for t in benchmark.tasks() for r in benchmark.answered(t, t.queries, solver))


def by_query(records):
    return {r["query"]: {k: v for k, v in r.items() if k != "seconds"} for r in records}


def tasks(plan):
    return open_benchmark(plan.benchmark, plan.data, plan.options).tasks()


def test_two_workers_answer_as_one_process_does(plan, expected, monkeypatch):
    monkeypatch.setattr(cluster, "_SHARD", 3)
    found = list(cluster.answers(plan, tasks(plan), "auto", 2))
    assert len(found) == len(expected) == 12
    assert by_query(found) == expected


class Mortal(cluster.Worker):
    """Dies at the first shard that it is given, as if it were killed."""

    def answer(self, task):
        mark = os.path.join(os.environ["MAST3R_ROS_TEST_MARK"], "died")
        if not os.path.exists(mark):
            open(mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().answer(task)


@pytest.mark.no_cover
def test_a_killed_one_of_two_workers_loses_nothing(plan, expected, tmp_path, monkeypatch):
    here = os.path.dirname(__file__)
    monkeypatch.setenv("PYTHONPATH", f"{here}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("MAST3R_ROS_TEST_MARK", str(tmp_path))
    monkeypatch.setattr(cluster, "Worker", Mortal)
    monkeypatch.setattr(cluster, "_SHARD", 3)
    found = list(cluster.answers(plan, tasks(plan), "auto", 2))
    assert (tmp_path / "died").exists()
    assert len(found) == 12
    assert by_query(found) == expected


def test_shards_hold_all_queries_of_a_task_in_order(monkeypatch):
    monkeypatch.setattr(cluster, "_SHARD", 2)
    parts = cluster.shards([Task("a", ("1", "2", "3")), Task("b", ("4",))])
    assert [(p.name, p.queries) for p in parts] == [("a", ("1", "2")), ("a", ("3",)), ("b", ("4",))]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "ray://127.0.0.1:x"])
def test_a_cluster_that_is_not_there_is_told_at_once(plan, address):
    with pytest.raises(ClusterError, match=f"no Ray cluster at {address} .*`ray start --head`"):
        list(cluster.answers(plan, tasks(plan), address, 1))


def test_the_guess_has_a_name():
    assert make_solver(NO_MOTION, RelocalizerOptions()).front_end is None
