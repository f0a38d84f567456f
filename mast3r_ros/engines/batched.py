# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What all engines share: grouping by size, batches that fit the memory, latency by stage."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import DecodedPair, DeviceArray, Encoded, EngineError, EngineInfo, Pair
from mast3r_ros.network.config import MAST3RConfig
from mast3r_ros.network.prediction import LocalFeatures, PointMap

Item = TypeVar("Item")
Result = TypeVar("Result")
Key = TypeVar("Key")

SizePair = tuple[ImageSize, ImageSize]
"""(reference size, query size)."""


class BatchedEngine(ABC):
    """An engine by what its library does with one batch of one size.

    May be used by several threads: they take turns.

    Args:
        config: the network's sizes.
        batch: most pairs decoded at once.
        out_of_memory: which of the library's exceptions mean that the memory ran out.
    """

    def __init__(
        self, config: MAST3RConfig, batch: int, out_of_memory: Callable[[Exception], bool]
    ) -> None:
        self.config = config
        self.notes: list[str] = []
        self._batches = Batches(batch, out_of_memory, self.notes)
        self._latency = Latency()
        self._lock = threading.Lock()

    def encode(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """(B, C, H, W) -> tokens (B, N, encoder width)."""
        with self._alone("encode"):
            return self._encode(images)

    def decode(self, pairs: Sequence[Pair]) -> list[DecodedPair]:
        """Pairs of views up to their local features, in their order."""
        with self._alone("decode"):
            return self._by_size(pairs, lambda pair: (pair[0].size, pair[1].size), self._decode)

    def points(self, decoded: Sequence[DecodedPair]) -> list[PointMap[DeviceArray]]:
        """The point maps of the references of decoded pairs, in their order."""
        with self._alone("points"):
            return self._by_size(decoded, lambda pair: pair.encoded.size, self._points)

    def warm_up(self, sizes: Sequence[ImageSize]) -> None:
        """Run everything at each size, with one pair and with a full batch."""
        for size in sizes:
            image = np.zeros((1, self.config.input_channels, *size.shape), np.float32)
            encoded = Encoded(self.encode(image)[0], size)
            for count in self._usual_counts():
                self.points(self.decode([(encoded, encoded)] * count))

    def batch_for(self, count: int) -> int:
        """How many pairs take no longer than `count`: as many, unless batches are padded."""
        return count

    @abstractmethod
    def info(self) -> EngineInfo:
        """What runs now."""

    @abstractmethod
    def _encode(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """As `encode`."""

    @abstractmethod
    def _decode(self, sizes: SizePair, pairs: Sequence[Pair]) -> list[DecodedPair]:
        """One batch of pairs of these sizes."""

    @abstractmethod
    def _points(
        self, size: ImageSize, decoded: Sequence[DecodedPair]
    ) -> list[PointMap[DeviceArray]]:
        """One batch of references of this size."""

    def _usual_counts(self) -> Sequence[int]:
        """The batches to warm up."""
        return sorted({1, self._batches.size})

    def _release(self) -> None:  # noqa: B027 - most libraries keep nothing
        """Free what can be freed before a smaller batch is tried."""

    @contextmanager
    def _alone(self, stage: str) -> Iterator[None]:
        """As `_running`, one thread after another: buffers, streams and settings are shared."""
        with self._lock, self._running(stage):
            yield

    @contextmanager
    def _running(self, stage: str) -> Iterator[None]:
        """Around all that runs on the device."""
        with self._latency.stage(stage):
            yield

    def _by_size(
        self,
        items: Sequence[Item],
        key: Callable[[Item], Key],
        work: Callable[[Key, Sequence[Item]], Sequence[Result]],
    ) -> list[Result]:
        groups: dict[Key, list[int]] = {}
        for i, item in enumerate(items):
            groups.setdefault(key(item), []).append(i)
        results: dict[int, Result] = {}
        for common, indices in groups.items():
            group = [items[i] for i in indices]
            done = self._batches.run(group, partial(work, common), self._release)
            results |= zip(indices, done, strict=True)
        return [results[i] for i in range(len(items))]


@dataclass
class Batches:
    """Runs long lists in batches, and smaller ones when the device's memory does not hold them.

    Attributes:
        size: the present batch.
        out_of_memory: which of the library's exceptions mean that memory ran out.
        notes: what happened, for the user.
    """

    size: int
    out_of_memory: Callable[[Exception], bool]
    notes: list[str] = field(default_factory=list)

    def run(
        self,
        items: Sequence[Item],
        work: Callable[[Sequence[Item]], Sequence[Result]],
        release: Callable[[], None] = lambda: None,
    ) -> list[Result]:
        """`work` over all items; `release` frees what can be freed before the next try."""
        results: list[Result] = []
        while len(results) < len(items):
            try:
                results += work(items[len(results) : len(results) + self.size])
                continue
            except Exception as error:
                if not self.out_of_memory(error):
                    raise
                if self.size == 1:
                    raise EngineError(
                        "the device's memory does not hold one pair: free some, or use a smaller "
                        "image size or a half precision"
                    ) from error
            # Outside the handler: the exception's traceback would keep the memory alive.
            self.halve()
            release()
        return results

    def halve(self) -> None:
        """Take half as many at once from now on, and note it."""
        before, self.size = self.size, max(1, self.size // 2)
        self.notes.append(f"out of device memory: {before} pairs at once became {self.size}")


class Latency:
    """Running mean of how long each stage takes [s]."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times what is inside."""
        start = time.perf_counter()
        yield
        taken = time.perf_counter() - start
        self.seconds[name] = 0.8 * self.seconds.get(name, taken) + 0.2 * taken


def captured_counts(most: int) -> list[int]:
    """The batches that are captured as CUDA graphs: powers of two, and the largest."""
    counts = [1]
    while counts[-1] < most:
        counts.append(min(2 * counts[-1], most))
    return counts


def padded_count(count: int, most: int) -> int:
    """The smallest captured batch that holds `count` pairs."""
    return next(padded for padded in captured_counts(most) if padded >= count)


def padded_total(count: int, most: int) -> int:
    """The pairs of all captured batches that hold `count`, of which the last is padded."""
    last = (count - 1) % most + 1
    return count - last + padded_count(last, most)


def as_pairs(outputs: Sequence[DeviceArray], pairs: Sequence[Pair]) -> list[DecodedPair]:
    """A decoder's outputs, each with a leading batch, as one `DecodedPair` a pair.

    Args:
        outputs: descriptors and confidence of the references and of the queries, then the levels.
        pairs: what was decoded; the batch may be padded beyond them.
    """
    return [
        DecodedPair(
            LocalFeatures(outputs[0][i], outputs[1][i]),
            LocalFeatures(outputs[2][i], outputs[3][i]),
            reference,
            tuple(level[i] for level in outputs[4:]),
        )
        for i, (reference, _) in enumerate(pairs)
    ]


def as_point_maps(outputs: Sequence[DeviceArray], count: int) -> list[PointMap[DeviceArray]]:
    """A point head's outputs (points, confidence), each with a leading batch."""
    return [PointMap(outputs[0][i], outputs[1][i]) for i in range(count)]
