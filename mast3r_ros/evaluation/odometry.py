# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Odometry for an evaluation: the true poses with stated noise, or a recorded trajectory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from mast3r_ros.datasets.summary import ReadSummary
from mast3r_ros.datasets.trajectory import read_poses
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.frame_tree import TfBuffer, TransformError
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.window import WindowOptions

# A longer gap in a file of odometry is not interpolated [ns].
_MAX_GAP = 500_000_000


class Odometry(ABC):
    """odom <- camera at the queries' stamps, which are asked for in order."""

    @abstractmethod
    def at(self, stamp: int, truth: Pose) -> Pose | None:
        """The pose at a stamp [ns], None where it is not known; `truth` is map <- camera."""


class SimulatedOdometry(Odometry):
    """The true way, with errors that add up step by step.

    Errors of position and orientation are random walks. Over `spacing`, at constant speed, their
    standard deviations are those of one step: `distance_noise` times the distance, and
    `rotation_noise`.
    """

    def __init__(self, options: WindowOptions, seed: int) -> None:
        """Begin at the first pose; the same seed gives the same errors."""
        self._options = options
        self._random = np.random.default_rng(seed)
        self._last: tuple[int, Pose] | None = None
        self._pose = np.eye(4)

    def at(self, stamp: int, truth: Pose) -> Pose:
        """See `Odometry.at`."""
        if self._last is not None:
            before, pose = self._last
            moved = transforms.inverse(pose) @ truth
            steps = max(stamp - before, 1) / (self._options.spacing * 1e9)
            sigma = np.sqrt(np.diag(self._options.step_covariance(moved)))
            # Of a part of a step, the distance is so much shorter too.
            sigma[:3] /= np.sqrt(steps)
            sigma[3:] *= np.sqrt(steps)
            self._pose = self._pose @ transforms.perturb(moved, self._random.normal(0.0, sigma))
        self._last = stamp, truth
        return self._pose


class RecordedOdometry(Odometry):
    """A trajectory of the camera from a file, interpolated between its stamps."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            RecordingError: it cannot be read, or has no poses.
        """
        poses = read_poses(path.expanduser(), ReadSummary())
        kept = max(poses) - min(poses) + 1
        self._buffer = TfBuffer(kept, _MAX_GAP, detect_jumps=False)
        for stamp, pose in sorted(poses.items()):
            self._buffer.insert("odom", "camera", pose, stamp, False)

    def at(self, stamp: int, truth: Pose) -> Pose | None:
        """See `Odometry.at`."""
        try:
            return self._buffer.find("odom", "camera", stamp)
        except TransformError:
            return None
