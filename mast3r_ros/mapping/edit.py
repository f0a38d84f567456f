# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Maps moved as a whole, or cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping.extra import MappingError


def transform(keyframes: KeyframeMap, new_old: Pose) -> KeyframeMap:
    """The map in another frame.

    Args:
        new_old: new map frame <- old map frame, (4, 4).
    """
    return keyframes.derive(_moved(k, new_old) for k in keyframes)


def _moved(keyframe: Keyframe, new_old: Pose) -> Keyframe:
    covariance = keyframe.covariance
    if covariance is not None:
        covariance = transforms.rotate_covariance(covariance, new_old)
    return keyframe.moved(new_old @ keyframe.pose, covariance)


def crop(keyframes: KeyframeMap, low: ArrayLike, high: ArrayLike) -> KeyframeMap:
    """The keyframes whose cameras stand in a box, limits included.

    Args:
        low, high: (3,) corners [m] in the map; infinite where there is no limit.

    Raises:
        MappingError: no keyframe is in it.
    """
    least, most = np.asarray(low, np.float64), np.asarray(high, np.float64)
    kept = [k for k in keyframes if ((least <= k.pose[:3, 3]) & (k.pose[:3, 3] <= most)).all()]
    if not kept:
        places = np.array([k.pose[:3, 3] for k in keyframes]).reshape(-1, 3)
        extent = (
            f"they are at {places.min(0).round(2).tolist()} to {places.max(0).round(2).tolist()}"
            if len(places)
            else "the map is empty"
        )
        raise MappingError(f"no keyframe in the box {least.tolist()} to {most.tolist()}: {extent}")
    return keyframes.derive(kept)
