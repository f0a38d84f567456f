# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Seeds of some image pairs on their way on a GPU: the host queues launches, and waits once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.matching.cuda_image import IMAGE, CudaImage, pack
from mast3r_ros.matching.nearest import UnfitDescriptorsError

# As in the kernels.
_QUERIES, _THREADS, _SCAN = 32, 128, 512
_PARTS = (
    *("tally", "keys", "unfit", "pixel", "partner", "settled", "seeds", "active", "left"),
    "basin",
)
_WALK = np.dtype(
    [("first", IMAGE), ("second", IMAGE)]
    + [
        (name, np.uint64)
        for name in ("seeds", "pixel", "partner", "settled", "active", "left", "unfit", "keys")
    ]
    + [("basin", np.uint64), ("tally", np.uint64), ("count", np.int32), ("", np.int32)]
)
_SLICES = 8  # thread blocks that share a database for the same queries: they fill a large GPU


@dataclass(frozen=True)
class Screening:
    """How many pairs of a query and a row each look had to take, of one image pair.

    Attributes:
        all: of all queries with all rows.
        screened: multiplied in bytes, after the cones had ruled out the others.
        scored: scored in float32, after the bytes had.
    """

    all: int
    screened: int
    scored: int


class Walks:
    """Seeds of some image pairs, in one piece of device memory.

    Args:
        pairs: the images in which the seeds lie, and the others.
        seeds: (S,) flat indices for each pair; None for all rows in their order.
        basins: record them.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[CudaImage, CudaImage]],
        seeds: Sequence[NDArray[np.int32] | None],
        basins: bool = False,
    ) -> None:
        self._device = pairs[0][0].device
        self._channels = pairs[0][0].channels
        for image in (image for pair in pairs for image in pair):
            if image.device is not self._device or image.channels != self._channels:
                raise ValueError("pairs: give images of one device and one number of channels")
        pack([image for pair in pairs for image in pair])
        self._images = pairs  # their memory is read until the results are here
        self._counts = [
            first.count if some is None else len(some)
            for (first, _), some in zip(pairs, seeds, strict=True)
        ]
        self._most = max(self._counts)
        self._pixels = [first.count if basins else 0 for first, _ in pairs]
        records = self._lay_out(len(pairs))
        records["first"] = [first.record for first, _ in pairs]
        records["second"] = [second.record for _, second in pairs]
        records["count"] = self._counts
        if any(some is not None for some in seeds):
            table = np.zeros((len(pairs), self._most), np.int32)
            for row, some in enumerate(seeds):
                if some is None:
                    records["seeds"][row] = 0
                else:
                    table[row, : len(some)] = some
            self._device.upload(self._starts["seeds"], table)
        else:
            records["seeds"] = 0
        if basins:
            self._device.clear(self._starts["basin"], 4 * sum(self._pixels), 0xFF)
        else:
            records["basin"] = 0
        self._device.upload(self._argument, records)
        grid = (-(-self._most // _SCAN), len(pairs), 1)
        self._device.launch("start", self._channels, grid, _SCAN, self._argument)

    def _lay_out(self, walks: int) -> NDArray[np.void]:
        """Allocates the parts: of every walk as long as of the longest, so that one is an array."""
        records = np.zeros(walks, _WALK)
        sizes = dict.fromkeys(_PARTS, 4 * self._most)
        sizes |= {"tally": 24, "keys": 8 * self._most, "unfit": 4, "left": 4, "basin": 0}
        total = walks * sum(sizes.values()) + 4 * sum(self._pixels) + 8 + records.nbytes
        self._memory = self._device.allocate(total)
        self._starts: dict[str, int] = {}
        place = self._memory.pointer
        for name in _PARTS:
            self._starts[name] = place
            records[name] = place + np.arange(walks) * sizes[name]
            place += walks * sizes[name]
        records["basin"] += 4 * np.cumsum([0, *self._pixels[:-1]]).astype(np.uint64)
        place += 4 * sum(self._pixels)
        self._argument = place + -place % 8
        return records

    def half_round(self, *, backward: bool, turn: bool = True) -> None:
        """From where the seeds are to their nearest in the other image."""
        grid = (-(-self._most // _QUERIES), _SLICES, len(self._counts))
        self._device.launch("search", self._channels, grid, _THREADS, self._argument, backward)
        if turn:
            grid = (len(self._counts), 1, 1)
            self._device.launch("turn", self._channels, grid, _SCAN, self._argument, backward)

    def ends(self) -> list[tuple[NDArray[np.int32], ...]]:
        """Of every walk: pixel, partner and settled (S,) each."""
        walks = len(self._counts)
        flat = np.empty(walks * (1 + 3 * self._most), np.int32)
        self._device.download(self._starts["unfit"], flat)
        self._refuse_unfit(flat[:walks])
        table = flat[walks:].reshape(3, walks, self._most)
        return [tuple(table[:, i, :count]) for i, count in enumerate(self._counts)]

    def pairs(self) -> list[NDArray[np.int64]]:
        """Where the seeds settled, unique and sorted."""
        return [
            np.unique(np.column_stack([pixel, partner])[settled == 1].astype(np.int64), axis=0)
            for pixel, partner, settled in self.ends()
        ]

    def basins(self) -> list[NDArray[np.int32]]:
        """`Walk.basin` of every walk."""
        flat = np.empty(sum(self._pixels), np.int32)
        self._device.download(self._starts["basin"], flat)
        return np.split(flat, np.cumsum(self._pixels)[:-1])

    def keys(self) -> list[NDArray[np.uint64]]:
        """Score and index of the best of every seed, as `key_of` in dot.hpp makes them."""
        walks = len(self._counts)
        raw = np.empty(walks * (8 * self._most + 4), np.uint8)
        self._device.download(self._starts["keys"], raw)
        self._refuse_unfit(raw[walks * 8 * self._most :].view(np.int32))
        table = raw[: walks * 8 * self._most].view(np.uint64).reshape(walks, self._most)
        return [row[:count] for row, count in zip(table, self._counts, strict=True)]

    def screenings(self) -> list[Screening]:
        """What the search of every walk has cost so far."""
        tally = np.empty((len(self._counts), 3), np.uint64)
        self._device.download(self._starts["tally"], tally)
        return [Screening(*map(int, row)) for row in tally]

    def _refuse_unfit(self, unfit: NDArray[np.int32]) -> None:
        if unfit.any():
            raise UnfitDescriptorsError(
                f"descriptors of image pair {np.flatnonzero(unfit)[0]}: NaN, inf or a norm above "
                "1e18; leave such rows out"
            )
