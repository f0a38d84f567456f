# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Depth from two rectified images."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def stereo_depth(
    left: NDArray[np.uint8], right: NDArray[np.uint8], focal_baseline: float
) -> NDArray[np.float32]:
    """Depth of the left of two rectified images, by semi-global matching (Hirschmueller, 2008).

    Args:
        left, right: (H, W, 3) uint8 RGB, with the same principal point.
        focal_baseline: focal length [pixels] times baseline [m].

    Returns:
        (H, W) float32 [m]; NaN where both directions of matching differ by more than a pixel.
    """
    block, most = 5, 128
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=most,
        blockSize=block,
        P1=8 * block**2,
        P2=32 * block**2,
        disp12MaxDiff=-1,
        preFilterCap=31,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )

    def disparity(reference: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
        # The matcher leaves out as many columns at the left as there are disparities.
        padded = [
            cv2.copyMakeBorder(
                cv2.cvtColor(i, cv2.COLOR_RGB2GRAY), 0, 0, most, 0, cv2.BORDER_REPLICATE
            )
            for i in (reference, other)
        ]
        return np.asarray(matcher.compute(*padded)[:, most:] / np.float32(16), np.float32)

    of_left = disparity(left, right)
    mirrored = (np.ascontiguousarray(image[:, ::-1]) for image in (right, left))
    of_right = disparity(*mirrored)[:, ::-1]
    there = np.arange(left.shape[1]) - np.rint(of_left).astype(int)
    inside = (of_left > 1) & (there >= 0)
    back = np.take_along_axis(of_right, np.clip(there, 0, left.shape[1] - 1), axis=1)
    sure = inside & (np.abs(back - of_left) <= 1)
    depth = np.full(of_left.shape, np.nan, np.float32)
    depth[sure] = focal_baseline / of_left[sure]
    return depth
