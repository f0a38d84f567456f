# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The rays of the network's pixels, and what is known of the depths along them.

A keyframe without a depth sensor gets depths by triangulation: the network matches its pixels with
those of neighbors whose poses are known. A match that is wrong by chance may lie on its epipolar
line too, so that what the network predicts of the depth is fused as one more measurement.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import Engine, to_numpy
from mast3r_ros.frontends.base import Depths
from mast3r_ros.frontends.mast3r.description import Mast3rDescription
from mast3r_ros.frontends.mast3r.matching import match_features, require_finite
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.pixels import PixelTransform

NO_POINTS: NDArray[np.float16] = np.zeros((0, 0, 3), np.float16)
NO_SIGMA: NDArray[np.float16] = np.zeros((0, 0), np.float16)
# What a measured point has beside the noise of its depth, over its depth: a match is up to a pixel
# of the network's image off, where surfaces slant.
LEAST_SIGMA = 0.01
# Farther from its epipolar line, in deviations of a matched pixel, a match is wrong.
MOST_OFF = 2.0
# Relative deviation of a predicted depth. Nano's is wrong by 0.13 to 0.17 on rendered images, in
# the mean, and by 0.14 in scale alone on real ones.
_PREDICTED_SIGMA = 0.2


def ray_pixels(description: Mast3rDescription) -> NDArray[np.float64]:
    """(N, 2), the network's pixels in the original image, row by row."""
    columns, rows = _grid(description.transform, description.network_size)
    return np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float64)


def predicted_depths(network: Engine, description: Mast3rDescription) -> Depths:
    """Those that the network predicts of the image, decoded with itself."""
    encoded = description.encoded
    (point_map,) = network.points(network.decode([(encoded, encoded)]))
    depth = to_numpy(point_map.points)[..., 2].ravel().astype(np.float64)
    require_finite(depth, "points")
    depth[depth <= 0] = np.nan
    return np.stack([depth, _PREDICTED_SIGMA * depth])


def measured_depths(description: Mast3rDescription) -> list[Depths]:
    """Those that were measured, if any were."""
    if not description.measured.size:
        return []
    depth = description.measured[..., 2].ravel().astype(np.float64)
    return [np.stack([depth, depth * description.depth_sigma.ravel()])]


def with_depths(
    description: Mast3rDescription,
    camera: Camera,
    depth: NDArray[np.float64],
    relative_sigma: NDArray[np.float64],
) -> Mast3rDescription:
    """See `Triangulates`."""
    points = camera.unproject(ray_pixels(description), depth).astype(np.float16)
    known = np.isfinite(points).all(-1)
    if not known.any():
        return replace(description, measured=NO_POINTS, depth_sigma=NO_SIGMA)
    shape = description.network_size.shape
    points[~known] = np.nan
    sigma = np.where(known, relative_sigma, np.nan).astype(np.float16)
    return replace(
        description, measured=points.reshape(*shape, 3), depth_sigma=sigma.reshape(shape)
    )


def matched_rays(
    network: Engine, one: Mast3rDescription, other: Mast3rDescription, border: int
) -> NDArray[np.int64]:
    """(M, 2) numbers of pixels that match, from a seed at each pixel of the one.

    Args:
        network: that encoded both.
        one, other: of the two images.
        border: matches nearer to an edge are dropped [pixels].
    """
    decoded = network.decode([(one.encoded, other.encoded)])
    (found,) = match_features(decoded, 1, border)
    found = found.select(one.uses(found.reference) & other.uses(found.query))
    both = ((one, found.reference), (other, found.query))
    rows = [
        np.rint(pixels).astype(np.int64) @ [1, view.network_size.width] for view, pixels in both
    ]
    return np.column_stack(rows)


def sensed(
    depth: NDArray[np.float32],
    camera: Camera,
    to_original: PixelTransform,
    size: ImageSize,
) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """A sensor's points and deviations of depth, from the nearest pixel of its depth image.

    Returns:
        As `Mast3rDescription.measured` and `.depth_sigma`.
    """
    columns, rows = _grid(to_original, size)
    sampled = cv2.remap(
        depth,
        columns,
        rows,
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(np.nan,) * 4,
    )
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 2)
    points = camera.unproject(pixels, sampled.ravel())
    measured = points.reshape(*size.shape, 3).astype(np.float16)
    known = np.isfinite(measured).all(-1)
    return measured, np.where(known, LEAST_SIGMA, np.nan).astype(np.float16)


def used(
    mask: NDArray[np.uint8] | NDArray[np.bool_], to_original: PixelTransform, size: ImageSize
) -> NDArray[np.bool_]:
    """A frame's mask at the network's pixels, from the nearest pixel of it."""
    sampled = cv2.remap((mask != 0).astype(np.uint8), *_grid(to_original, size), cv2.INTER_NEAREST)
    return np.asarray(sampled, bool)


def _grid(
    to_original: PixelTransform, size: ImageSize
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The original image's columns and rows of the network's pixels, each (height, width)."""
    width, height = size
    x = to_original.apply(np.column_stack([np.arange(width), np.zeros(width)]))[:, 0]
    y = to_original.apply(np.column_stack([np.zeros(height), np.arange(height)]))[:, 1]
    columns, rows = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return columns, rows
