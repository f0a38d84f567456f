# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Matches drawn between two images."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_GREEN, _RED = (60, 220, 60), (220, 60, 60)
_GAP = 6
_DRAWN = 50
_OPACITY = 0.65


def draw_matches(
    reference: NDArray[np.uint8],
    query: NDArray[np.uint8],
    reference_pixels: NDArray[np.floating],
    query_pixels: NDArray[np.floating],
    inliers: NDArray[np.bool_],
    height: int = 300,
) -> NDArray[np.uint8]:
    """Reference and query side by side: inliers green and joined, other matches red dots.

    Args:
        reference, query: (H, W, 3) uint8 RGB, each of its own size.
        reference_pixels, query_pixels: (N, 2) [pixels of these images].
        inliers: (N,) bool.
        height: of the picture [pixels].

    Returns:
        RGB; at most 50 of the lines, evenly chosen, so that something is still to be seen.
    """
    panels, scales = [], []
    for image in (reference, query):
        scale = height / image.shape[0]
        size = (max(round(image.shape[1] * scale), 1), height)
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        panels.append(cv2.resize(image, size, interpolation=interpolation))
        scales.append(scale)
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    canvas = np.ascontiguousarray(np.hstack([panels[0], gap, panels[1]]))
    shift = (panels[0].shape[1] + _GAP, 0)
    left = np.rint((reference_pixels + 0.5) * scales[0]).astype(int)
    right = np.rint((query_pixels + 0.5) * scales[1]).astype(int) + shift
    drawn = canvas.copy()
    for which, color in ((~inliers, _RED), (inliers, _GREEN)):
        for point in np.concatenate([left[which], right[which]]):
            cv2.circle(drawn, point.tolist(), 1, color, -1, cv2.LINE_AA)
    chosen = np.flatnonzero(inliers)
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), _DRAWN)).astype(int)]
    for start, end in zip(left[chosen], right[chosen], strict=True):
        cv2.line(drawn, start.tolist(), end.tolist(), _GREEN, 1, cv2.LINE_AA)
    blended = cv2.addWeighted(drawn, _OPACITY, canvas, 1.0 - _OPACITY, 0.0)
    return np.asarray(blended, np.uint8)
