# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Matching on the GPU: the same answers, bit for bit, as on the CPU. NOT RUN ON A GPU YET.

`CudaDatabase` goes wherever a `Database` does. `reciprocal_on_gpu` keeps the whole walk on the
device, for all keyframes of a query at once: the host launches ten rounds, and waits once, for the
result.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.matching.cuda_device import Device, DriverDevice
from mast3r_ros.matching.cuda_gather import gather_on_gpu
from mast3r_ros.matching.cuda_image import CudaImage
from mast3r_ros.matching.cuda_walks import Screening, Walks
from mast3r_ros.matching.nearest import Answer
from mast3r_ros.matching.reciprocal import (
    Walk,
    grid_seeds,
    most_confident,
    pairs_inside,
    returned,
    shape_of,
)

_ROUNDS = 10


class CudaDatabase(CudaImage):
    """The descriptors of one image on a GPU. They are packed with their first search, together with
    all others of that search, and looked at for NaN as its results come.

    Args:
        descriptors: as in `CudaImage`.
        device: the GPU; by default the first.

    Raises:
        ValueError: empty, another rank, or another type than float32 on the GPU.
        GpuUnavailableError: no GPU, or what its kernels need is missing.
        GpuError: the GPU refused the work.
    """

    def __init__(self, descriptors: Any, device: Device | None = None) -> None:
        super().__init__(descriptors, device or DriverDevice())

    def __len__(self) -> int:
        return self.count

    @cached_property
    def rows(self) -> NDArray[np.float32]:
        """(N, D), copied to the host on first use."""
        self.nearest_of(self)  # packs, and refuses NaN
        array = np.empty((self.count, self.channels), np.float32)
        self.device.download(self.rows_pointer, array)
        return array

    def search(self, queries: NDArray[np.float32], *, threads: int, second: bool) -> Answer:
        """What `nearest` calls. The GPU keeps no second best: `second` must be false.

        Raises:
            UnfitDescriptorsError: NaN, inf or a norm above 1e18, here or among the queries.
        """
        del threads
        if second:
            raise ValueError('no second best on the GPU; give Database(..., backend="cpp")')
        indices, scores = self.nearest_of(CudaDatabase(queries, self.device))
        return indices, scores, np.empty(0, np.float32)

    def nearest_of(self, queries: CudaDatabase) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """`nearest` for all rows of a database on the same device."""
        walks = Walks([(queries, self)], [None])
        walks.half_round(backward=False, turn=False)
        keys = walks.keys()[0]
        indices = (0xFFFFFFFF - (keys & 0xFFFFFFFF)).astype(np.int64)
        return indices, _scores_of(keys)


def reciprocal_on_gpu(
    pairs: Sequence[tuple[CudaDatabase, CudaDatabase]], *, stride: int = 8
) -> list[NDArray[np.int64]]:
    """`reciprocal` from a grid of seeds in the first image of each pair, all pairs at once.

    Args:
        pairs: images over (H, W), all on one device and with the same number of channels.
        stride: of the seeds, in pixels.

    Returns:
        for each image pair, pairs (P, 2) int64 of flat indices, unique, sorted by (first, second).

    Raises:
        UnfitDescriptorsError: NaN, inf or a norm above 1e18 in an image.
    """
    return _walk(pairs, stride, basins=False).pairs() if pairs else []


def walk_on_gpu(
    pairs: Sequence[tuple[CudaDatabase, CudaDatabase]], *, stride: int = 8
) -> list[Walk]:
    """`reciprocal_on_gpu` with the basins, which take longer to fetch than all the rest."""
    if not pairs:
        return []
    walks = _walk(pairs, stride, basins=True)
    return [Walk(*both) for both in zip(walks.pairs(), walks.basins(), strict=True)]


