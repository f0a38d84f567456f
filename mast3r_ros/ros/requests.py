# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What other threads leave for the worker thread: requests for the next image, and priors."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from mast3r_ros.ros.prior import Prior

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Request(Generic[Result]):
    """A service call that waits for the result of the next image.

    Attributes:
        since: images that arrive from then on count, on the monotonic clock [s].
        prior: guides the search in that image.
    """

    since: float
    prior: Prior | None
    result: Future[Result]


class Requests(Generic[Result]):
    """The requests that wait. Safe for use by several threads."""

    def __init__(self) -> None:
        """None waits."""
        self._lock = threading.Lock()
        self._waiting: list[Request[Result]] = []

    def add(self, prior: Prior | None) -> Future[Result]:
        """Wait for the result of the next image that arrives from now on."""
        request: Request[Result] = Request(time.monotonic(), prior, Future())
        with self._lock:
            self._waiting.append(request)
        return request.result

    def take(self, arrival: float) -> list[Request[Result]]:
        """Remove and return the requests that an image answers, by its arrival [s]."""
        with self._lock:
            due = [r for r in self._waiting if r.since <= arrival]
            self._waiting = [r for r in self._waiting if r.since > arrival]
        return due

    def cancel(self) -> None:
        """Give up on all that wait."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for request in waiting:
            request.result.cancel()


class Belief:
    """The prior from `initialpose`: one thread sets it, another uses it."""

    def __init__(self) -> None:
        """No prior."""
        self._lock = threading.Lock()
        self._prior: Prior | None = None

    def set(self, prior: Prior | None) -> None:
        """Replace the prior; None removes it."""
        with self._lock:
            self._prior = prior

    def get(self, max_age: float) -> Prior | None:
        """The prior, unless it is older than this [s]: then it is removed."""
        with self._lock:
            if self._prior is not None and self._prior.age > max_age:
                self._prior = None
            return self._prior

    def used(self, prior: Prior | None) -> None:
        """Remove a prior that has done its work; one that came meanwhile stays."""
        with self._lock:
            if self._prior is prior:
                self._prior = None
