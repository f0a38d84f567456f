# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Transforms over time, and the way from any frame to any other."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from dataclasses import dataclass, field

import numpy as np

from mast3r_ros.common.errors import UserError
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose

_KEPT = 10_000_000_000  # [ns]
# A stamp so much older than the newest means that time was set back, as by a bag that loops.
_SET_BACK = 1_000_000_000  # [ns]


class TransformError(UserError, LookupError):
    """A transform that is not to be had."""


@dataclass
class _Edge:
    """A frame in its parent, over time."""

    parent: str
    static: bool
    kept: float
    stamps: list[int] = field(default_factory=list)
    poses: dict[int, Pose] = field(default_factory=dict)

    def insert(self, pose: Pose, stamp: int) -> None:
        if self.static or (self.stamps and stamp < self.stamps[-1] - _SET_BACK):
            self.stamps, self.poses = [], {}
        if stamp not in self.poses:
            insort(self.stamps, stamp)
        self.poses[stamp] = pose
        while self.stamps[0] < self.stamps[-1] - self.kept:
            del self.poses[self.stamps.pop(0)]

    def at(self, stamp: int, child: str) -> Pose:
        """T_parent_child, interpolated; never beyond what was heard."""
        first, last = self.stamps[0], self.stamps[-1]
        if self.static:
            return self.poses[last]
        if not first <= stamp <= last:
            when = (
                f"{(stamp - last) / 1e9:.3f} s after the last"
                if stamp > last
                else f"{(first - stamp) / 1e9:.3f} s before the first"
            )
            raise TransformError(f"TF {self.parent} -> {child}: asked {when} that was heard")
        after = bisect_left(self.stamps, stamp)
        late = self.poses[self.stamps[after]]
        if self.stamps[after] == stamp:
            return late
        begin, end = self.stamps[after - 1], self.stamps[after]
        early, share = self.poses[begin], (stamp - begin) / (end - begin)
        turn = transforms.rotation_vector(early[:3, :3].T @ late[:3, :3])
        return transforms.make(
            early[:3, :3] @ transforms.rotation_from_vector(share * turn),
            (1.0 - share) * early[:3, 3] + share * late[:3, 3],
        )


class TfBuffer:
    """The tree of frames over some time. Safe for use by several threads."""

    def __init__(self, kept: float = _KEPT) -> None:
        """No frames yet; the last `kept` nanoseconds will be known."""
        self._kept = kept
        self._edges: dict[str, _Edge] = {}
        self._lock = threading.Lock()

    def insert(self, parent: str, child: str, pose: Pose, stamp: int, static: bool) -> None:
        """Note T_parent_child, (4, 4), at a stamp [ns]; a static one holds at all times."""
        parent, child = parent.lstrip("/"), child.lstrip("/")
        with self._lock:
            edge = self._edges.get(child)
            if edge is None or (edge.parent, edge.static) != (parent, static):
                edge = self._edges[child] = _Edge(parent, static, self._kept)
            edge.insert(pose, stamp)

    def find(self, target: str, source: str, stamp: int) -> Pose:
        """T_target_source, (4, 4), at a stamp [ns]; 0 asks for the latest time known to all.

        Raises:
            TransformError: a frame is not known, not connected, or not known at that time.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        with self._lock:
            up, down = self._path(source), self._path(target)
            while up and down and up[-1] == down[-1]:
                up.pop()
                down.pop()
            root_of_up = self._edges[up[-1]].parent if up else source
            root_of_down = self._edges[down[-1]].parent if down else target
            if root_of_up != root_of_down:
                raise TransformError(f"TF does not connect '{target}' with '{source}'")
            moving = [e for e in map(self._edges.__getitem__, up + down) if not e.static]
            if stamp == 0:
                stamp = min((edge.stamps[-1] for edge in moving), default=0)
            return transforms.inverse(self._along(down, stamp)) @ self._along(up, stamp)

    def _path(self, frame: str) -> list[str]:
        """The frame and its ancestors but the root, from the leaf up."""
        path: list[str] = []
        while frame in self._edges:
            if frame in path:
                raise TransformError(f"TF goes round in a circle at '{frame}'")
            path.append(frame)
            frame = self._edges[frame].parent
        return path

    def _along(self, path: list[str], stamp: int) -> Pose:
        """T_top_leaf along a path from the leaf up."""
        pose: Pose = np.eye(4)
        for child in path:
            pose = self._edges[child].at(stamp, child) @ pose
        return pose
