# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns the map: it localizes images, newest first, and does services' jobs.

It lives as long as the node. Libraries keep memory and helper threads for each thread that calls
them: a new thread for each configuration would grow the process.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Worker(Generic[Item]):
    """A thread with a mailbox for one item, and a queue of jobs that go first.

    Newest wins: an item that is still waiting when the next one comes is dropped and counted.

    Attributes:
        seen, dropped: items since `serve`.
    """

    def __init__(self) -> None:
        """Start the thread; items are taken once `serve` says what to do with them."""
        self._handle: Callable[[Item], None] | None = None
        self._item: Item | None = None
        self._jobs: deque[tuple[Callable[[], Any], Future]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.seen = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._thread.start()

    def serve(self, handle: Callable[[Item], None] | None) -> None:
        """Handle items by this function from now on; counts start at 0.

        Args:
            handle: called in the worker thread; must not raise. None: take no items.
        """
        with self._changed:
            self._handle, self._item = handle, None
            self.seen = self.dropped = 0

    def offer(self, item: Item) -> None:
        """Put an item into the mailbox."""
        with self._changed:
            if self._handle is None:
                return
            self.seen += 1
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify()

    def submit(self, job: Callable[[], Result]) -> Future[Result]:
        """Have a job done between two items; exceptions come back through the future."""
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                future.cancel()
            else:
                self._jobs.append((job, future))
                self._changed.notify()
        return future

    def rest(self) -> None:
        """Empty the mailbox, and wait until what is in progress is done."""
        with self._changed:
            self.dropped += self._item is not None
            self._item = None
        self.submit(lambda: None).result()

    def close(self) -> None:
        """Finish what is in progress, cancel the rest, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        for _, future in self._jobs:
            future.cancel()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._jobs or self._item is not None)
                if self._closed:
                    return
                job, handle, item = None, self._handle, None
                if self._jobs:
                    job = self._jobs.popleft()
                else:
                    item, self._item = self._item, None
            if job is not None:
                _do(*job)
            elif item is not None and handle is not None:
                handle(item)
            # Nothing of a closed session is kept alive while the thread waits.
            del job, handle, item


def _do(job: Callable[[], Any], future: Future) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job())
    except BaseException as error:
        future.set_exception(error)
