# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A keyframe: a reference image with a pose in the map."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.base import Description
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose

_THUMBNAIL_SIDE = 480


@dataclass(frozen=True)
class Keyframe:
    """What the map keeps of a reference image.

    Attributes:
        id: unique in the map, never used again.
        pose: map <- camera, (4, 4).
        description: what the front end needs to match it.
        camera: its intrinsics, or None where they are unknown.
        stamp: time of exposure [ns].
        frame_id: the camera's optical frame.
        size: (width, height) of the original image [pixels].
        thumbnail: a small JPEG, for people.
        sensed: whether its points come from a depth sensor.
        mask: (H, W) uint8 in the original image, as `Frame.mask`; None where all of it was used.
        covariance: (6, 6) of the pose [m, rad], in the sense of `transforms.perturb`; None where
            the map says nothing of this keyframe's own error.
    """

    id: int
    pose: Pose
    description: Description
    camera: Camera | None
    stamp: int
    frame_id: str
    size: tuple[int, int]
    thumbnail: bytes
    sensed: bool
    # (By a factory: a class attribute would hide from `StoredKeyframe` that it must be read.)
    mask: NDArray[np.uint8] | None = field(default_factory=lambda: None)
    covariance: NDArray[np.float64] | None = field(default_factory=lambda: None)

    @property
    def calibrated(self) -> bool:
        """Whether its camera is known."""
        return self.camera is not None

    def moved(self, pose: Pose, covariance: NDArray[np.float64] | None) -> Keyframe:
        """The same image at another pose; as `dataclasses.replace`, but nothing is read for it."""
        return replace(self, pose=pose, covariance=covariance)

    def renamed(self, keyframe_id: int) -> Keyframe:
        """The same image under another id; nothing is read for it."""
        return replace(self, id=keyframe_id)


def make_thumbnail(image: NDArray[np.uint8]) -> bytes:
    """JPEG of an RGB image, its long side at most 480 pixels."""
    scale = min(1.0, _THUMBNAIL_SIDE / max(image.shape[:2]))
    size = [max(round(side * scale), 1) for side in (image.shape[1], image.shape[0])]
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    assert done, "JPEG encoding of a uint8 image does not fail"
    return bytes(data)


def decode_thumbnail(data: bytes) -> NDArray[np.uint8]:
    """The RGB image of a thumbnail."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"a thumbnail of {len(data)} bytes is not a JPEG")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
