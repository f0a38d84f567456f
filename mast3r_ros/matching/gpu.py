# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The door to matching on a GPU for what must go on without: prepared at start, with a fallback."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.matching.cuda import CudaDatabase, reciprocal_both_ways_on_gpu
from mast3r_ros.matching.cuda_bindings import GpuError, GpuMemoryError, GpuUnavailableError
from mast3r_ros.matching.cuda_device import Device, DriverDevice
from mast3r_ros.matching.cuda_gather import gather_on_gpu
from mast3r_ros.matching.nearest import Database, Searchable
from mast3r_ros.matching.reciprocal import reciprocal_both_ways

Pair = tuple[Any, Any]
Found = list[tuple[NDArray[np.int64], NDArray[np.float32]]]
_CHANNELS = 24  # of the published descriptors
_log = logging.getLogger(__name__)


class GpuMatcher:
    """Reciprocal matches of dense descriptors on one GPU.

    Where the GPU, its kernels or its memory fail, it says so once in the log, and matches with the
    fallback from then on. NOT RUN ON A GPU YET.

    Args:
        number: of the GPU.
        fallback: makes a database of descriptors (H, W, D) that lie on the GPU.
        open_device: opens the GPU of a number.
        to_host: copies an array on the GPU to the host, for the fallback.
    """

    def __init__(
        self,
        number: int,
        fallback: Callable[[Any], Searchable],
        open_device: Callable[[int], Device] = DriverDevice,
        to_host: Callable[[Any], NDArray[Any]] = np.asarray,
    ) -> None:
        self._number = number
        self._fallback = fallback
        self._open = open_device
        self._to_host = to_host
        self._device: Device | None = None
        self._prepared: set[int] = set()
        self._at_once: int | None = None  # image pairs; fewer after the memory was used up
        self._lock = threading.RLock()  # held while the GPU is used: threads take turns
        self.failure = ""  # why the fallback matches

    @property
    def runs_on(self) -> str:
        """What matches, for diagnostics."""
        return f"not on the GPU: {self.failure}" if self.failure else f"GPU {self._number}"

    def prepare(self, channels: int = _CHANNELS) -> bool:
        """Compiles and loads the kernels, and compares them with the CPU on two small images.

        Call it at start: the first image then does not wait. Returns whether the GPU matches.
        """
        with self._lock:
            if not self.failure and channels not in self._prepared:
                try:
                    self._device = self._device or self._open(self._number)
                    _compare(self._device, channels)
                # The bindings raise RuntimeError where a library lacks one of their functions.
                except RuntimeError as error:
                    self._give_up(error)
                else:
                    self._prepared.add(channels)
            return not self.failure

    def match(
        self,
        pairs: Sequence[Pair],
        confidences: Sequence[Pair],
        *,
        stride: int,
        border: int = 0,
        limit: int | None = None,
    ) -> Found:
        """`reciprocal_both_ways` for all image pairs, at once.

        Args:
            pairs: descriptors (H, W, D) of two images, on the GPU.
            confidences: (H, W) of either image's descriptors, on the GPU or all on the host.
            stride, border, limit: as in `reciprocal_both_ways`.

        Raises:
            UnfitDescriptorsError: NaN, inf or a norm above 1e18.
        """
        if not pairs:
            return []
        options: dict[str, Any] = {"stride": stride, "border": border, "limit": limit}
        with self._lock:
            if self.prepare(pairs[0][0].shape[-1]):
                try:
                    return self._on_gpu(pairs, confidences, options)
                except GpuError as error:
                    self._give_up(error)
        return [
            reciprocal_both_ways(
                self._fallback(a), self._fallback(b), *map(self._to_host, both), **options
            )
            for (a, b), both in zip(pairs, confidences, strict=True)
        ]

    def take(
        self, arrays: Sequence[Any], indices: Sequence[NDArray[np.int64]]
    ) -> list[NDArray[np.float32]]:
        """Values of arrays at some of their pixels; the rest of them stays on the GPU.

        Args:
            arrays: (H, W, ...) float32, C-contiguous, on the GPU.
            indices: (...) flat pixels for each array.

        Returns:
            for each array (..., ...), the index's shape and then the array's beyond (H, W).
        """
        channels = next(iter(self._prepared), _CHANNELS)
        with self._lock:
            if self.prepare(channels):
                assert self._device is not None
                try:
                    return gather_on_gpu(self._device, channels, arrays, indices)
                except GpuError as error:
                    self._give_up(error)
        hosts = [self._to_host(array) for array in arrays]
        return [
            host.reshape(-1, *host.shape[2:])[index]
            for host, index in zip(hosts, indices, strict=True)
        ]

    def _on_gpu(
        self,
        pairs: Sequence[Pair],
        confidences: Sequence[Pair],
        options: dict[str, Any],
    ) -> Found:
        device = self._device
        found: Found = []
        while len(found) < len(pairs):
            some = slice(len(found), len(found) + (self._at_once or len(pairs)))
            try:
                databases = [
                    (CudaDatabase(a, device), CudaDatabase(b, device)) for a, b in pairs[some]
                ]
                found += reciprocal_both_ways_on_gpu(databases, confidences[some], **options)
            except GpuMemoryError:
                count = len(pairs[some])
                if count == 1:
                    raise
                self._at_once = count // 2
                _log.warning(
                    "matching on the GPU: its memory holds no %d image pairs at once; %d from now "
                    "on", count, self._at_once,
                )  # fmt: skip
        return found

    def _give_up(self, error: Exception) -> None:
        if self.failure:
            return
        self.failure = str(error)
        _log.error("%s. The fallback matches from now on, more slowly", error)
        if isinstance(self._device, DriverDevice):
            self._device.close()
        self._device = None


def _compare(device: Device, channels: int) -> None:
    """Whether the kernels give the bits of the CPU here, on images of 24 x 32 pixels."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, 24, 32, channels)).astype(np.float32)
    images[1, :, 16:] = images[0, :, 16:]
    ones = np.ones((24, 32), np.float32)
    a, b = (CudaDatabase(image, device) for image in images)
    ((found, _),) = reciprocal_both_ways_on_gpu([(a, b)], [(ones, ones)], stride=4)
    first, second = (Database(image) for image in images)
    expected, _ = reciprocal_both_ways(first, second, ones, ones, stride=4)
    if not np.array_equal(found, expected):
        raise GpuUnavailableError(
            f"matching on the GPU: {len(found)} matches where the CPU finds {len(expected)} in a "
            "test image; the GPU is not used. Please report its model and its driver's version"
        )
