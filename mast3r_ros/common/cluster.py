# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Work on several processes or machines, by Ray: one actor a GPU, which keeps its front end.

Every machine needs this package. A worker that dies is restarted, and what it was at is done again.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mast3r_ros.common.errors import UserError

# A part that ends its worker so often, and once more, ends the work.
_RESTARTS = 3
_TIMEOUT = 5.0  # [s]
# Parts in flight for each worker: one is done, the next is there already.
_AHEAD = 2


class ClusterError(UserError, ConnectionError):
    """No cluster, or a part of the work that ended its workers again and again."""


@dataclass(frozen=True)
class Actors:
    """Workers on a cluster.

    Attributes:
        count: how many there are.
        pool: a `ray.util.ActorPool` of them.
    """

    count: int
    pool: Any

    def as_ready(self, call: Callable[[Any, Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        """What `call(actor, part)` gives for all parts, the first that is ready first."""
        yield from self.pool.map_unordered(call, parts)

    def in_order(self, call: Callable[[Any, Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        """The same in the order of the parts, which are taken a few at a time."""
        in_flight = 0
        for part in parts:
            self.pool.submit(call, part)
            in_flight += 1
            if in_flight == _AHEAD * self.count:
                yield self.pool.get_next()
                in_flight -= 1
        while self.pool.has_next():
            yield self.pool.get_next()


@contextmanager
def actors(kind: type, argument: Any, address: str, workers: int) -> Iterator[Actors]:
    """Workers on a cluster, as long as the context lasts.

    Args:
        kind: the class of the workers; each is made with `argument` in a process of its own.
        argument: of plain types.
        address: of a running cluster; "auto" takes the one of this machine, or starts one.
        workers: how many; 0 takes one a GPU, or one a core where there is no GPU.

    Raises:
        ClusterError: no cluster, or a part of the work that ended its workers again and again.
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
        actor: Any = ray.remote(
            max_restarts=_RESTARTS,
            max_task_retries=_RESTARTS,
            num_cpus=0 if gpus else 1,
            num_gpus=min(1.0, gpus / count),
        )(kind)
        yield Actors(count, ActorPool([actor.remote(argument) for _ in range(count)]))
    except RayActorError as error:
        raise ClusterError(
            f"a worker died {_RESTARTS + 1} times on one part of the work ({error}): run it "
            "without --ray to see why"
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
        raise ClusterError(
            f"no Ray cluster at {address} ({error}): start one with `ray start --head`, or give "
            "--ray auto"
        ) from error
