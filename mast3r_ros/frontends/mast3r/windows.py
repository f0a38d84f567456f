# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images well above the network's size: matched whole, then again in windows at a finer scale.

After the MASt3R paper (arXiv 2406.09756, section 3.4). `matching.coarse_to_fine` chooses the
windows; here they are cut out, encoded when they are first needed, and decoded pair by pair.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import Encoded, Engine
from mast3r_ros.frontends.mast3r.description import Mast3rDescription
from mast3r_ros.frontends.mast3r.matching import PixelMatches, match_features, require_finite
from mast3r_ros.geometry.pixels import PixelTransform
from mast3r_ros.matching.coarse_to_fine import coarse_to_fine
from mast3r_ros.network.preprocess import network_channels

_FINEST = 3  # times the network's image: 25 windows of a keyframe, with half of each overlapping
_MOST_KEPT = 128
_MOST_MATCHES = 5000  # what so many say of a pose, more would not change

NO_DETAIL: NDArray[np.uint8] = np.zeros((0, 0, 3), np.uint8)


def detail_of(
    image: NDArray[np.uint8], to_original: PixelTransform, size: ImageSize
) -> NDArray[np.uint8]:
    """What the network saw of an image, two or three times as fine.

    Args:
        image: (H, W, 3) uint8, the original.
        to_original: from the network's pixels to the original's.
        size: what the network saw.

    Returns:
        (n height, n width, 3), or `NO_DETAIL` of an image with less than 1.75 times the pixels of
        the network's on a side: there is nothing finer to see.
    """
    times = min(_FINEST, int(min(to_original.scale) + 0.25))
    if times < 2:
        return NO_DETAIL
    width, height = size
    # PIL counts from the corner of a pixel, we from its center.
    corners = to_original.apply([[-0.5, -0.5], [width - 0.5, height - 0.5]]) + 0.5
    (left, top), (right, bottom) = np.clip(corners, 0, (image.shape[1], image.shape[0]))
    return np.asarray(
        Image.fromarray(image).resize(
            (times * width, times * height), Image.Resampling.LANCZOS, (left, top, right, bottom)
        )
    )


class Windows:
    """Matches images again in windows, where coarse matches say that both show the same.

    Tokens of windows are kept while there is room, those used last the longest.

    Args:
        engine: runs on windows as large as the images that it has seen whole.
        most_kept: windows whose tokens are kept, 1.6 MB each with the published weights.
    """

    def __init__(self, engine: Engine, most_kept: int = _MOST_KEPT) -> None:
        self._engine = engine
        self._most_kept = most_kept
        self._tokens: OrderedDict[tuple[bytes, int, int], NDArray[np.float16]] = OrderedDict()

    def match(
        self,
        reference: Mast3rDescription,
        query: Mast3rDescription,
        coarse: PixelMatches,
        *,
        stride: int,
        border: int,
        limit: int,
    ) -> PixelMatches:
        """Finer matches of two images.

        Args:
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
            decoded = self._engine.decode(
                [(self._encoded(reference, p[:4]), self._encoded(query, p[4:])) for p in pairs]
            )
            return [
                (matches.reference, matches.query, matches.confidence)
                for matches in match_features(decoded, stride, border)
            ]

        first, second, confidence = coarse_to_fine(
            (
                finer[0].apply(coarse.reference).astype(np.float32),
                finer[1].apply(coarse.query).astype(np.float32),
                coarse.confidence,
            ),
            ImageSize.of(reference.detail.shape),
            ImageSize.of(query.detail.shape),
            match_windows,
            window=reference.network_size,
            second_window=query.network_size,
            limit=limit,
            most=_MOST_MATCHES,
            keep_first=True,
        )
        return PixelMatches(
            finer[0].inverse().apply(first).astype(np.float32),
            finer[1].inverse().apply(second).astype(np.float32),
            confidence,
        )

    def _encoded(self, view: Mast3rDescription, window: NDArray[np.int64]) -> Encoded:
        """A window's tokens."""
        left, top, right, bottom = (int(side) for side in window)
        # Equal images have equal tokens, and a keyframe may be loaded again.
        image = hashlib.blake2b(view.global_descriptor.tobytes(), digest_size=16)
        image.update(view.camera.tobytes())
        key = (image.digest(), left, top)
        tokens = self._tokens.pop(key, None)
        if tokens is None:
            tokens = self._encode(view, left, top, right, bottom)
        self._tokens[key] = tokens
        while len(self._tokens) > self._most_kept:
            self._tokens.popitem(last=False)
        return Encoded(tokens, ImageSize(right - left, bottom - top))

    def _encode(
        self, view: Mast3rDescription, left: int, top: int, right: int, bottom: int
    ) -> NDArray[np.float16]:
        # Where the network takes rays, `describe` has seen to it that the camera is known.
        camera = view.intrinsics if self._engine.config.rays else None
        back = PixelTransform.crop(-left, -top).then(_to_detail(view).inverse())
        pixels = view.detail[top:bottom, left:right]
        channels = network_channels(pixels, camera, back.then(view.transform))
        tokens = self._engine.encode(channels[None])[0]
        require_finite(tokens, "tokens")
        return np.asarray(tokens, np.float16)


def _to_detail(view: Mast3rDescription) -> PixelTransform:
    """From the network's pixels to those of the detail."""
    return PixelTransform.resize(view.network_size, ImageSize.of(view.detail.shape))
