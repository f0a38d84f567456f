# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The contract of an engine: the network running, by whatever library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.errors import UserError
from mast3r_ros.common.size import ImageSize
from mast3r_ros.network.config import MAST3RConfig
from mast3r_ros.network.prediction import LocalFeatures, PointMap

Precision = Literal["fp32", "fp16", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "bf16")

DeviceArray: TypeAlias = Any
"""A NumPy array, or an array on the GPU that offers `__cuda_array_interface__`."""


class EngineError(UserError, RuntimeError):
    """An engine that cannot do what is asked of it; the message says what can be done."""


class EngineUnavailableError(EngineError):
    """An engine that cannot run here: a library, a GPU or a file is missing or does not fit."""


@dataclass(frozen=True)
class Encoded:
    """An image after the encoder: all that a keyframe needs to keep of it.

    Attributes:
        tokens: (N, encoder width) float16 or float32.
        size: of the image that the network saw.
    """

    tokens: NDArray[Any]
    size: ImageSize


Pair: TypeAlias = tuple[Encoded, Encoded]
"""(reference, query)."""


@dataclass(frozen=True)
class DecodedPair:
    """A pair of views after the decoder. Its arrays belong to whoever holds it.

    Attributes:
        reference, query: what the views are matched by.
        encoded: the reference.
        levels: the reference's decoder levels that `Engine.points` reads, (N, decoder width) each.
    """

    reference: LocalFeatures[DeviceArray]
    query: LocalFeatures[DeviceArray]
    encoded: Encoded
    levels: tuple[DeviceArray, ...]


@dataclass(frozen=True)
class EngineInfo:
    """What runs, for diagnostics.

    Attributes:
        name: torch, onnxruntime or tensorrt.
        precision: of the products; norms and points are in float32.
        device: as its library names it.
        checkpoint: SHA-256 of the weights' file, or empty where they came from none.
        sizes: the image sizes that can be run; None for any.
        batch: most pairs decoded at once.
        memory: bytes held on the device; None where the library does not report it.
        notes: what the user must know: fallbacks, a batch that was halved.
        latency: mean seconds of the last calls by stage.
        gpu: number of the GPU on which the arrays of pairs stay; None where they come to the host.
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
    gpu: int | None = None


class Engine(Protocol):
    """The network, running.

    Arrays that it returns belong to the caller: no later call changes them.

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

    def decode(self, pairs: Sequence[Pair]) -> list[DecodedPair]:
        """Pairs of views up to their local features, in their order. Arrays may stay on the device.

        Pairs of one pair of sizes run together.
        """
        ...

    def points(self, decoded: Sequence[DecodedPair]) -> list[PointMap[DeviceArray]]:
        """The point maps of the references of decoded pairs: nearly a quarter of a pair's work."""
        ...

    def warm_up(self, sizes: Sequence[ImageSize]) -> None:
        """Run at each size, so that the first frame is as fast as the others."""
        ...

    def batch_for(self, count: int) -> int:
        """How many pairs take no longer than `count`: at least as many."""
        ...

    def info(self) -> EngineInfo:
        """What runs now."""
        ...


@runtime_checkable
class MapsBothViews(Protocol):
    """An engine that also predicts the points of a pair's query, in the reference's frame."""

    def both_point_maps(
        self, pairs: Sequence[Pair]
    ) -> list[tuple[PointMap[DeviceArray], PointMap[DeviceArray]]]:
        """The point maps of (reference, query), both in the reference camera's frame [m]."""
        ...


def to_numpy(array: DeviceArray) -> NDArray[Any]:
    """The array on the host; copies only what is on a GPU."""
    if isinstance(array, np.ndarray):
        return array
    on_host: NDArray[Any] = array.to_host() if hasattr(array, "to_host") else array.cpu().numpy()
    return on_host


def as_precision(text: str) -> Precision:
    """A precision by its name."""
    for known in PRECISIONS:
        if text == known:
            return known
    raise EngineError(f"precision {text!r}: choose one of {', '.join(PRECISIONS)}")
