# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reciprocal matches: pairs of pixels in which each is the other's nearest.

`reciprocal` is the fast matching of the MASt3R paper (arXiv 2406.09756, section 3.3). Pixels are
flat indices, x + width * y. Where its walk settles is a reciprocal pair, so it finds a subset of
what `mutual_nearest` finds by asking for every pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mast3r_ros.matching.nearest import Database, Searchable, nearest, nearest2

_ROUNDS = 10


def mutual_nearest(
    reference: Searchable | ArrayLike,
    query: Searchable | ArrayLike,
    *,
    min_score: float | None = None,
    ratio: float | None = None,
    threads: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """All pairs of rows in which each is the other's nearest (largest score).

    Give a `Database` for an image that is matched more than once: it is packed only once.

    Args:
        reference: (N, D) descriptors, or a database.
        query: (M, D) descriptors, or a database.
        min_score: keep pairs with at least this score.
        ratio: Lowe's ratio test from the reference side, for unit-norm descriptors: keep pairs
            whose Euclidean distance is under `ratio` times that of the second nearest query row.
        threads: 0 means one a core.

    Returns:
        pairs (P, 2) int64 of (reference row, query row) sorted by reference row, and their scores
        (P,) float32. Empty where either side is.

    Raises:
        ValueError: NaN or inf, or different numbers of channels.
    """
    first, second = _database(reference), _database(query)
    if not len(first.rows) or not len(second.rows):
        return np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    least = -np.inf if min_score is None else min_score
    keep = np.ones(len(first.rows), np.bool_)
    if ratio is None:
        forward, scores = nearest(first.rows, second, threads=threads, least=least)
    else:
        forward, scores, others = nearest2(first.rows, second, threads=threads)
        keep &= _squared_distance(scores) < ratio**2 * _squared_distance(others)
    keep &= scores >= np.float32(least)
    rows = np.flatnonzero(keep)
    rows = rows[_nearest_of_unique(second, forward[rows], first, threads, least) == rows]
    return np.column_stack([rows, forward[rows]]), scores[rows]


def grid_seeds(height: int, width: int, stride: int) -> NDArray[np.int64]:
    """Every `stride`-th pixel each way, from `stride` // 2, row by row, as flat indices."""
    if stride < 1:
        raise ValueError(f"stride: {stride}; give 1 or more")
    y = np.arange(stride // 2, height, stride, dtype=np.int64)
    x = np.arange(stride // 2, width, stride, dtype=np.int64)
    return (x + width * y[:, None]).ravel()


@dataclass(frozen=True)
class Walk:
    """Where the seeds went.

    Attributes:
        pairs: (P, 2) int64, unique, sorted by (first, second).
        basin: (N,) int32 over the first image: the pixel that a round trip leads to from each pixel
            that the walk visited, itself where the walk ended; -1 where it never came.
    """

    pairs: NDArray[np.int64]
    basin: NDArray[np.int32]


def reciprocal(
    first: Searchable, second: Searchable, seeds: NDArray[np.int64], *, threads: int = 0
) -> Walk:
    """Walks from the seeds to and fro between the images until they settle, ten rounds at most.

    Args:
        first: the image in which the seeds lie.
        second: the other image.
        seeds: (S,) flat indices into the first image.
        threads: 0 means one a core.

    Raises:
        ValueError: different numbers of channels.
        IndexError: a seed outside the first image.
    """
    pixel = _checked_seeds(seeds, first)
    partner = np.full(len(pixel), -1, np.int64)
    basin = np.full(len(first.rows), -1, np.int32)
    active = np.arange(len(pixel)) if len(second.rows) else np.zeros(0, np.int64)
    settled: list[NDArray[np.int64]] = []
    for _ in range(_ROUNDS):
        here = pixel[active]
        there = _nearest_of_unique(first, here, second, threads)
        # The same partner as a round ago: the way back is known, and leads here.
        same = there == partner[active]
        partner[active] = there
        back = here.copy()
        back[~same] = _nearest_of_unique(second, there[~same], first, threads)
        basin[here] = back
        pixel[active] = back
        home = back == here
        settled.append(active[home])
        active = active[~home]
        if not len(active):
            break
    done = np.concatenate(settled)
    pairs = np.unique(np.column_stack([pixel[done], partner[done]]), axis=0)
    return Walk(pairs, basin)


def returning_seeds(
    first: Searchable,
    second: Searchable,
    seeds: NDArray[np.int64],
    *,
    pixel_tolerance: float,
    threads: int = 0,
) -> NDArray[np.int64]:
    """The seeds that one round trip brings back to within less than `pixel_tolerance` (Euclidean).

    Args:
        first: the image in which the seeds lie, over (H, W).
        second: the other image.
        seeds: (S,) flat indices into the first image.
        pixel_tolerance: in pixels; with 1 or less only exact returns are kept.
        threads: 0 means one a core.

    Returns:
        pairs (P, 2) int64 of (seed, its nearest), in the order of the seeds.

    Raises:
        ValueError: different numbers of channels.
        IndexError: a seed outside the first image.
    """
    shape = shape_of(first)
    seeds = _checked_seeds(seeds, first)
    if not len(second.rows) or not len(seeds):
        return np.zeros((0, 2), np.int64)
    there = _nearest_of_unique(first, seeds, second, threads)
    back = _nearest_of_unique(second, there, first, threads)
    return returned(seeds, there, back, shape, pixel_tolerance)


def returned(
    seeds: NDArray[np.int64],
    there: NDArray[np.integer],
    back: NDArray[np.integer],
    shape: tuple[int, int],
    pixel_tolerance: float,
) -> NDArray[np.int64]:
    """What `returning_seeds` returns, of seeds (S,) in an image (H, W) that came back so."""
    width = shape[1]
    away = np.hypot(back % width - seeds % width, back // width - seeds // width)
    kept = away < pixel_tolerance
    return np.column_stack([seeds[kept], there[kept].astype(np.int64)])


def reciprocal_both_ways(
    first: Searchable,
    second: Searchable,
    confidence_first: NDArray[np.float32],
    confidence_second: NDArray[np.float32],
    *,
    stride: int = 8,
    border: int = 0,
    limit: int | None = None,
    threads: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """`reciprocal` from a grid of seeds in each image, the pairs of both together.

    Args:
        first: an image, over (H, W).
        second: the other image, over (H, W).
        confidence_first: (H, W) of the first image's descriptors.
        confidence_second: (H, W) of the second's.
        stride: of the seeds, in pixels.
        border: drop pairs with a pixel less than this far from the edge of its image.
        limit: keep only so many pairs, the most confident.
        threads: 0 means one a core.

    Returns:
        pairs (P, 2) int64 of flat indices, unique, sorted by (first, second), and their confidence
        (P,) float32: the smaller one of the two pixels.
    """
    ways = []
    for a, b, order in ((first, second, (0, 1)), (second, first, (1, 0))):
        seeds = grid_seeds(*shape_of(a), stride)
        ways.append(reciprocal(a, b, seeds, threads=threads).pairs[:, order])
    return most_confident_pairs(
        ways,
        confidence_first.reshape(shape_of(first)),
        confidence_second.reshape(shape_of(second)),
        border=border,
        limit=limit,
    )


def most_confident_pairs(
    ways: Sequence[NDArray[np.int64]],
    confidence_first: NDArray[np.float32],
    confidence_second: NDArray[np.float32],
    *,
    border: int = 0,
    limit: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """What `reciprocal_both_ways` returns, of the pairs (P, 2) that each way has found."""
    pairs = pairs_inside(ways, (confidence_first.shape, confidence_second.shape), border)
    confidence = np.minimum(
        confidence_first.ravel()[pairs[:, 0]], confidence_second.ravel()[pairs[:, 1]]
    )
    kept = most_confident(confidence, limit)
    return pairs[kept], confidence[kept]


def pairs_inside(
    ways: Sequence[NDArray[np.int64]], shapes: tuple[tuple[int, ...], tuple[int, ...]], border: int
) -> NDArray[np.int64]:
    """The pairs (P, 2) of all ways, unique, sorted, and off the edges of their images (H, W)."""
    pairs: NDArray[np.int64] = np.unique(np.concatenate(ways), axis=0)
    first, second = (
        inside_border(column, shape, border) for column, shape in zip(pairs.T, shapes, strict=True)
    )
    return pairs[first & second]


def inside_border(
    index: NDArray[np.int64], shape: tuple[int, ...], border: int
) -> NDArray[np.bool_]:
    """Which flat indices (N,) into an image (H, W) are at least `border` pixels from its edges."""
    height, width = shape
    x, y = index % width, index // width
    kept: NDArray[np.bool_] = np.minimum(x, width - 1 - x) >= border
    return kept & (np.minimum(y, height - 1 - y) >= border)


def most_confident(confidence: NDArray[np.float32], limit: int | None) -> NDArray[np.int64]:
    """Positions of the `limit` largest confidences in rising order, the first ones on ties."""
    if limit is None or limit >= len(confidence):
        return np.arange(len(confidence))
    return np.sort(np.argsort(-confidence, kind="stable")[:limit])


def _database(image: Searchable | ArrayLike) -> Searchable:
    return image if isinstance(image, Searchable) else Database(image)


def shape_of(database: Searchable) -> tuple[int, int]:
    """(height, width) of the image that a database was built from."""
    if database.shape is None:
        raise ValueError("database: rows without an image; build it from (H, W, D)")
    return database.shape


def _checked_seeds(seeds: NDArray[np.int64], image: Searchable) -> NDArray[np.int64]:
    checked = np.array(seeds, np.int64)
    if len(checked) and not (checked.min() >= 0 and checked.max() < len(image.rows)):
        raise IndexError(
            f"seeds: {checked.min()} to {checked.max()}, but the image has {len(image.rows)} pixels"
        )
    return checked


def _nearest_of_unique(
    queries: Searchable,
    index: NDArray[np.int64],
    database: Searchable,
    threads: int,
    least: float = -np.inf,
) -> NDArray[np.int64]:
    """The nearest of some rows, each asked for once though many seeds have come to it."""
    unique, inverse = np.unique(index, return_inverse=True)
    return nearest(queries.rows[unique], database, threads=threads, least=least)[0][inverse]


def _squared_distance(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    # |a - b|^2 = 2 - 2 a.b for unit vectors; rounding may leave a score just above 1.
    return np.maximum(2.0 - 2.0 * scores.astype(np.float64), 0.0)
