# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which images an evaluation solves together, and what ties them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mast3r_ros.common.options import check, option

if TYPE_CHECKING:
    from mast3r_ros.datasets.options import SourceOptions
    from mast3r_ros.evaluation.odometry import Odometry
    from mast3r_ros.localization.window import WindowOptions


@dataclass(frozen=True)
class OdometryOptions:
    """How queries are tied to those before them."""

    window: int = option(
        1, "Images solved together: a query and up to N - 1 queries before it; 1: each alone", 1, 20
    )
    odometry: str = option(
        "",
        "Odometry between these images: truth (the true poses with noise), a file of the "
        "camera's poses in any frame, in the TUM format, or a topic of the bag "
        "(nav_msgs/Odometry)",
    )
    odometry_noise: float = option(
        0.02,
        "Standard deviation of odometry's position over 0.4 s, for each axis, as a fraction "
        "of the distance; added to truth",
        0.0,
        1.0,
    )
    odometry_turn_noise: float = option(
        0.3,
        "Standard deviation of odometry's orientation over 0.4 s, about each axis "
        "[degrees]; added to truth",
        0.0,
        90.0,
    )

    cameras: str = option(
        "",
        "Further image topics of a bag, separated by commas: their images of the same "
        "instant are solved with the query of --image-topic",
    )

    def __post_init__(self) -> None:
        check(self)
        if (self.window > 1) != bool(self.odometry):
            raise ValueError(
                f"--window {self.window} with --odometry '{self.odometry}': several images need "
                "odometry, such as --window 5 --odometry truth"
            )

    @property
    def window_options(self) -> WindowOptions:
        """For the window: it is told the noise that is stated here."""
        from mast3r_ros.localization.window import WindowOptions

        return WindowOptions(
            count=self.window,
            distance_noise=self.odometry_noise,
            rotation_noise=math.radians(self.odometry_turn_noise),
        )

    def open(self, seed: int, source: Path, options: SourceOptions) -> Odometry:
        """What ties the queries of one row.

        Args:
            seed: of the noise.
            source: the recording of the queries.
            options: how it is read.

        Raises:
            RecordingError: odometry that cannot be read.
        """
        from mast3r_ros.datasets.kinds import is_bag
        from mast3r_ros.evaluation.odometry import RecordedOdometry, SimulatedOdometry

        if self.odometry == "truth":
            return SimulatedOdometry(self.window_options, seed)
        file = Path(self.odometry).expanduser()
        if is_bag(source) and not file.is_file():
            return RecordedOdometry.of_topic(source, self.odometry, options)
        return RecordedOdometry.of_file(file)
