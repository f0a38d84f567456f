# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Odometry for an evaluation: the true poses with stated noise, or a recorded trajectory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from mast3r_ros.datasets.bag_reader import BagReader, header
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.datasets.registry import open_dataset
from mast3r_ros.datasets.summary import ReadSummary, RecordingError
from mast3r_ros.datasets.trajectory import read_poses
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.frame_tree import TfBuffer, TransformError
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.map_odom import FilterOptions
from mast3r_ros.localization.window import WindowOptions

# A longer gap in a file of odometry is not interpolated [ns].
_MAX_GAP = 500_000_000


def measured(moved: Pose, options: FilterOptions, random: np.random.Generator) -> Pose:
    """A true motion as odometry measures it, with the noise that a filter assumes."""
    error = random.multivariate_normal(np.zeros(6), options.motion_covariance(moved))
    return transforms.perturb(np.eye(4), error) @ moved


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
            covariance = self._options.covariance_over(moved, (stamp - before) / 1e9)
            sigma = np.sqrt(np.diag(covariance))
            self._pose = self._pose @ transforms.perturb(moved, self._random.normal(0.0, sigma))
        self._last = stamp, truth
        return self._pose


class RecordedOdometry(Odometry):
    """A recorded trajectory of the camera, interpolated between its stamps."""

    def __init__(self, poses: Mapping[int, Pose]) -> None:
        """Of poses odom <- camera by stamp [ns], at least one."""
        kept = max(poses) - min(poses) + 1
        self._buffer = TfBuffer(kept, _MAX_GAP, detect_jumps=False)
        for stamp, pose in sorted(poses.items()):
            self._buffer.insert("odom", "camera", pose, stamp, False)

    @staticmethod
    def of_file(path: Path) -> RecordedOdometry:
        """Read a file in the TUM format.

        Raises:
            RecordingError: it cannot be read, or has no poses.
        """
        return RecordedOdometry(read_poses(path.expanduser(), ReadSummary()))

    @staticmethod
    def of_topic(bag: Path, topic: str, options: SourceOptions) -> RecordedOdometry:
        """Read a topic of a bag: the camera's poses in the frame of its messages.

        Args:
            bag: with the images.
            topic: of nav_msgs/Odometry; TF has the way from its child frame to the camera.
            options: how the bag is read.

        Raises:
            RecordingError: there is no such topic, or it says of no image where the camera was.
        """
        raw = next(BagReader(bag).messages([topic]), None)
        if raw is None:
            raise RecordingError(f"{bag}: there are no messages on {topic}, named by --odometry")
        here = replace(options, pose_topic=topic, map_frame=header(raw)[1])
        return RecordedOdometry({i.stamp: i.true_pose for i in open_dataset(bag, here).posed()})

    def at(self, stamp: int, truth: Pose) -> Pose | None:
        """See `Odometry.at`."""
        try:
            return self._buffer.find("odom", "camera", stamp)
        except TransformError:
            return None
