# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Transforms over time, and the path from any frame to any other."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left, insort
from dataclasses import dataclass, field

import numpy as np

from mast3r_ros.common.errors import UserError
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose

_KEPT = 10_000_000_000  # [ns]
# Transforms so much older than the newest may mean that time jumped back, as when a bag loops ...
_JUMP = 1_000_000_000  # [ns]
# ... if as many follow each other. A single one is late, and is kept in its place, as tf2 does.
_CONFIRMATIONS = 3


class TransformError(UserError, LookupError):
    """A transform that is not available."""


@dataclass
class _Edge:
    """A frame in its parent, over time."""

    parent: str
    static: bool
    kept: float
    max_gap: float
    detect_jumps: bool
    stamps: list[int] = field(default_factory=list)
    poses: dict[int, Pose] = field(default_factory=dict)
    # What would remain if the last messages turn out to be from after a jump.
    after_jump: list[tuple[int, Pose]] = field(default_factory=list)

    def insert(self, pose: Pose, stamp: int) -> None:
        if self.static:
            self.stamps, self.poses = [stamp], {stamp: pose}
            return
        if self.detect_jumps and self.stamps and stamp < self.stamps[-1] - _JUMP:
            self.after_jump.append((stamp, pose))
            if len(self.after_jump) == _CONFIRMATIONS:
                self.poses = dict(self.after_jump)
                self.stamps, self.after_jump = sorted(self.poses), []
                return
        else:
            self.after_jump = []
        if self.stamps and stamp < self.stamps[-1] - self.kept:
            return
        if stamp not in self.poses:
            insort(self.stamps, stamp)
        self.poses[stamp] = pose
        while self.stamps[0] < self.stamps[-1] - self.kept:
            del self.poses[self.stamps.pop(0)]

    def at(self, stamp: int, child: str) -> Pose:
        """T_parent_child, interpolated; never extrapolated."""
        first, last = self.stamps[0], self.stamps[-1]
        if self.static:
            return self.poses[last]
        if not first <= stamp <= last:
            off, when = (stamp - last, "future") if stamp > last else (first - stamp, "past")
            raise TransformError(
                f"TF {self.parent} -> {child}: lookup would require extrapolation "
                f"{off / 1e9:.3f} s into the {when}"
            )
        after = bisect_left(self.stamps, stamp)
        late = self.poses[self.stamps[after]]
        if self.stamps[after] == stamp:
            return late
        begin, end = self.stamps[after - 1], self.stamps[after]
        if end - begin > self.max_gap:
            raise TransformError(
                f"TF {self.parent} -> {child}: a gap of {(end - begin) / 1e9:.3f} s is longer than "
                f"`max_gap`, {self.max_gap / 1e9:g} s, and is not interpolated"
            )
        early, fraction = self.poses[begin], (stamp - begin) / (end - begin)
        turn = transforms.rotation_vector(early[:3, :3].T @ late[:3, :3])
        return transforms.make(
            early[:3, :3] @ transforms.rotation_from_vector(fraction * turn),
            (1.0 - fraction) * early[:3, 3] + fraction * late[:3, 3],
        )


class TfBuffer:
    """The tree of frames over some time. Safe for use by several threads."""

    def __init__(
        self, kept: float = _KEPT, max_gap: float = math.inf, detect_jumps: bool = True
    ) -> None:
        """No frames yet.

        Args:
            kept: how long transforms are kept [ns]; older ones are ignored.
            max_gap: longest time between two transforms that is interpolated [ns].
            detect_jumps: whether three transforms in a row, each more than a second older than the
                newest, replace what is known of their frame: time jumped back.
        """
        self._kept, self._max_gap, self._detect_jumps = kept, max_gap, detect_jumps
        self._edges: dict[str, _Edge] = {}
        self._lock = threading.Lock()

    def insert(self, parent: str, child: str, pose: Pose, stamp: int, static: bool) -> None:
        """Add T_parent_child, (4, 4), at a stamp [ns]; a static one holds at all times."""
        parent, child = parent.lstrip("/"), child.lstrip("/")
        with self._lock:
            edge = self._edges.get(child)
            if edge is None or (edge.parent, edge.static) != (parent, static):
                edge = self._edges[child] = _Edge(
                    parent, static, self._kept, self._max_gap, self._detect_jumps
                )
            edge.insert(pose, stamp)

    def clear(self) -> None:
        """Time jumped back: forget all transforms but the static ones."""
        with self._lock:
            self._edges = {child: edge for child, edge in self._edges.items() if edge.static}

    def find(self, target: str, source: str, stamp: int) -> Pose:
        """T_target_source, (4, 4), at a stamp [ns]; 0 asks for the latest time known to all.

        Raises:
            TransformError: a frame is not known, not connected, or not known at that time.
        """
        with self._lock:
            return self._find(target, source, stamp)[0]

    def latest(self, target: str, source: str) -> tuple[Pose, int]:
        """T_target_source at the latest time known to all, and that time [ns]; 0 if all is static.

        Raises:
            TransformError: a frame is not known, or not connected.
        """
        with self._lock:
            return self._find(target, source, 0)

    def _find(self, target: str, source: str, stamp: int) -> tuple[Pose, int]:
        target, source = target.lstrip("/"), source.lstrip("/")
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
        return transforms.inverse(self._along(down, stamp)) @ self._along(up, stamp), stamp

    def root(self, frame: str) -> str:
        """The frame above all others that are above `frame`; itself where none is.

        Raises:
            TransformError: there is a cycle above it.
        """
        frame = frame.lstrip("/")
        with self._lock:
            path = self._path(frame)
            return self._edges[path[-1]].parent if path else frame

    def children(self, frame: str) -> list[str]:
        """The frames whose parent is `frame`."""
        frame = frame.lstrip("/")
        with self._lock:
            return [child for child, edge in self._edges.items() if edge.parent == frame]

    def _path(self, frame: str) -> list[str]:
        """The frame and its ancestors but the root, from the leaf up."""
        path: list[str] = []
        seen: set[str] = set()
        while frame in self._edges:
            if frame in seen:
                raise TransformError(f"TF has a cycle at '{frame}'")
            seen.add(frame)
            path.append(frame)
            frame = self._edges[frame].parent
        return path

    def _along(self, path: list[str], stamp: int) -> Pose:
        """T_top_leaf along a path from the leaf up."""
        pose: Pose = np.eye(4)
        for child in path:
            pose = self._edges[child].at(stamp, child) @ pose
        return pose
