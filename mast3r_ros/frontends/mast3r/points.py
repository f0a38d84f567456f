# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Points of a keyframe at the pixels of its matches: predicted, measured, or both.

Of a point map on a GPU, only the points at matches come to the host.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import DeviceArray, to_numpy
from mast3r_ros.frontends.mast3r.matching import gpu_matcher, require_finite
from mast3r_ros.network.prediction import PointMap

_FEWEST_DEPTHS = 100  # below this, a ratio of depths is no scale
_MOST_DEPTHS = 4000  # for one number, more do not help

Take = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""The points (..., 3) at flat pixels (...)."""


def predicted_points(
    point_map: PointMap[DeviceArray], pixels: NDArray[np.floating], measured: NDArray[np.float16]
) -> NDArray[np.float32]:
    """The network's points at pixels (N, 2), with the scale of measured ones where there are any.

    Args:
        point_map: of a whole image.
        pixels: of the image that the network saw, perhaps between its pixels.
        measured: (H, W, 3) [m], NaN where unknown; (0, 0, 3) without any.

    Raises:
        FrontEndError: a point that is used is not finite.
    """
    take = taker(point_map.points)

    def finite(index: NDArray[np.int64]) -> NDArray[np.float32]:
        points = take(index)
        require_finite(points, "points")
        return points

    size = ImageSize.of(point_map.points.shape)
    points = points_at(finite, size, pixels)
    if not measured.size:
        return points
    return points * _scale(finite, taker(point_map.confidence), measured)


def measured_points(
    measured: NDArray[np.float16], pixels: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Points of an image (H, W, 3) at pixels (N, 2), NaN where unknown."""
    return points_at(taker(measured), ImageSize.of(measured.shape), pixels)


def points_at(take: Take, size: ImageSize, pixels: NDArray[np.floating]) -> NDArray[np.float32]:
    """The points of an image of `size` at pixels (N, 2) between its own, NaN where unknown.

    Bilinear, but the nearest one where the four around differ in depth by more than a tenth: at an
    edge, or where some are unknown.
    """
    last = np.array([size.width - 1, size.height - 1])
    place = np.clip(pixels, 0, last)
    nearest = np.rint(place).astype(np.int64)
    if np.array_equal(place, nearest):
        return take(nearest[:, 0] + size.width * nearest[:, 1])
    corner = np.minimum(place.astype(np.int64), np.maximum(last - 1, 0))
    part = place - corner
    other = np.minimum(corner + 1, last)
    columns = np.stack([corner[:, 0], other[:, 0]] * 2, axis=1)
    rows = np.stack([corner[:, 1]] * 2 + [other[:, 1]] * 2, axis=1)
    around = take(columns + size.width * rows)
    across = np.stack([1 - part[:, 0], part[:, 0]] * 2, axis=1)
    down = np.stack([1 - part[:, 1]] * 2 + [part[:, 1]] * 2, axis=1)
    between = (around * (across * down)[..., None]).sum(axis=1)
    near, far = around[..., 2].min(axis=1), around[..., 2].max(axis=1)
    smooth = far - near < 0.1 * near  # false where one is NaN
    # The nearest is one of the four: the corner with the larger weight on either axis.
    chosen = (part[:, 0] > 0.5) + 2 * (part[:, 1] > 0.5)
    single = around[np.arange(len(around)), chosen]
    return np.asarray(np.where(smooth[:, None], between, single), np.float32)


def taker(array: DeviceArray) -> Take:
    """Reads an array over an image, (H, W, ...), at flat pixels, from where it lies."""
    rest = tuple(array.shape[2:])
    if hasattr(array, "get_device") and hasattr(array, "flatten"):  # a tensor
        return lambda index: _take_from_tensor(array, index)
    if hasattr(array, "__cuda_array_interface__"):
        return lambda index: gpu_matcher(array.get_device()).take([array], [index])[0]
    host = to_numpy(array).reshape(-1, *rest)
    return lambda index: np.asarray(host[index], np.float32)


def _take_from_tensor(array: DeviceArray, index: NDArray[np.int64]) -> NDArray[np.float32]:
    taken: NDArray[np.float32] = array.flatten(0, 1)[index].cpu().numpy()
    return taken


def _scale(take: Take, confidence: Take, measured: NDArray[np.float16]) -> float:
    """How many times too small predicted points are, by measured ones; 1 where it is unsure."""
    depths = measured[..., 2].ravel()
    known = np.flatnonzero(np.isfinite(depths))
    if len(known) < _FEWEST_DEPTHS:
        return 1.0
    some = known[:: -(-len(known) // _MOST_DEPTHS)]
    predicted, sure = take(some)[:, 2], confidence(some)
    # The better half of the point map is enough for one number.
    kept = (predicted > 0) & (sure >= np.median(sure))
    if not kept.any():
        return 1.0
    return float(np.median(depths[some][kept].astype(np.float32) / predicted[kept]))
