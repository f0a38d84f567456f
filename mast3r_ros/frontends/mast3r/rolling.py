# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images as a camera sees them that is rolled about its optical axis.

A network that learned from upright images matches two of them hardly beyond a roll of 30 degrees
against each other, and where they overlap little not even from 15 on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frame import Frame
from mast3r_ros.matching.correspondences import Correspondences

_BACK = cv2.WARP_INVERSE_MAP


@dataclass(frozen=True)
class Rolled:
    """A rolled image.

    Attributes:
        frame: of the same size and camera, without depth; its mask covers the corners that the
            original does not reach.
        to_original: (2, 3), from its pixels (x, y, 1) to the original's.
    """

    frame: Frame
    to_original: NDArray[np.float64]

    @staticmethod
    def of(frame: Frame, angle: float) -> Rolled:
        """The image with its content turned clockwise by an angle [rad] about the optical axis.

        Lenses distort alike on all sides (but for the small tangential terms), so that the camera
        stays what it is. Of an unknown camera, the middle of the image is taken for the axis.
        """
        width, height = frame.size
        focal, center = np.ones(2), np.array([(width - 1) / 2, (height - 1) / 2])
        if frame.camera is not None:
            focal = np.array([frame.camera.fx, frame.camera.fy])
            center = np.array([frame.camera.cx, frame.camera.cy])
        # Turned in the plane of rays, where both axes have one scale.
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        linear = focal[:, None] * turn / focal
        to_original = np.column_stack([linear, center - linear @ center])
        image, mask = (
            cv2.warpAffine(values, to_original, frame.size, flags=flags, borderMode=border)
            for values, flags, border in (
                (frame.image, cv2.INTER_LINEAR | _BACK, cv2.BORDER_REPLICATE),
                (_mask(frame), cv2.INTER_NEAREST | _BACK, cv2.BORDER_CONSTANT),
            )
        )
        rolled = replace(
            frame, image=np.asarray(image, np.uint8), depth=None, mask=np.asarray(mask, np.uint8)
        )
        return Rolled(rolled, to_original)

    def unroll(self, found: Correspondences) -> Correspondences:
        """Matches of the rolled image, as those of the original."""
        pixels = found.query_pixels @ self.to_original[:, :2].T + self.to_original[:, 2]
        return replace(found, query_pixels=pixels.astype(np.float32))


def _mask(frame: Frame) -> NDArray[np.uint8]:
    if frame.mask is None:
        return np.full(frame.image.shape[:2], 255, np.uint8)
    return np.where(frame.mask != 0, 255, 0).astype(np.uint8)
