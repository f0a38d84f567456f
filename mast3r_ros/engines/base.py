# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The contract of an engine: the network running, by whatever library."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.errors import UserError
from mast3r_ros.network.config import ImageSize, MAST3RConfig
from mast3r_ros.network.prediction import TwoViewPrediction, ViewPrediction

Precision = Literal["fp32", "fp16", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "bf16")

DeviceArray: TypeAlias = Any
"""A NumPy array, or an array on the GPU that offers `__cuda_array_interface__`."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class EngineError(UserError, RuntimeError):
    """An engine that cannot do what is asked of it; the message says what can be done."""


class EngineUnavailableError(EngineError):
    """An engine that cannot run here: a library, a GPU or a file is missing or does not fit."""


@dataclass(frozen=True)
class Encoded:
    """An image after the encoder: all that a keyframe needs to keep of it.

    Attributes:
        tokens: (N, encoder width) float16 or float32.
        size: (height, width) of the image that the network saw [px].
    """

    tokens: NDArray[Any]
    size: ImageSize


@dataclass(frozen=True)
class EngineInfo:
    """What runs, for diagnostics.

    Attributes:
        name: torch, onnxruntime or tensorrt.
        precision: of the backbone; norms and heads are in float32.
        device: as its library names it.
        checkpoint: SHA-256 of the weights' file, or empty where they came from none.
        sizes: the image sizes that can be run; None for any.
        batch: most references decoded at once.
        memory: bytes held on the device; None where the library does not tell.
        notes: what the user must know: fallbacks, a batch that was halved.
        latency: mean seconds of the last calls by stage.
    """

    name: str
    precision: Precision
    device: str
    checkpoint: str
    sizes: tuple[ImageSize, ...] | None
    batch: int
    memory: int | None
    notes: tuple[str, ...]
    latency: dict[str, float]


class Engine(Protocol):
    """The network, running.

    Attributes:
        config: its sizes.
        notes: what the user must know, for `info`: fallbacks, a batch that was halved.
    """

    config: MAST3RConfig
    notes: list[str]

    def encode(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """(B, C, H, W) -> tokens (B, N, encoder width), float16 or float32.

        The channels are those of `network.preprocess`: RGB, and rays where `config` has them.
        """
        ...

    def decode(
        self, references: Sequence[Encoded], query: Encoded, query_points: bool = False
    ) -> list[TwoViewPrediction[DeviceArray]]:
        """One query against its references, in their order.

        Arrays may stay on the device, and are valid until the next call.
        """
        ...

    def warm_up(self, sizes: Sequence[ImageSize]) -> None:
        """Run once at each size, so that the first frame is as fast as the others."""
        ...

    def info(self) -> EngineInfo:
        """What runs now."""
        ...


def run_once(engine: Engine, sizes: Sequence[ImageSize], counts: set[int]) -> None:
    """Encode a blank image at each size, and decode it with each number of references."""
    for size in sizes:
        image = np.zeros((1, engine.config.input_channels, *size), np.float32)
        encoded = Encoded(engine.encode(image)[0], size)
        for count in counts:
            engine.decode([encoded] * count, encoded)


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
        self.notes.append(f"out of device memory: {before} references at once became {self.size}")


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


def by_size(references: Sequence[Encoded]) -> dict[ImageSize, list[int]]:
    """Positions of the references of each image size."""
    groups: dict[ImageSize, list[int]] = {}
    for i, reference in enumerate(references):
        groups.setdefault(reference.size, []).append(i)
    return groups


def split_outputs(outputs: dict[str, Any]) -> list[TwoViewPrediction[Any]]:
    """A decoder graph's outputs, by name and each with its batch, as one prediction a pair."""

    def view(prefix: str, i: int) -> ViewPrediction[Any]:
        def one(name: str) -> Any:
            array = outputs.get(f"{prefix}_{name}")
            return None if array is None else array[i]

        return ViewPrediction(
            one("points"), one("confidence"), one("descriptors"), one("descriptor_confidence")
        )

    count = len(outputs["query_descriptors"])
    return [TwoViewPrediction(view("reference", i), view("query", i)) for i in range(count)]


def to_numpy(array: DeviceArray) -> NDArray[Any]:
    """The array on the host; copies only what is on a GPU."""
    if isinstance(array, np.ndarray):
        return array
    on_host: NDArray[Any] = array.to_host() if hasattr(array, "to_host") else array.cpu().numpy()
    return on_host


def on_host(prediction: TwoViewPrediction[DeviceArray]) -> TwoViewPrediction[NDArray[np.float32]]:
    """All arrays of a prediction on the host."""

    def host(view: ViewPrediction[DeviceArray]) -> ViewPrediction[NDArray[np.float32]]:
        arrays: list[Any] = [None if v is None else to_numpy(v) for v in vars(view).values()]
        return ViewPrediction(*arrays)

    return TwoViewPrediction(host(prediction.reference), host(prediction.query))


def as_precision(text: str) -> Precision:
    """A precision by its name."""
    for known in PRECISIONS:
        if text == known:
            return known
    raise ValueError(f"precision {text!r}: choose one of {', '.join(PRECISIONS)}")


def size_name(size: ImageSize) -> str:
    """(height, width) as people write it: 512x384."""
    return f"{size[1]}x{size[0]}"


def parse_size(text: str) -> ImageSize:
    """The inverse of `size_name`."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise ValueError(f"image size {text!r}: write it as WIDTHxHEIGHT, for example 512x384")
    return int(height), int(width)
