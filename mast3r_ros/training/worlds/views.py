# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a world hands out: a view with its depth and pose, and two of them that overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose


@dataclass(frozen=True)
class View:
    """A rendered image with everything that is true about it.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        depth: (H, W) float32, z at the pixel's center [m]; NaN where nothing is.
        camera: intrinsics, without distortion.
        pose: (4, 4) T_world_camera; optical axes (x right, y down, z forward), world z up.
        changed: (H, W) bool, where something is seen that is not there, or lies elsewhere, when the
            pair's other view is taken; None: nowhere.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    camera: Camera
    pose: Pose
    changed: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Pair:
    """Two views of one place; `overlap` is what `geometry.overlap` says of them."""

    reference: View
    query: View
    overlap: float
