# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pairs of a recording with depth."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.recording import PosedImage, PosedPair, read_frames
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.overlap import overlap

# More than this is nearly the same image twice.
MAX_OVERLAP = 0.95
_SLICES = 8
# Images of a recording that are compared with each other, at the most.
_IMAGES = 120
# Sensors and trackers are not exact.
_DEPTH_TOLERANCE = 0.1


def recorded_pairs(
    recording: Sequence[PosedImage], count: int, seed: int, min_overlap: float
) -> list[PosedPair]:
    """Pairs of a recording with depth, spread evenly over the overlap.

    Every image is compared with every other one, of at most 120 that are evenly chosen.

    Args:
        count: fewer where there are no more pairs.
        seed: of the choice.
        min_overlap: pairs that share less are left out.

    Raises:
        RecordingError: images without depth, or no two of them share so much.
    """
    step = -(-len(recording) // _IMAGES)
    loaded = list(read_frames(recording[::step], with_depth=True))
    images, frames = [image for image, _ in loaded], [frame for _, frame in loaded]
    if any(frame.depth is None or frame.camera is None for frame in frames):
        raise RecordingError("pairs are chosen by their depth: the recording has images without")
    shared = _overlaps(images, frames)
    chosen = _spread(shared, count, seed, min_overlap)
    if not chosen:
        raise RecordingError(
            f"no two of {len(images)} images share between {min_overlap:g} and {MAX_OVERLAP:g} of "
            "what they show: ask for less with --min-overlap"
        )
    return [
        PosedPair(
            f"{images[i].name}, {images[j].name}",
            frames[i],
            frames[j],
            transforms.inverse(images[i].true_pose) @ images[j].true_pose,
            float(shared[i, j]),
        )
        for i, j in chosen
    ]


def _overlaps(images: Sequence[PosedImage], frames: Sequence[Frame]) -> NDArray[np.float64]:
    """(N, N), symmetric."""
    shared = np.zeros((len(images), len(images)))
    for i, j in itertools.combinations(range(len(images)), 2):
        a, b = frames[i], frames[j]
        assert a.depth is not None
        assert b.depth is not None
        assert a.camera is not None
        assert b.camera is not None
        motion = transforms.inverse(images[j].true_pose) @ images[i].true_pose
        shared[i, j] = shared[j, i] = overlap(
            a.depth, b.depth, a.camera, b.camera, motion, _DEPTH_TOLERANCE
        )
    return shared


def _spread(
    shared: NDArray[np.float64], count: int, seed: int, min_overlap: float
) -> list[tuple[int, int]]:
    """Pairs of rows, drawn in turn from slices of equal width of the overlap."""
    random = np.random.default_rng(seed)
    edges = np.linspace(min_overlap, MAX_OVERLAP, _SLICES + 1)
    slices = []
    for low, high in itertools.pairwise(edges):
        pairs = np.argwhere((shared >= low) & (shared < high) & (shared > 0))
        slices.append([(int(i), int(j)) for i, j in random.permutation(pairs)])
    turns = itertools.chain.from_iterable(itertools.zip_longest(*slices))
    return list(itertools.islice((pair for pair in turns if pair is not None), count))
