# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Matching images larger than the network's input: coarse matches say where to match finely.

After the MASt3R paper (arXiv 2406.09756, section 3.4): both images are cut into windows that
overlap, and window pairs are added greedily until most of the coarse matches are covered. Pixels
are (x, y), windows are (x0, y0, x1, y1) with x1 and y1 outside.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.matching.reciprocal import most_confident

Size = tuple[int, int]
Matches = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def window_grid(image: Size, window: Size, overlap: float = 0.5) -> NDArray[np.int64]:
    """Windows (N, 4) that cover an image of (width, height), row by row.

    Neighbors overlap by at least `overlap` of their side. An image smaller than the window has one
    window, as large as the image.
    """
    if not 0.0 <= overlap < 1.0:
        raise ValueError(f"overlap: {overlap}; give a part of the window in [0, 1)")
    sides = [min(side, whole) for side, whole in zip(window, image, strict=True)]
    starts = []
    for side, whole in zip(sides, image, strict=True):
        steps = int(np.ceil((whole - side) / (side * (1.0 - overlap))))
        starts.append(np.rint(np.linspace(0, whole - side, steps + 1)).astype(np.int64))
    y, x = (axis.ravel() for axis in np.meshgrid(starts[1], starts[0], indexing="ij"))
    return np.column_stack([x, y, x + sides[0], y + sides[1]])


def window_pairs(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    first_image: Size,
    second_image: Size,
    *,
    window: Size = (512, 384),
    second_window: Size | None = None,
    overlap: float = 0.5,
    cover: float = 0.9,
    limit: int | None = None,
    keep_first: bool = False,
) -> NDArray[np.int64]:
    """The window pairs that together see most of the coarse matches well, the most useful first.

    A window of either image's grid is paired with the window of the other image around the mean of
    its matches. A pair sees a match as well as it lies in the middle of both windows: a Gaussian
    of half a window's side. A match is covered by the best view of it among the chosen pairs.

    Args:
        first: (N, 2) coarse matches in the first image [px].
        second: (N, 2) the same in the second.
        first_image: its (width, height).
        second_image: its (width, height).
        window: (width, height) of the windows.
        second_window: of those in the second image, where they are others.
        overlap: of neighbors in a grid, as a part of the window.
        cover: stop at this part of the coverage that all pairs would give.
        limit: stop at so many pairs.
        keep_first: let windows in the first image lie on its grid alone, for images whose windows
            are used many times.

    Returns:
        (P, 8) int64: the window in the first image, then that in the second.
    """
    pixels = [np.asarray(side, np.float64) for side in (first, second)]
    images = (first_image, second_image)
    windows = (window, second_window or window)
    pairs, views = [], []
    for own in (0,) if keep_first else (0, 1):
        for grid_window in window_grid(images[own], windows[own], overlap):
            inside = _inside(pixels[own], grid_window)
            if not inside.any():
                continue
            middle = pixels[1 - own][inside].mean(axis=0)
            partner = _window_around(middle, images[1 - own], windows[1 - own])
            two = (grid_window, partner) if own == 0 else (partner, grid_window)
            pairs.append(np.concatenate(two))
            views.append(inside * _view(pixels[0], two[0]) * _view(pixels[1], two[1]))
    if not pairs:
        return np.zeros((0, 8), np.int64)
    chosen = _greedy_cover(np.stack(views), cover, limit)
    return np.stack(pairs)[chosen]


def coarse_to_fine(
    coarse: Matches,
    first_image: Size,
    second_image: Size,
    match_windows: Callable[[NDArray[np.int64]], list[Matches]],
    *,
    window: Size = (512, 384),
    second_window: Size | None = None,
    limit: int = 16,
    most: int | None = None,
    keep_first: bool = False,
) -> Matches:
    """Matches at full resolution, from coarse ones over the whole images.

    Args:
        coarse: pixels (N, 2) in the first image and in the second, and confidence (N,).
        first_image: its (width, height).
        second_image: its (width, height).
        match_windows: given window pairs (P, 8), matches each pair, in pixels of its two windows.
        window: (width, height) of the windows, the network's input.
        second_window: of those in the second image, where they are others.
        limit: the most window pairs to match: what bounds the time.
        most: keep only so many matches, the most confident.
        keep_first: as in `window_pairs`.

    Returns:
        pixels (M, 2) in the first image and in the second, and confidence (M,). Where window pairs
        overlap, one match is kept for each pair of whole pixels: the most confident.
    """
    pairs = window_pairs(
        *(*coarse[:2], first_image, second_image),
        window=window,
        second_window=second_window,
        limit=limit,
        keep_first=keep_first,
    )
    fine = match_windows(pairs) if len(pairs) else []
    nothing = np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
    moved = [
        (first + pair[0:2].astype(np.float32), second + pair[4:6].astype(np.float32), confidence)
        for pair, (first, second, confidence) in zip(pairs, fine, strict=True)
    ]
    first, second, confidence = (
        np.concatenate(parts) for parts in zip(nothing, *moved, strict=True)
    )
    order = np.argsort(-confidence, kind="stable")
    whole = np.rint(np.column_stack([first, second])[order]).astype(np.int64)
    kept = np.sort(order[np.unique(whole, axis=0, return_index=True)[1]])
    kept = kept[most_confident(confidence[kept], most)]
    return first[kept], second[kept], confidence[kept]


def _inside(pixels: NDArray[np.float64], window: NDArray[np.int64]) -> NDArray[np.bool_]:
    x, y = pixels[:, 0], pixels[:, 1]
    inside: NDArray[np.bool_] = (x >= window[0]) & (y >= window[1])
    inside &= (x < window[2]) & (y < window[3])
    return inside


def _window_around(middle: NDArray[np.float64], image: Size, window: Size) -> NDArray[np.int64]:
    """The window with this middle, moved into the image."""
    side = np.minimum(window, image)
    start = np.clip(np.floor(middle - side / 2).astype(np.int64), 0, np.subtract(image, side))
    return np.concatenate([start, start + side])


def _view(pixels: NDArray[np.float64], window: NDArray[np.int64]) -> NDArray[np.float64]:
    """How near the middle of a window pixels are: 1 there, exp(-1/2) at the middle of an edge."""
    half = (window[2:] - window[:2]) / 2
    away = (pixels - (window[:2] + window[2:]) / 2) / half
    view: NDArray[np.float64] = np.exp(-0.5 * (away**2).sum(axis=1))
    return view


def _greedy_cover(views: NDArray[np.float64], cover: float, limit: int | None) -> NDArray[np.int64]:
    """Rows of (P, N) added one by one, the one that raises the sum of column maxima most."""
    enough = cover * views.max(axis=0).sum()
    covered = np.zeros(views.shape[1])
    chosen: list[int] = []
    while covered.sum() < enough and len(chosen) != limit:
        gains = np.maximum(views - covered, 0.0).sum(axis=1)
        chosen.append(int(gains.argmax()))
        covered = np.maximum(covered, views[chosen[-1]])
    return np.array(chosen, np.int64)
