# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where the camera of a bag was: by TF, or by a topic of poses that TF connects with it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from mast3r_ros.datasets.bag_index import Index, Transform
from mast3r_ros.datasets.bag_runs import Runs
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.datasets.summary import IGNORED, ReadSummary, RecordingError
from mast3r_ros.geometry.frame_tree import TfBuffer, TransformError
from mast3r_ros.geometry.transforms import Pose

_OPTICAL = "optical"
# Poses of one time that differ by more contradict each other, in any entry of the matrix.
_ROUNDING = 1e-3


def _alike(a: Pose, b: Pose) -> bool:
    """Whether two poses differ by no more than rounding."""
    return bool(np.abs(a - b).max() <= _ROUNDING)


def stream(transform: Transform) -> str:
    """What is in the order of time by itself: a frame of TF, or of the pose topic."""
    return f"TF {transform.child}"


class Truth:
    """Poses of the camera by run and time."""

    def __init__(
        self, index: Index, runs: Runs, options: SourceOptions, summary: ReadSummary
    ) -> None:
        """Put the transforms of each run into a tree of frames.

        Args:
            index: the transforms.
            runs: of the bag.
            options: how it is read.
            summary: where transforms are noted that contradict others.
        """
        self._options, self._summary = options, summary
        # Transforms of a time for which another one is known.
        self.contradictions = 0
        self._frames = {t.child.lstrip("/") for t in index.transforms}
        longest = options.max_gap * 1e9
        self._trees = [TfBuffer(math.inf, longest, detect_jumps=False) for _ in range(len(runs))]
        # The pose topic replaces TF's own transform of its frame.
        replaced = {t.child for t in index.poses}
        self._insert((t for t in index.transforms if t.child not in replaced), runs)
        self._insert(index.poses, runs)
        self._of_camera = "" in replaced
        here = options.map_frame.lstrip("/")
        self._other_frames = sorted({t.parent.lstrip("/") for t in index.poses} - {here})

    def _insert(self, found: Iterable[Transform], runs: Runs) -> None:
        known: dict[tuple[int, str, int], Pose] = {}
        for t in found:
            run = runs.of(stream(t), t.record)
            before = known.setdefault((run, t.child, t.stamp), t.pose)
            if not (t.static or _alike(before, t.pose)):
                self.contradictions += 1
                self._summary.note(
                    IGNORED,
                    f"{t.parent} -> {t.child or 'camera'} at {t.stamp / 1e9:.3f} s",
                    "there are two poses of this time: do two nodes publish it, or was the clock "
                    "reset and the bag recorded in simulated time? The first is taken, as by tf2",
                )
                continue
            for tree in self._trees if t.static else self._trees[run : run + 1]:
                tree.insert(t.parent, t.child, t.pose, t.stamp, t.static)

    def find(self, run: int, frame_id: str, stamp: int) -> Pose:
        """map <- camera at a stamp [ns].

        Args:
            run: of the image.
            frame_id: of the image, or of its calibration.
            stamp: of the image.

        Raises:
            TransformError: it is not known, and why.
        """
        options = self._options
        source = options.camera_frame or frame_id
        if self._of_camera:
            source = ""
        elif not source:
            raise TransformError("the images have no frame_id: give --camera-frame")
        else:
            source = options.frame_prefix + source.lstrip("/")
        try:
            return self._trees[run].find(options.map_frame, source, stamp)
        except TransformError as error:
            hint = self._hint(source)
            if not hint:
                raise
            raise TransformError(f"{error}; {hint}") from error

    def _hint(self, source: str) -> str:
        """What may be meant where TF does not know the way to a frame; empty where nothing is."""
        if self._other_frames:
            frames = ", ".join(self._other_frames)
            return (
                f"the pose topic gives poses in frame {frames}: if that is the map, give it as "
                "--map-frame"
            )
        longer = sorted(f for f in self._frames if f.endswith(f"/{source}"))
        if source and source not in self._frames and longer:
            prefix = longer[0].removesuffix(source)
            return f"TF has '{longer[0]}': give --frame-prefix {prefix}"
        return ""

    def root(self, run: int, frame_id: str, stamp: int) -> tuple[str, Pose]:
        """The root above a frame, and root <- frame; the frame itself where it is not known."""
        frame = self._options.frame_prefix + frame_id.lstrip("/")
        root = self._trees[run].root(frame)
        try:
            return root, self._trees[run].find(root, frame, stamp)
        except TransformError:
            return frame, np.eye(4)

    def check_optical(self, image_topic: str, frame_id: str) -> None:
        """Check that images are not stamped with the frame of the camera's body.

        Raises:
            RecordingError: TF has an optical frame right below the one that the images name.
        """
        if self._of_camera or self._options.camera_frame or _OPTICAL in frame_id:
            return
        frame = self._options.frame_prefix + frame_id.lstrip("/")
        below = {c for tree in self._trees for c in tree.children(frame) if _OPTICAL in c}
        if below:
            raise RecordingError(
                f"the images of {image_topic} are in frame '{frame_id}', below which TF has "
                f"'{min(below)}': which of them looks along z? Give it as --camera-frame"
            )
