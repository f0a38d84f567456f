# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where the depth of keyframes comes from: a sensor, or the right camera of a stereo pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mast3r_ros.common.size import ImageSize
from mast3r_ros.frame import Frame
from mast3r_ros.geometry.depth import fit_depth
from mast3r_ros.geometry.stereo import stereo_depth
from mast3r_ros.messages import images
from mast3r_ros.messages.samples import ImageError
from mast3r_ros.messages.stereo import StereoError, focal_baseline
from mast3r_ros.ros.options import NodeOptions
from mast3r_ros.ros.recent import Recent

Subscribe = Callable[[type, str, Callable[[Any], None]], str]
"""Subscribes to a type and a name beside the images, with a callback; returns the topic."""


class DepthSource(Protocol):
    """Gives the images of one camera their depth."""

    @property
    def topic(self) -> str:
        """What must be published for that."""
        ...

    def wait(self, stamp: int, options: NodeOptions) -> bool:
        """Whether what belongs to a stamp [ns] comes within `depth_timeout`."""
        ...

    def depth(self, frame: Frame, options: NodeOptions) -> NDArray[np.float32]:
        """(H, W) [m] of a frame for which there is some, NaN where unknown.

        Raises:
            ImageError, StereoError: a message cannot be used.
        """
        ...


def make_depth_source(options: NodeOptions, subscribe: Subscribe) -> DepthSource:
    """The source that the options choose."""
    make = StereoDepth if options.depth_source == "stereo" else SensorDepth
    return make(options, subscribe)


class _OfTopic:
    """Depth from the messages of one topic."""

    def __init__(self, subscribe: Subscribe, name: str, transport: str) -> None:
        self._recent: Recent[Any] = Recent()
        self._packed = transport != "raw"
        kind = CompressedImage if self._packed else Image
        topic = f"{name}/{transport}" if self._packed else name
        self.topic = subscribe(kind, topic, self._recent.take)

    def wait(self, stamp: int, options: NodeOptions) -> bool:
        """See `DepthSource`."""
        return self._recent.wait_for(
            lambda: self._recent.nearest(stamp, options.depth_tolerance) is not None,
            options.depth_timeout,
        )

    def _message(self, frame: Frame, options: NodeOptions) -> Any:
        return self._recent.nearest(frame.stamp, options.depth_tolerance)


class SensorDepth(_OfTopic):
    """Depth images, registered to the camera's."""

    def __init__(self, options: NodeOptions, subscribe: Subscribe) -> None:
        """Subscribe."""
        super().__init__(subscribe, "depth", options.depth_transport)

    def depth(self, frame: Frame, options: NodeOptions) -> NDArray[np.float32]:
        """See `DepthSource`."""
        convert = images.decompress_depth if self._packed else images.to_depth
        try:
            depth = convert(self._message(frame, options), options.max_megapixels)
            return fit_depth(depth, ImageSize(*frame.size))
        except ImageError as error:
            raise ImageError(f"{self.topic}: {error}") from error


class StereoDepth(_OfTopic):
    """Semi-global matching with the images of the right camera of a rectified pair."""

    def __init__(self, options: NodeOptions, subscribe: Subscribe) -> None:
        """Subscribe."""
        super().__init__(subscribe, "right/image", options.image_transport)
        self._calibrations: Recent[CameraInfo] = Recent()
        self._calibration_topic = subscribe(
            CameraInfo, "right/camera_info", self._calibrations.take
        )

    def depth(self, frame: Frame, options: NodeOptions) -> NDArray[np.float32]:
        """See `DepthSource`."""
        calibration = self._calibrations.nearest(frame.stamp)
        if calibration is None or frame.camera is None:
            missing = self._calibration_topic if frame.camera else "the left camera_info"
            raise StereoError(f"no {missing}: the baseline of a stereo pair is in its P")
        remedy = "remap `image` and `right/image` to image_rect, or set `rectified`"
        product = focal_baseline(calibration, frame.camera, self._calibration_topic, remedy)
        convert = images.decompress if self._packed else images.to_rgb
        try:
            right = convert(self._message(frame, options), options.max_megapixels)
        except ImageError as error:
            raise ImageError(f"{self.topic}: {error}") from error
        if right.shape != frame.image.shape:
            raise ImageError(
                f"{self.topic}: a right image of {ImageSize.of(right.shape)} pixels beside a left "
                f"one of {ImageSize(*frame.size)}"
            )
        return stereo_depth(frame.image, right, product)
