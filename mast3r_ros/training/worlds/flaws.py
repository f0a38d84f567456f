# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Flaws of real cameras that the second version adds to those of `photometry`.

Lengths are shares of the image's longer side, so that they mean the same at every size. What bends
the image does so by less than half a percent: depth and pose stay those of the ideal camera.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.training.worlds.photometry import expose

Rng = np.random.Generator
Image = NDArray[np.uint8]

# 20 pixels of 640.
_MOTION = 20 / 640
_DEFOCUS = 6 / 640
# What calibration and rectification leave over, at the border of the image.
_BENT = 0.004
# Standard deviation of the gray levels that a scene is drawn to, and by how much at the most. The
# office has 58 to 73 where rendered rooms had 20 to 60 (`evaluate gap`): real places have black
# screens, bright windows and the dark under desks.
_CONTRAST, _STRETCH = (40.0, 95.0), (0.9, 3.5)
# How often each flaw is there, for strength 1.
_BENDS, _SMEARS, _UNSHARP, _FLICKERS = 0.4, 0.3, 0.15, 0.1
_DARK, _BRIGHT, _COMPRESSED, _STRETCHED = 0.12, 0.12, 0.15, 0.9


def photograph(rng: Rng, image: Image, strength: float) -> Image:
    """What a camera on a robot makes of an ideal image (H, W, 3) RGB.

    Args:
        rng: everything is drawn from it.
        strength: 1 is what cameras do; 0 leaves the image with its exposure set.
    """
    chances = rng.random(8) / max(strength, 1e-9)
    if chances[7] < _STRETCHED:
        image = _stretch(rng, image)
    if chances[0] < _BENDS:
        image = _bend(rng, image)
    if chances[1] < _SMEARS:
        image = _smear(rng, image)
    elif chances[2] < _UNSHARP:
        image = _defocus(rng, image)
    if chances[3] < _FLICKERS:
        image = _flicker(rng, image)
    image = expose(rng, image, strength)
    if chances[4] < _DARK:
        image = _darken(rng, image)
    elif chances[5] < _BRIGHT:
        image = np.asarray(cv2.convertScaleAbs(image, alpha=rng.uniform(1.2, 2.0)), np.uint8)
    if chances[6] < _COMPRESSED:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 55))]
        data = cv2.imencode(".jpg", image, quality)[1]
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return image


def _stretch(rng: Rng, image: Image) -> Image:
    """A scene of more contrast, with deep shadows and lights that clip."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(gray))
    gain = float(np.clip(rng.uniform(*_CONTRAST) / max(deviation, 1.0), *_STRETCH))
    levels = np.clip(mean + gain * (np.arange(256) - mean), 0, 255)
    return np.asarray(cv2.LUT(image, levels.astype(np.uint8)), np.uint8)


def _bend(rng: Rng, image: Image) -> Image:
    """A rolling shutter on a moving camera, and distortion that rectification left over."""
    height, width = image.shape[:2]
    side = _BENT * max(height, width)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    along, across, radial = side * rng.uniform(-1, 1, 3).astype(np.float32)
    bow = radial * ((x * x + y * y) / 2 - 0.5)
    columns = np.arange(width, dtype=np.float32) + along * y + bow * x
    rows = np.arange(height, dtype=np.float32)[:, None] + across * y + bow * y
    mode = cv2.BORDER_REPLICATE
    return np.asarray(cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=mode), np.uint8)


def _smear(rng: Rng, image: Image) -> Image:
    """Motion blur along a line; the pose is that of the middle of the exposure."""
    length = _MOTION * max(image.shape[:2]) * rng.random() ** 1.5
    side = 2 * int(np.ceil(length / 2)) + 3
    kernel: NDArray[Any] = np.zeros((side, side), np.uint8)
    angle = rng.uniform(0, np.pi)
    # In sixteenths of a pixel.
    middle, half = 8 * (side - 1), 8 * length * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(np.rint(middle + sign * half).astype(int).tolist()) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 255, 1, cv2.LINE_AA, 4)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(dtype=float)), np.uint8)


def _defocus(rng: Rng, image: Image) -> Image:
    """The disc of an aperture, everywhere alike."""
    radius = 0.5 + _DEFOCUS * max(image.shape[:2]) * rng.random()
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return np.asarray(cv2.filter2D(image, -1, disc / disc.sum()), np.uint8)


def _flicker(rng: Rng, image: Image) -> Image:
    """Bands of lamps on the mains, read row by row."""
    rows = np.linspace(0, 1, image.shape[0], dtype=np.float32)
    phase = 2 * np.pi * (rng.uniform(1, 6) * rows + rng.random())
    bands = 1 + rng.uniform(0.03, 0.25) * np.sin(phase)
    return np.asarray(np.clip(image * bands[:, None, None], 0, 255), np.uint8)


def _darken(rng: Rng, image: Image) -> Image:
    """Too little light: dark, with noise that the gain brings out."""
    dark = image * np.float32(rng.uniform(0.15, 0.5))
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(2, 9))
    return np.asarray(np.clip(dark + noise, 0, 255), np.uint8)
