# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a real camera does to an ideal image, drawn for each view on its own."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Rng = np.random.Generator

_LEVELS = np.arange(256) / 255
# By a byte, a number of the normal distribution.
_NORMAL = ndtri((np.arange(256) + 0.5) / 256).astype(np.float32)


def expose(rng: Rng, image: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    """Exposure, white balance, gamma, vignetting, blur, sharpening, noise and JPEG.

    Args:
        image: (H, W, 3) uint8, RGB.
        strength: 1 is what cameras do between one day and another; 0 leaves the exposure alone.
    """
    height, width = image.shape[:2]
    # As a camera's automatic exposure: towards a mean, by no more than it can.
    target = 115 * np.exp(strength * rng.normal(0, 0.22))
    gain = np.clip(target / max(float(np.mean(cv2.mean(image)[:3])), 5.0), 0.5, 3.0)
    balance = np.exp(strength * rng.normal(0, 0.06, 3))
    gamma = np.exp(strength * rng.normal(0, 0.15))
    contrast = strength * rng.uniform(-0.6, 1.0)
    levels = np.minimum(_LEVELS[:, None] * gain * balance / balance.mean(), 1) ** gamma
    levels += contrast * (levels - 0.5) * levels * (1 - levels)
    pixels: NDArray[Any] = cv2.LUT(image, (255 * levels[None]).astype(np.float32))

    vignette = strength * rng.uniform(0, 0.18)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    pixels *= (1 - np.float32(vignette) * (x * x + y * y))[..., None]

    optics = rng.random()
    if optics < 0.3 * strength:
        # [pixels]: large images are rarely as blurred as their size has it.
        sigma = rng.uniform(0.3, 0.9) * np.sqrt(max(width, height) / 128)
        pixels = cv2.GaussianBlur(pixels, (0, 0), sigma)
    elif optics < 0.5 * strength:
        pixels = cv2.addWeighted(pixels, 1.5, cv2.GaussianBlur(pixels, (0, 0), 1.0), -0.5, 0)

    noise = strength * rng.uniform(0, 5) * (2 if rng.random() < 0.15 else 1)
    draws = np.frombuffer(rng.bytes(pixels.size), np.uint8).reshape(pixels.shape)
    pixels += cv2.LUT(draws, noise * _NORMAL)
    result = np.clip(pixels + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.5 * strength:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
        _, data = cv2.imencode(".jpg", result, quality)
        result = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return result
