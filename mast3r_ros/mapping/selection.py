# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which images of a drive become keyframes: those that show something new, and show it sharply."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.recording import PosedImage, read_frames
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping.describing import Describe, describe_here
from mast3r_ros.mapping.options import SelectionOptions

# Sharpness is measured on an image of this width: blur of a pixel in a large one does no harm.
_WIDTH = 320
# Images that sharpness is compared with.
_RECENT = 31
# A blurred image is taken all the same where the next one would be this much too far.
_PATIENCE = 1.5


def sharpness(image: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of an (H, W, 3) image's brightness (Pech-Pacheco, ICPR 2000).

    It is low where an image is blurred, and where the camera is covered.
    """
    height = max(round(image.shape[0] * _WIDTH / image.shape[1]), 1)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (_WIDTH, height), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(small, cv2.CV_64F).var())


def select(
    images: Iterable[tuple[PosedImage, Frame]], options: SelectionOptions
) -> Iterator[tuple[PosedImage, Frame]]:
    """The images that become keyframes, in their order.

    An image is due once the camera has moved or turned far enough from the last keyframe. A blurred
    or covered one is passed over then, unless the camera has gone half as far again.

    Args:
        images: with poses, given ones or odometry's.
        options: distance, angle and sharpness; without distance and angle, each image is selected.
    """
    if not (options.keyframe_distance or options.keyframe_angle):
        yield from images
        return
    last: Pose | None = None
    recent: deque[float] = deque(maxlen=_RECENT)
    for image, frame in images:
        recent.append(sharpness(frame.image))
        gone = np.inf if last is None else _gone(last, image.true_pose, options)
        if gone < 1.0:
            continue
        poor = recent[-1] < options.sharpness * float(np.median(recent))
        if poor and gone < _PATIENCE:
            continue
        last = image.true_pose
        yield image, frame


def add_selected(
    keyframes: KeyframeMap,
    images: Iterable[PosedImage],
    with_depth: bool,
    options: SelectionOptions,
    triangulate: bool = True,
    describe: Describe[PosedImage] | None = None,
) -> Iterator[int]:
    """Add the selected images to a map in their order; yields each new keyframe's id.

    Args:
        keyframes: the map.
        images: with poses.
        with_depth: use their depth where they have some.
        options: which are selected.
        triangulate: see `KeyframeMap.add`.
        describe: in this process by the map's front end, unless said otherwise.

    Raises:
        RecordingError: none of the images can be read.
    """
    selected = select(read_frames(images, with_depth), options)
    described = (describe or describe_here(keyframes.front_end))(selected)
    for image, frame, description in described:
        yield keyframes.add(frame, image.true_pose, description, triangulate=triangulate)


def _gone(last: Pose, pose: Pose, options: SelectionOptions) -> float:
    """How far a camera has come since the last keyframe: 1 where the next one is due."""
    parts = [0.0]
    if options.keyframe_distance:
        parts.append(transforms.distance(last, pose) / options.keyframe_distance)
    if options.keyframe_angle:
        parts.append(np.rad2deg(transforms.rotation_angle(last, pose)) / options.keyframe_angle)
    return max(parts)
