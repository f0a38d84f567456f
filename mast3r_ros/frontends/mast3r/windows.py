# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images well above the network's size: matched whole, then again in windows at a finer scale.

After the MASt3R paper (arXiv 2406.09756, section 3.4). `matching.coarse_to_fine` chooses the
windows; here they are cut out, encoded when they are first needed, and decoded pair by pair.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mast3r_ros.engines.base import Encoded, Engine
from mast3r_ros.frontends.mast3r.description import Mast3rDescription
from mast3r_ros.frontends.mast3r.matching import PixelMatches, match_predictions, require_finite
from mast3r_ros.geometry.pixels import PixelTransform
from mast3r_ros.matching.coarse_to_fine import coarse_to_fine
from mast3r_ros.network.config import ImageSize
from mast3r_ros.network.preprocess import network_channels

_FINEST = 3  # times the network's image: 25 windows of a keyframe, with half of each overlapping
_MOST_MATCHES = 5000  # what so many say of a pose, more would not change

NO_DETAIL: NDArray[np.uint8] = np.zeros((0, 0, 3), np.uint8)


def detail_of(
    image: NDArray[np.uint8], to_original: PixelTransform, size: ImageSize
) -> NDArray[np.uint8]:
    """What the network saw of an image, two or three times as fine.

    Args:
        image: (H, W, 3) uint8, the original.
        to_original: from the network's pixels to the original's.
        size: (height, width) that the network saw [pixels].

    Returns:
        (n height, n width, 3), or `NO_DETAIL` of an image with less than 1.75 times the pixels of
        the network's on a side: there is nothing finer to see.
    """
    times = min(_FINEST, int(min(to_original.scale) + 0.25))
    if times < 2:
        return NO_DETAIL
    height, width = size
    # PIL counts from the corner of a pixel, we from its center.
    corners = to_original.apply([[-0.5, -0.5], [width - 0.5, height - 0.5]]) + 0.5
    (left, top), (right, bottom) = np.clip(corners, 0, (image.shape[1], image.shape[0]))
    return np.asarray(
        Image.fromarray(image).resize(
            (times * width, times * height), Image.Resampling.LANCZOS, (left, top, right, bottom)
        )
    )


def match_finely(
    engine: Engine,
    reference: Mast3rDescription,
    query: Mast3rDescription,
    coarse: PixelMatches,
    *,
    stride: int,
    border: int,
    limit: int,
) -> PixelMatches:
    """Matches of two images in windows, where coarse ones say that both show the same.

    Args:
        engine: runs on windows as large as the images that it has seen whole.
        reference, query: with `detail`; without it in either, the coarse matches are returned.
        coarse: matches of the whole images, in the network's pixels.
        stride, border: of the matching in a window [pixels].
        limit: the most window pairs, each of which is decoded once.

    Returns:
        In the network's pixels too, but between them.

    Raises:
        FrontEndError: the network's answer is not finite.
    """
    views = (reference, query)
    if not (reference.detail.size and query.detail.size and len(coarse.confidence)):
        return coarse
    finer = [_to_detail(view) for view in views]

    def match_windows(
        pairs: NDArray[np.int64],
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
        found = []
        for pair in pairs:
            first, second = (
                _encoded(engine, view, window)
                for view, window in zip(views, (pair[:4], pair[4:]), strict=True)
            )
            (matches,) = match_predictions(engine.decode([first], second), stride, border)
            found.append((matches.reference, matches.query, matches.confidence))
        return found

    first, second, confidence = coarse_to_fine(
        (
            finer[0].apply(coarse.reference).astype(np.float32),
            finer[1].apply(coarse.query).astype(np.float32),
            coarse.confidence,
        ),
        _size(reference.detail),
        _size(query.detail),
        match_windows,
        window=(int(reference.size[1]), int(reference.size[0])),
        second_window=(int(query.size[1]), int(query.size[0])),
        limit=limit,
        most=_MOST_MATCHES,
        keep_first=True,
    )
    return PixelMatches(
        finer[0].inverse().apply(first).astype(np.float32),
        finer[1].inverse().apply(second).astype(np.float32),
        confidence,
    )


def points_at(points: NDArray[np.float32], pixels: NDArray[np.floating]) -> NDArray[np.float32]:
    """The points of a point map (H, W, 3) at pixels (N, 2) between its own, NaN where unknown.

    Bilinear, but the nearest one where the four around differ in depth by more than a tenth: at an
    edge, or where some are unknown.
    """
    last = np.array([points.shape[1] - 1, points.shape[0] - 1])
    place = np.clip(pixels, 0, last)
    corner = np.minimum(place.astype(np.int64), np.maximum(last - 1, 0))
    part = place - corner
    other = np.minimum(corner + 1, last)
    columns = np.stack([corner[:, 0], other[:, 0]] * 2, axis=1)
    rows = np.stack([corner[:, 1]] * 2 + [other[:, 1]] * 2, axis=1)
    around = points[rows, columns]
    across = np.stack([1 - part[:, 0], part[:, 0]] * 2, axis=1)
    down = np.stack([1 - part[:, 1]] * 2 + [part[:, 1]] * 2, axis=1)
    between = (around * (across * down)[..., None]).sum(axis=1)
    near, far = around[..., 2].min(axis=1), around[..., 2].max(axis=1)
    x, y = np.rint(place).astype(np.int64).T
    smooth = far - near < 0.1 * near  # false where one is NaN
    found: NDArray[np.float32] = np.where(smooth[:, None], between, points[y, x])
    return found.astype(np.float32)


def _encoded(engine: Engine, view: Mast3rDescription, window: NDArray[np.int64]) -> Encoded:
    """A window's tokens: encoded once, and kept with the image's description."""
    left, top, right, bottom = (int(side) for side in window)
    size = (bottom - top, right - left)
    if (left, top) not in view.windows:
        # Where the network takes rays, `describe` has seen to it that the camera is known.
        camera = view.intrinsics if engine.config.rays else None
        back = PixelTransform.crop(-left, -top).then(_to_detail(view).inverse())
        pixels = view.detail[top:bottom, left:right]
        channels = network_channels(pixels, camera, back.then(view.transform))
        tokens = engine.encode(channels[None])[0]
        require_finite(tokens, "tokens")
        view.windows[left, top] = tokens.astype(np.float16)
    return Encoded(view.windows[left, top], size)


def _to_detail(view: Mast3rDescription) -> PixelTransform:
    """From the network's pixels to those of the detail."""
    return PixelTransform.resize((int(view.size[1]), int(view.size[0])), _size(view.detail))


def _size(image: NDArray[np.uint8]) -> tuple[int, int]:
    return image.shape[1], image.shape[0]
