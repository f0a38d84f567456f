# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where the keyframes of a map stand, found by place without looking at all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mast3r_ros.geometry.transforms import Pose

# Side of the grid's cells [m]: about as far as a keyframe may stand from the camera that sees the
# same things (`PosePrior.reach`).
_SIDE = 4.0
# Poses further away than this share the cells at the limit [cells].
_FAR = 1 << 40

_Cell = tuple[int, int, int]


class Place(NamedTuple):
    """What is known of a keyframe without reading it.

    Attributes:
        id: the keyframe's.
        pose: map <- camera, (4, 4).
        sensed: whether its points come from a depth sensor.
        calibrated: whether its camera is known.
    """

    id: int
    pose: Pose
    sensed: bool
    calibrated: bool


class Places:
    """The places of keyframes, in the order in which they came.

    Adding, removing and finding one costs the same however many there are.

    Attributes:
        unsensed: how many keyframes have no points of a depth sensor.
    """

    def __init__(self) -> None:
        self.unsensed = 0
        self._rows: dict[int, int] = {}
        self._ids = np.zeros(0, np.int64)
        self._poses = np.zeros((0, 4, 4))
        self._flags = np.zeros((0, 2), bool)
        self._free: list[int] = []
        self._grid: dict[_Cell, list[int]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __contains__(self, keyframe_id: object) -> bool:
        return keyframe_id in self._rows

    def __getitem__(self, keyframe_id: int) -> Place:
        """The place of a keyframe; KeyError where there is none of that id."""
        row = self._rows[keyframe_id]
        sensed, calibrated = self._flags[row].tolist()
        return Place(keyframe_id, self._poses[row].copy(), sensed, calibrated)

    @property
    def ids(self) -> NDArray[np.int64]:
        """(N,) in their order."""
        return np.fromiter(self._rows, np.int64, len(self._rows))

    @property
    def poses(self) -> NDArray[np.float64]:
        """(N, 4, 4) map <- camera, in the order of `ids`."""
        return self._poses[self._in_order()]

    @property
    def sensed(self) -> NDArray[np.bool_]:
        """(N,) in the order of `ids`."""
        return np.asarray(self._flags[self._in_order(), 0])

    def put(self, place: Place) -> None:
        """Note the place of a new keyframe, or another place of one."""
        row = self._rows.get(place.id)
        if row is not None:
            self._leave(row)
        elif self._free:
            row = self._free.pop()
        else:
            row = len(self._rows)
            if row == len(self._ids):
                self._grow(max(2 * row, 64))
        self._rows[place.id] = row
        self._ids[row], self._poses[row] = place.id, place.pose
        self._flags[row] = place.sensed, place.calibrated
        self.unsensed += not place.sensed
        self._grid.setdefault(_cell(place.pose[:3, 3]), []).append(row)

    def extend(
        self,
        ids: NDArray[np.int64],
        poses: NDArray[np.float64],
        sensed: NDArray[np.bool_],
        calibrated: NDArray[np.bool_],
    ) -> None:
        """Note the places of many new keyframes; nothing has been removed before."""
        start, end = len(self._rows), len(self._rows) + len(ids)
        if end > len(self._ids):
            self._grow(max(end, 2 * start))
        self._ids[start:end], self._poses[start:end] = ids, poses
        self._flags[start:end] = np.column_stack([sensed, calibrated])
        self.unsensed += int((~sensed).sum())
        self._rows.update(zip(ids.tolist(), range(start, end), strict=True))
        for row, cell in enumerate(_cells(poses[:, :3, 3]).tolist(), start):
            self._grid.setdefault(tuple(cell), []).append(row)

    def remove(self, keyframe_id: int) -> None:
        """Forget a place; KeyError where there is none of that id."""
        row = self._rows.pop(keyframe_id)
        self._leave(row)
        self._free.append(row)

    def near(self, center: ArrayLike, radius: float) -> tuple[NDArray[np.int64], Pose]:
        """Keyframes within a distance, in no order.

        Args:
            center: (3,) [m] in the map.
            radius: [m].

        Returns:
            Their ids (N,) and poses (N, 4, 4).
        """
        center = np.asarray(center, np.float64)
        low, high = _cells(np.stack([center - radius, center + radius]))
        if np.prod((high - low + 1).astype(float)) > len(self._grid):
            cells = list(self._grid.values())
        else:
            around = np.stack(np.meshgrid(*map(np.arange, low, high + 1)), -1).reshape(-1, 3)
            cells = [self._grid[c] for c in map(tuple, around.tolist()) if c in self._grid]
        rows = np.array([row for cell in cells for row in cell], np.int64)
        offsets = self._poses[rows, :3, 3] - center
        rows = rows[np.einsum("ij,ij->i", offsets, offsets) <= radius * radius]
        return self._ids[rows], self._poses[rows]

    def _in_order(self) -> NDArray[np.int64]:
        return np.fromiter(self._rows.values(), np.int64, len(self._rows))

    def _leave(self, row: int) -> None:
        self.unsensed -= not self._flags[row, 0]
        cell = _cell(self._poses[row, :3, 3])
        self._grid[cell].remove(row)
        if not self._grid[cell]:
            del self._grid[cell]

    def _grow(self, rows: int) -> None:
        for name in ("_ids", "_poses", "_flags"):
            old = getattr(self, name)
            new = np.zeros((rows, *old.shape[1:]), old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)


def _cells(positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N, 3) the cells of (N, 3) positions [m]."""
    return np.clip(np.floor(positions / _SIDE), -_FAR, _FAR).astype(np.int64)


def _cell(position: NDArray[np.float64]) -> _Cell:
    x, y, z = _cells(position[None])[0].tolist()
    return x, y, z
