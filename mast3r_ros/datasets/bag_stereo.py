# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The right camera of a rectified stereo pair in a bag, which gives the left images their depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.bag_index import Stamped, beside
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.stereo import stereo_depth
from mast3r_ros.messages.stereo import StereoError, focal_baseline


class RightCamera:
    """Computes the depth of left images.

    Attributes:
        focal_baseline: focal length [pixels] times baseline [m], from `camera_info.P`.
    """

    def __init__(
        self, topic: str, infos: Mapping[str, Sequence[tuple[Stamped, Any]]], left: Camera
    ) -> None:
        """Read the baseline.

        Args:
            topic: of the right images; its camera_info stands beside it.
            infos: (entry, message) by camera_info topic.
            left: the left camera, rectified.

        Raises:
            RecordingError: there is no baseline, or the two are not a rectified pair.
        """
        entries = infos.get(beside(topic), ())
        if not entries:
            raise RecordingError(f"no {beside(topic)}: the baseline of {topic} is in its P")
        remedy = "name rectified topics, such as image_rect, or give --rectified"
        try:
            self.focal_baseline = focal_baseline(entries[0][1], left, beside(topic), remedy)
        except StereoError as error:
            raise RecordingError(str(error)) from error
        self._topic = topic

    def depth(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Depth of the left of two images of an instant, (H, W) [m].

        Raises:
            RecordingError: the sizes differ.
        """
        if left.shape != right.shape:
            raise RecordingError(
                f"{self._topic}: a right image of {right.shape[1]}x{right.shape[0]} pixels beside "
                f"a left one of {left.shape[1]}x{left.shape[0]}"
            )
        return stereo_depth(left, right, self.focal_baseline)