def returning_seeds_on_gpu(
    pairs: Sequence[tuple[CudaDatabase, CudaDatabase]],
    seeds: Sequence[NDArray[np.int64]],
    *,
    pixel_tolerance: float,
) -> list[NDArray[np.int64]]:
    """`returning_seeds` for all image pairs, each with its own seeds, at once."""
    if not pairs:
        return []
    walks = Walks(pairs, [np.asarray(some, np.int32) for some in seeds])
    walks.half_round(backward=False)
    walks.half_round(backward=True)
    return [
        returned(np.asarray(some, np.int64), there, back, shape_of(first), pixel_tolerance)
        for (first, _), some, (back, there, _) in zip(pairs, seeds, walks.ends(), strict=True)
    ]


def reciprocal_both_ways_on_gpu(
    pairs: Sequence[tuple[CudaDatabase, CudaDatabase]],
    confidences: Sequence[tuple[Any, Any]],
    *,
    stride: int = 8,
    border: int = 0,
    limit: int | None = None,
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """`reciprocal_both_ways` for all image pairs, both ways at once.

    Args:
        pairs: as in `reciprocal_on_gpu`.
        confidences: (H, W) float32 of either image's descriptors, on the GPU, where they are read
            at the pairs alone, or on the host.
        stride, border, limit: as in `reciprocal_both_ways`.
    """
    if not pairs:
        return []
    turned = [(second, first) for first, second in pairs]
    ways = reciprocal_on_gpu([*pairs, *turned], stride=stride)
    found = [
        pairs_inside([there, back[:, ::-1]], (shape_of(first), shape_of(second)), border)
        for there, back, (first, second) in zip(ways, ways[len(pairs) :], pairs, strict=False)
    ]
    arrays = [array for both in confidences for array in both]
    image = pairs[0][0]
    values = _values_at(image, arrays, [column for some in found for column in some.T])
    results = []
    for some, first, second in zip(found, values[::2], values[1::2], strict=True):
        lesser = np.minimum(first, second)
        kept = most_confident(lesser, limit)
        results.append((some[kept], lesser[kept]))
    return results


def _values_at(
    image: CudaDatabase, arrays: Sequence[Any], indices: Sequence[NDArray[np.int64]]
) -> list[NDArray[np.float32]]:
    """`gather_on_gpu`, and the same of what lies on the host."""
    if all(hasattr(array, "__cuda_array_interface__") for array in arrays):
        return gather_on_gpu(image.device, image.channels, arrays, indices)
    return [
        np.asarray(array, np.float32).ravel()[index]
        for array, index in zip(arrays, indices, strict=True)
    ]


def screening_on_gpu(
    pairs: Sequence[tuple[CudaDatabase, CudaDatabase]], *, stride: int = 8
) -> list[Screening]:
    """What `reciprocal_on_gpu` has to look at, for each image pair."""
    return _walk(pairs, stride, basins=False).screenings() if pairs else []


def _walk(pairs: Sequence[tuple[CudaDatabase, CudaDatabase]], stride: int, basins: bool) -> Walks:
    seeds = [_seeds_in_patches(first, stride) for first, _ in pairs]
    walks = Walks(pairs, seeds, basins)
    for _ in range(_ROUNDS):
        walks.half_round(backward=False)
        walks.half_round(backward=True)
    return walks


def _seeds_in_patches(image: CudaDatabase, stride: int) -> NDArray[np.int32]:
    """`grid_seeds`, those near one another together: they are searched together and pass over the
    same blocks."""
    height, width = shape_of(image)
    seeds = grid_seeds(height, width, stride)
    y, x = seeds // width // stride, seeds % width // stride
    return seeds[np.lexsort((x, y, x // 8, y // 4))].astype(np.int32)


def _scores_of(keys: NDArray[np.uint64]) -> NDArray[np.float32]:
    """`score_of` in dot.hpp."""
    bits = (keys >> np.uint64(32)).astype(np.uint32)
    top = np.uint32(0x80000000)
    scores: NDArray[np.float32] = np.where(bits & top, bits ^ top, ~bits).view(np.float32)
    return scores
