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

from mast3r_ros.matching.cuda_device import Buffer, Device, DriverDevice
from mast3r_ros.matching.nearest import Answer
from mast3r_ros.matching.reciprocal import (
    Walk,
    grid_seeds,
    most_confident_pairs,
    returned,
    shape_of,
)

# As in nearest.cu.
_BLOCK, _PATCH, _QUERIES, _THREADS, _SCAN = 64, 8, 32, 128, 512
_IMAGE = np.dtype(
    [(name, np.uint64) for name in ("rows", "packed", "axes", "low", "high", "radius", "longest")]
    + [(name, np.int32) for name in ("count", "height", "width", "blocks")]
)
_PARTS = ("seeds", "pixel", "partner", "settled", "active", "left", "keys", "basin")
_WALK = np.dtype(
    [("first", _IMAGE), ("second", _IMAGE)]
    + [(name, np.uint64) for name in _PARTS]
    + [("count", np.int32), ("", np.int32)]
)
_SLICES = 8  # thread blocks that share a database for the same queries: they fill a large GPU
_ROUNDS = 10
_LONGEST_SQUARED = 1e36


class CudaDatabase:
    """The descriptors of one image on a GPU, packed for searching.

    Args:
        descriptors: (N, D), or (H, W, D) over an image. A float32 C-contiguous array on the GPU
            (anything with ``__cuda_array_interface__``: torch, cupy) is used where it lies and must
            not change; any other array is copied there.
        device: the GPU; by default the first.

    Raises:
        ValueError: empty, another rank or layout, NaN, inf, or a norm above 1e18.
        ModuleNotFoundError: cuda-bindings or NVRTC is missing.
        RuntimeError: no driver or no GPU.
    """

    def __init__(self, descriptors: Any, device: Device | None = None) -> None:
        self.device: Device = device or DriverDevice()
        interface = getattr(descriptors, "__cuda_array_interface__", None)
        if interface is None:
            array = np.ascontiguousarray(descriptors, np.float32)
            shape = array.shape
        else:
            shape = tuple(interface["shape"])
            if interface["typestr"] != "<f4" or interface.get("strides") is not None:
                raise ValueError("descriptors: on the GPU, give float32, C-contiguous")
        if len(shape) not in (2, 3) or 0 in shape:
            raise ValueError(
                f"descriptors: shape {shape}; give (N, D) or (H, W, D), none of them 0"
            )
        self.shape = (shape[0], shape[1]) if len(shape) == 3 else None
        self.channels = shape[-1]
        self._count = int(np.prod(shape[:-1]))
        self._keep: list[Any] = [descriptors]
        if interface is None:
            rows = self._allocate(array.nbytes)
            self.device.upload(rows, array)
        else:
            rows = int(interface["data"][0])
        self.record = self._pack(rows)

    def __len__(self) -> int:
        return self._count

    @cached_property
    def rows(self) -> NDArray[np.float32]:
        """(N, D), copied to the host on first use."""
        array = np.empty((self._count, self.channels), np.float32)
        self.device.download(int(self.record["rows"]), array)
        return array

    def search(self, queries: NDArray[np.float32], *, threads: int, second: bool) -> Answer:
        """What `nearest` calls. The GPU keeps no second best: `second` must be false."""
        del threads
        if second:
            raise ValueError('no second best on the GPU; give Database(..., backend="cpp")')
        indices, scores = self.nearest_of(CudaDatabase(queries, self.device))
        return indices, scores, np.empty(0, np.float32)

    def nearest_of(self, queries: CudaDatabase) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """`nearest` for all rows of a database on the same device."""
        walks = _Walks([(queries, self)], [None])
        walks.half_round(backward=False, turn=False)
        keys = walks.download("keys", np.uint64)[0]
        indices = (0xFFFFFFFF - (keys & 0xFFFFFFFF)).astype(np.int64)
        return indices, _scores_of(keys)

    def _allocate(self, size: int) -> int:
        self._keep.append(self.device.allocate(size))
        return int(self._keep[-1].pointer)

    def _pack(self, rows: int) -> np.void:
        height, width = self.shape or (0, 0)
        blocks = -(-self._count // _BLOCK)
        if self.shape:
            blocks = -(-height // _PATCH) * -(-width // _PATCH)
        padded = -(-blocks // _BLOCK) * _BLOCK
        record = np.zeros(1, _IMAGE)
        record["rows"] = rows
        for name, size in (
            ("packed", blocks * _BLOCK * self.channels),
            ("axes", padded * self.channels),
            *((name, padded) for name in ("low", "high", "radius")),
            ("longest", 1),
        ):
            record[name] = self._allocate(4 * size)
        for name, size in (("axes", padded * self.channels), ("longest", 1)):
            self.device.upload(int(record[name][0]), np.zeros(size, np.float32))
        for name, number in zip(
            ("count", "height", "width", "blocks"),
            (self._count, height, width, blocks),
            strict=True,
        ):
            record[name] = number
        argument = self._allocate(record.nbytes)
        self.device.upload(argument, record)
        self.device.launch("pack", self.channels, (blocks, 1, 1), _BLOCK, argument)
        longest = np.empty(1, np.float32)
        self.device.download(int(record["longest"][0]), longest)
        if not longest[0] < _LONGEST_SQUARED:
            raise ValueError("descriptors: NaN, inf or a norm above 1e18; leave such rows out")
        packed: np.void = record[0]
        return packed


def reciprocal_on_gpu(
    pairs: Sequence[tuple[CudaDatabase, CudaDatabase]], *, stride: int = 8
) -> list[NDArray[np.int64]]:
    """`reciprocal` from a grid of seeds in the first image of each pair, all pairs at once.

    Args:
        pairs: images over (H, W), all on one device and with the same number of channels.
        stride: of the seeds, in pixels.

    Returns:
        for each image pair, pairs (P, 2) int64 of flat indices, unique, sorted by (first, second).
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
    walks = _Walks(pairs, [np.asarray(some, np.int32) for some in seeds])
    walks.half_round(backward=False)
    walks.half_round(backward=True)
    ends = (walks.download(name, np.int32) for name in ("partner", "pixel"))
    return [
        returned(np.asarray(some, np.int64), there, back, shape_of(first), pixel_tolerance)
        for (first, _), some, there, back in zip(pairs, seeds, *ends, strict=True)
    ]


def reciprocal_both_ways_on_gpu(
    pairs: Sequence[tuple[CudaDatabase, CudaDatabase]],
    confidences: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    *,
    stride: int = 8,
    border: int = 0,
    limit: int | None = None,
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """`reciprocal_both_ways` for all image pairs, both ways at once.

    Args:
        pairs: as in `reciprocal_on_gpu`.
        confidences: (H, W) of either image's descriptors, on the host.
        stride, border, limit: as in `reciprocal_both_ways`.
    """
    turned = [(second, first) for first, second in pairs]
    ways = reciprocal_on_gpu([*pairs, *turned], stride=stride)
    return [
        most_confident_pairs([there, back[:, ::-1]], *both, border=border, limit=limit)
        for there, back, both in zip(ways, ways[len(pairs) :], confidences, strict=False)
    ]


def _walk(pairs: Sequence[tuple[CudaDatabase, CudaDatabase]], stride: int, basins: bool) -> _Walks:
    seeds = [_seeds_in_patches(first, stride) for first, _ in pairs]
    walks = _Walks(pairs, seeds, basins)
    for _ in range(_ROUNDS):
        walks.half_round(backward=False)
        walks.half_round(backward=True)
    return walks


class _Walks:
    """Seeds of some image pairs on their way, in one piece of device memory."""

    def __init__(
        self,
        pairs: Sequence[tuple[CudaDatabase, CudaDatabase]],
        seeds: Sequence[NDArray[np.int32] | None],
        basins: bool = False,
    ) -> None:
        self._device = pairs[0][0].device
        self._channels = pairs[0][0].channels
        for image in (image for pair in pairs for image in pair):
            if image.device is not self._device or image.channels != self._channels:
                raise ValueError("pairs: give images of one device and one number of channels")
        self._counts = [
            len(first) if some is None else len(some)
            for (first, _), some in zip(pairs, seeds, strict=True)
        ]
        records = np.zeros(len(pairs), _WALK)
        self._most = max(self._counts)
        # Every part of every walk as long as the longest walk, so that a part is one array.
        itemsize = {name: 8 if name == "keys" else 4 for name in _PARTS}
        sizes = {
            name: itemsize[name] * self._most * len(pairs) for name in _PARTS if name != "basin"
        }
        self._pixels = [len(first) if basins else 0 for first, _ in pairs]
        total = sum(sizes.values()) + 4 * sum(self._pixels) + records.nbytes + 8
        self._memory: Buffer = self._device.allocate(total)
        self._starts: dict[str, int] = {}
        place = self._memory.pointer
        for name in sorted(sizes, key=lambda name: -itemsize[name]):  # keys first: aligned to 8
            self._starts[name] = place
            records[name] = place + np.arange(len(pairs)) * itemsize[name] * self._most
            place += sizes[name]
        if basins:
            self._starts["basin"] = place
            records["basin"] = place + 4 * np.cumsum([0, *self._pixels[:-1]])
            place += 4 * sum(self._pixels)
        place += -place % 8
        table = np.zeros((len(pairs), self._most), np.int32)
        for row, some in enumerate(seeds):
            if some is None:
                records["seeds"][row] = 0
            else:
                table[row, : len(some)] = some
        nowhere = np.full(sum(self._pixels), -1, np.int32)
        self._device.upload(self._starts["seeds"], table)
        if basins:
            self._device.upload(self._starts["basin"], nowhere)
        records["first"] = [first.record for first, _ in pairs]
        records["second"] = [second.record for _, second in pairs]
        records["count"] = self._counts
        self._argument = place
        self._device.upload(place, records)
        # The device may still be reading these.
        self._sources = (table, nowhere, records)
        grid = (-(-self._most // _SCAN), len(pairs), 1)
        self._device.launch("start", self._channels, grid, _SCAN, self._argument)

    def half_round(self, *, backward: bool, turn: bool = True) -> None:
        """From where the seeds are to their nearest in the other image."""
        grid = (-(-self._most // _QUERIES), _SLICES, len(self._counts))
        self._device.launch("search", self._channels, grid, _THREADS, self._argument, backward)
        if turn:
            grid = (len(self._counts), 1, 1)
            self._device.launch("turn", self._channels, grid, _SCAN, self._argument, backward)

    def pairs(self) -> list[NDArray[np.int64]]:
        """Where the seeds settled, unique and sorted."""
        parts = (self.download(name, np.int32) for name in ("pixel", "partner", "settled"))
        return [
            np.unique(np.column_stack([pixel, partner])[settled == 1].astype(np.int64), axis=0)
            for pixel, partner, settled in zip(*parts, strict=True)
        ]

    def basins(self) -> list[NDArray[np.int32]]:
        """`Walk.basin` of every walk."""
        flat = np.empty(sum(self._pixels), np.int32)
        self._device.download(self._starts["basin"], flat)
        return np.split(flat, np.cumsum(self._pixels)[:-1])

    def download(self, name: str, dtype: type[np.generic]) -> list[NDArray[Any]]:
        """One part of every walk."""
        table = np.empty((len(self._counts), self._most), dtype)
        self._device.download(self._starts[name], table)
        return [row[:count] for row, count in zip(table, self._counts, strict=True)]


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
