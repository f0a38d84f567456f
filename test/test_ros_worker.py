# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The solver's thread, its mailbox and its jobs."""

import threading
from concurrent.futures import CancelledError

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from mast3r_ros.ros.worker import Solver

pytestmark = pytest.mark.ros


class _Slow:
    """A solver that takes up an item only when told to go on."""

    def __init__(self):
        self.solved, self.begun, self.go_on = [], threading.Semaphore(0), threading.Semaphore(0)
        self.solver = Solver(self._solve)

    def _solve(self, item):
        self.begun.release()
        assert self.go_on.acquire(timeout=10)
        self.solved.append(item)

    def finish(self):
        self.go_on.release(100)
        self.solver.submit(lambda: None).result(10)
        self.solver.close()


def test_the_newest_wins_and_the_others_are_counted():
    slow = _Slow()
    slow.solver.offer(0)
    assert slow.begun.acquire(timeout=10)

    for item in range(1, 6):
        slow.solver.offer(item)
    slow.go_on.release()
    assert slow.begun.acquire(timeout=10)
    slow.finish()

    assert slow.solved == [0, 5]
    assert (slow.solver.seen, slow.solver.dropped) == (6, 4)


def test_jobs_go_first_and_bring_their_results_back():
    slow = _Slow()
    slow.solver.offer("a")
    assert slow.begun.acquire(timeout=10)
    slow.solver.offer("b")
    job = slow.solver.submit(lambda: list(slow.solved))
    failing = slow.solver.submit(lambda: 1 / 0)
    slow.finish()

    assert job.result(10) == ["a"]
    with pytest.raises(ZeroDivisionError):
        failing.result(10)


def test_discard_empties_the_mailbox():
    slow = _Slow()
    slow.solver.offer("a")
    assert slow.begun.acquire(timeout=10)
    slow.solver.offer("b")
    slow.solver.discard()
    slow.finish()

    assert (slow.solved, slow.solver.dropped) == (["a"], 1)


def test_close_cancels_what_waits():
    slow = _Slow()
    slow.solver.offer("a")
    assert slow.begun.acquire(timeout=10)
    waiting = slow.solver.submit(lambda: None)
    given_up = slow.solver.submit(lambda: None)
    given_up.cancel()
    closing = threading.Thread(target=slow.solver.close)
    closing.start()
    slow.go_on.release()
    closing.join(10)

    late = slow.solver.submit(lambda: None)

    for future in (waiting, given_up, late):
        with pytest.raises(CancelledError):
            future.result(0)


def test_a_job_given_up_is_passed_over():
    slow = _Slow()
    slow.solver.offer("a")
    assert slow.begun.acquire(timeout=10)
    done = []
    slow.solver.submit(lambda: done.append(1)).cancel()
    slow.finish()

    assert done == []
