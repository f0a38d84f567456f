# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a real camera does to an ideal image, drawn for each view on its own."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator


def expose(rng: Rng, image: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    """Exposure, white balance, gamma, vignetting, blur, sharpening, noise and JPEG.

    Args:
        image: (H, W, 3) uint8, RGB.
        strength: 1 is what cameras do between one day and another; 0 leaves the exposure alone.
    """
    height, width = image.shape[:2]
    pixels: NDArray[Any] = image.astype(np.float32) * (1 / 255)
    # As a camera's automatic exposure: towards a mean, by no more than it can.
    mean = float(pixels.mean())
    target = 0.45 * np.exp(strength * rng.normal(0, 0.22))
    gain = np.clip(target / max(mean, 0.02), 0.5, 3.0)
    balance = np.exp(strength * rng.normal(0, 0.06, 3))
    pixels *= (gain * balance / balance.mean()).astype(np.float32)
    vignette = strength * rng.uniform(0, 0.35)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    pixels *= (1 - vignette * 0.5 * (x * x + y * y))[..., None]
    draw = rng.random()
    if draw < 0.3 * strength:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 0.9) * max(width, 128) / 128)
    elif draw < 0.5 * strength:
        soft = cv2.GaussianBlur(pixels, (0, 0), 1.0)
        pixels = cv2.addWeighted(pixels, 1.5, soft, -0.5, 0)
    noise = strength * rng.uniform(0, 0.02) * (2 if rng.random() < 0.15 else 1)
    pixels += noise * rng.standard_normal(pixels.shape, np.float32)
    # Gamma and a soft shoulder, by a table.
    gamma = np.exp(strength * rng.normal(0, 0.15))
    contrast = strength * rng.uniform(-0.15, 0.25)
    levels = np.linspace(0, 1, 256) ** gamma
    levels += contrast * (levels - 0.5) * levels * (1 - levels) * 4
    table = np.clip(levels * 255 + 0.5, 0, 255).astype(np.uint8)
    result = np.asarray(cv2.LUT(np.clip(pixels * 255 + 0.5, 0, 255).astype(np.uint8), table))
    if rng.random() < 0.5 * strength:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
        _, data = cv2.imencode(".jpg", result, quality)
        result = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return np.asarray(result, np.uint8)
