# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How far rendered worlds are from a recording: distributions of what images and pairs are like.

All images are reduced to the size that the small network sees. What is compared are statistics
that need no learning, so that a gap has a name and can be closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from mast3r_ros.datasets.recording import PosedPair
from mast3r_ros.drawing.page import Table
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms

Samples = dict[str, NDArray[np.float64]]

# Longer side that images are reduced to [pixels].
SIDE = 160
_PATCH = 8
# Standard deviation below which a patch is bare [gray levels].
_BARE = 4.0
# Neighboring pixels whose depths differ by more lie on an edge.
_EDGE = 0.1
_PIXELS = 200  # of an image, for the statistics of single pixels

# Statistic, unit, and whether it is one of images (else of pairs).
UNITS = {
    "brightness": "gray level",
    "contrast": "gray level",
    "saturation": "of 1",
    "too dark": "of pixels",
    "too bright": "of pixels",
    "gradient": "gray level / px",
    "bare patches": "of patches",
    "sharpness": "Laplacian / contrast",
    "noise": "gray level",
    "depth": "m",
    "relief": "95 % / 5 % of depth",
    "depth edges": "of pixels",
    "rotation": "degrees",
    "baseline": "of depth",
}


@dataclass(frozen=True)
class Gap:
    """One statistic of a recording beside that of worlds.

    Attributes:
        recording, worlds: 5, 50 and 95 % quantiles.
        distance: of Kolmogorov and Smirnov, 0 (alike) to 1 (disjoint).
        outside: share of the recording's values beyond the worlds' 5 to 95 %: 0.1 if alike. One
            place is narrower than all places, which is a distance but no gap; this is a gap.
    """

    recording: tuple[float, float, float]
    worlds: tuple[float, float, float]
    distance: float
    outside: float


def collect(pairs: Iterable[PosedPair]) -> Samples:
    """The statistics of pairs with depth and of their images, by name.

    An image that is part of several pairs counts with each of them.
    """
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in UNITS}
    for pair in pairs:
        for frame in (pair.reference, pair.query):
            for name, values in (*_of_image(frame).items(), *_of_depth(frame).items()):
                found[name].append(np.atleast_1d(np.asarray(values, np.float64)))
        for name, value in _of_motion(pair).items():
            found[name].append(np.array([value]))
    return {name: np.concatenate(parts) for name, parts in found.items() if parts}


def compare(recording: Samples, worlds: Samples) -> dict[str, Gap]:
    """The gap of each statistic that both have."""
    gaps = {}
    for name in UNITS:
        if name not in recording or name not in worlds:
            continue
        real, made = (s[name][np.isfinite(s[name])] for s in (recording, worlds))
        if not len(real) or not len(made):
            continue
        low, _, high = quantiles = _quantiles(made)
        outside = float(((real < low) | (real > high)).mean())
        distance = float(ks_2samp(real, made, method="asymp").statistic)
        gaps[name] = Gap(_quantiles(real), quantiles, distance, outside)
    return gaps


def gap_table(gaps: Mapping[str, Mapping[str, Gap]]) -> Table:
    """Statistics by row, by the name of the worlds; the last row is the mean of all."""
    columns = ["statistic", "unit", "recording"]
    for name in gaps:
        columns += [name, "distance", "outside"]
    rows = []
    for statistic, unit in UNITS.items():
        of = [found[statistic] for found in gaps.values() if statistic in found]
        if not of:
            continue
        row = [statistic, unit, _words(of[0].recording)]
        for gap in of:
            row += [_words(gap.worlds), f"{gap.distance:.2f}", f"{100 * gap.outside:.0f} %"]
        rows.append(row)
    means = ["mean", "", ""]
    for found in gaps.values():
        distance, outside = mean_gap(found)
        means += ["", f"{distance:.2f}", f"{100 * outside:.0f} %"]
    return Table(columns, [*rows, means], names=2)


def mean_gap(gaps: Mapping[str, Gap]) -> tuple[float, float]:
    """The mean distance and the mean share outside, over the statistics."""
    distance = float(np.mean([gap.distance for gap in gaps.values()]))
    return distance, float(np.mean([gap.outside for gap in gaps.values()]))


def _of_image(frame: Frame) -> Samples:
    image = _reduced(frame.image)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    rows, columns = (side // _PATCH for side in gray.shape)
    patches = gray[: rows * _PATCH, : columns * _PATCH].reshape(rows, _PATCH, columns, _PATCH)
    spread = patches.std((1, 3))
    slope = np.hypot(cv2.Sobel(gray, -1, 1, 0, scale=0.125), cv2.Sobel(gray, -1, 0, 1, scale=0.125))
    # Insensitive to structure (Immerkaer 1996); the quarter of the patches with the least of it.
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    fine = np.abs(cv2.filter2D(gray, -1, mask))[: rows * _PATCH, : columns * _PATCH]
    fine = fine.reshape(rows, _PATCH, columns, _PATCH).mean((1, 3)) * np.sqrt(np.pi / 2) / 6
    laplacian = cv2.Laplacian(gray, cv2.CV_32F)
    found = {
        "brightness": gray.mean(),
        "contrast": gray.std(),
        "saturation": (np.ptp(image.astype(np.float32), axis=2) / 255).mean(),
        "too dark": (gray < 10).mean(),
        "too bright": (gray > 248).mean(),
        "gradient": _some(slope),
        "bare patches": (spread < _BARE).mean(),
        "sharpness": laplacian.std() / max(float(gray.std()), 1.0),
        "noise": np.median(np.sort(fine, axis=None)[: max(1, fine.size // 4)]),
    }
    return {name: np.asarray(value, np.float64) for name, value in found.items()}


def _of_depth(frame: Frame) -> Samples:
    if frame.depth is None:
        return {}
    step = max(1, round(max(frame.depth.shape) / SIDE))
    depth = frame.depth[::step, ::step].astype(np.float64)
    depth = np.where(depth > 0, depth, np.nan)
    known = depth[np.isfinite(depth)]
    if not len(known):
        return {}
    ratio = np.abs(np.diff(np.log(depth), axis=1))
    near, far = np.quantile(known, [0.05, 0.95])
    return {
        "depth": _some(known),
        "relief": np.asarray(far / near),
        "depth edges": np.asarray((ratio[np.isfinite(ratio)] > _EDGE).mean()),
    }


def _of_motion(pair: PosedPair) -> dict[str, float]:
    depth = pair.reference.depth
    if depth is None:
        return {}
    known = depth[np.isfinite(depth) & (depth > 0)]
    if not len(known):
        return {}
    still = np.eye(4)
    return {
        "rotation": float(np.rad2deg(transforms.rotation_angle(still, pair.motion))),
        "baseline": transforms.distance(still, pair.motion) / float(np.median(known)),
    }


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    if scale >= 1:
        return image
    size = round(width * scale), round(height * scale)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _some(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Evenly chosen ones, at most `_PIXELS`."""
    flat = values.ravel()
    return np.asarray(flat[:: -(-len(flat) // _PIXELS)], np.float64)


def _quantiles(values: NDArray[np.float64]) -> tuple[float, float, float]:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95]).tolist()
    return low, middle, high


def _words(quantiles: tuple[float, float, float]) -> str:
    low, middle, high = (f"{value:.3g}" for value in quantiles)
    return f"{low} {middle} {high}"
