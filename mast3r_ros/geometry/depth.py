# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Depth images that belong to images of another size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.errors import UserError
from mast3r_ros.common.size import ImageSize


class DepthError(UserError, ValueError):
    """A depth image that does not belong to an image."""


def fit_depth(depth: NDArray[np.float32], size: ImageSize) -> NDArray[np.float32]:
    """Depth registered to an image, brought to its size.

    The nearest value is taken: between two surfaces there is nothing to interpolate.

    Args:
        depth: (H, W) [m], of the same field of view as the image.
        size: of the image.

    Raises:
        DepthError: its aspect ratio is another one, so that it shows another field of view.
    """
    height, width = depth.shape
    if (width, height) == size:
        return depth
    # Sizes are rounded to whole pixels.
    if abs(width * size.height - height * size.width) > max(*size, width, height):
        raise DepthError(
            f"depth of {width}x{height} pixels does not have the aspect ratio of the {size} image: "
            "register the depth to the color camera first (depth_image_proc)"
        )
    return np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)
