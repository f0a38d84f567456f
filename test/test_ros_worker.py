# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The worker's thread, its mailbox and its jobs."""

import threading
from concurrent.futures import CancelledError

import pytest

from mast3r_ros.ros.worker import Worker


class _Slow:
    """A worker that takes up an item only when told to go on."""

    def __init__(self):
        self.solved, self.begun, self.go_on = [], threading.Semaphore(0), threading.Semaphore(0)
        self.worker = Worker()
        self.worker.serve(self._solve)

    def _solve(self, item):
        self.begun.release()
        assert self.go_on.acquire(timeout=10)
        self.solved.append(item)

    def finish(self):
        self.go_on.release(100)
        self.worker.submit(lambda: None).result(10)
        self.worker.close()


def test_the_newest_wins_and_the_others_are_counted():
    slow = _Slow()
    slow.worker.offer(0)
    assert slow.begun.acquire(timeout=10)

    for item in range(1, 6):
        slow.worker.offer(item)
    slow.go_on.release()
    assert slow.begun.acquire(timeout=10)
    slow.finish()

    assert slow.solved == [0, 5]
    assert (slow.worker.seen, slow.worker.dropped) == (6, 4)


def test_jobs_go_first_and_bring_their_results_back():
    slow = _Slow()
    slow.worker.offer("a")
    assert slow.begun.acquire(timeout=10)
    slow.worker.offer("b")
    job = slow.worker.submit(lambda: list(slow.solved))
    failing = slow.worker.submit(lambda: 1 / 0)
    slow.finish()

    assert job.result(10) == ["a"]
    with pytest.raises(ZeroDivisionError):
        failing.result(10)


def test_rest_empties_the_mailbox_and_waits_for_what_is_in_progress():
    slow = _Slow()
    slow.worker.offer("a")
    assert slow.begun.acquire(timeout=10)
    slow.worker.offer("b")
    resting = threading.Thread(target=slow.worker.rest)
    resting.start()
    resting.join(0.05)
    assert resting.is_alive()
    slow.go_on.release()
    resting.join(10)

    assert (slow.solved, slow.worker.dropped) == (["a"], 1)
    slow.finish()


def test_items_are_taken_only_while_somebody_handles_them():
    first, second = [], []
    worker = Worker()
    worker.offer("unheard")
    worker.serve(first.append)
    worker.offer("a")
    worker.submit(lambda: None).result(10)
    worker.serve(None)
    worker.offer("between")
    worker.serve(second.append)
    assert (worker.seen, worker.dropped) == (0, 0)
    worker.offer("b")
    for _ in range(2):  # jobs go first: after the second, the item was taken up
        worker.submit(lambda: None).result(10)
    thread = {worker.submit(threading.get_ident).result(10) for _ in range(3)}
    worker.close()

    assert (first, second) == (["a"], ["b"])
    assert len(thread) == 1


def test_close_cancels_what_waits():
    slow = _Slow()
    slow.worker.offer("a")
    assert slow.begun.acquire(timeout=10)
    waiting = slow.worker.submit(lambda: None)
    given_up = slow.worker.submit(lambda: None)
    given_up.cancel()
    closing = threading.Thread(target=slow.worker.close)
    closing.start()
    slow.go_on.release()
    closing.join(10)

    late = slow.worker.submit(lambda: None)

    for future in (waiting, given_up, late):
        with pytest.raises(CancelledError):
            future.result(0)


def test_a_job_given_up_is_passed_over():
    slow = _Slow()
    slow.worker.offer("a")
    assert slow.begun.acquire(timeout=10)
    done = []
    slow.worker.submit(lambda: done.append(1)).cancel()
    slow.finish()

    assert done == []
