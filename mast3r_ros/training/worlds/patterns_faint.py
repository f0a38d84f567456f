# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Textures that the second version adds: walls with faint marks, leaves, skies."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from mast3r_ros.training.worlds.patterns import SIDE, Image, Rng, blend, color, noise

Size = tuple[float, float]


def faint(rng: Rng) -> tuple[Image, Size]:
    """A painted wall of one color: stains of 1 to 3 %, a few scuffs, spots and nail holes."""
    side = rng.uniform(2, 5)
    base = color(rng, 0.5, 0.97, 0.12)
    stains = rng.uniform(0.002, 0.015) * noise(rng, rng.uniform(1.5, 2.2))
    image = (base + stains[..., None]).astype(np.float32)
    marks = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(int(rng.integers(0, 14))):
        x, y = rng.integers(0, SIDE, 2).tolist()
        depth = float(rng.uniform(-0.12, 0.04))
        if rng.random() < 0.5:
            end = (x + int(rng.normal(0, 8)), y + int(rng.normal(0, 3)))
            cv2.line(marks, (x, y), end, depth, 1, cv2.LINE_AA)
        else:
            cv2.circle(marks, (x, y), int(rng.integers(0, 3)), depth, -1, cv2.LINE_AA)
    return image * (1 + marks)[..., None], (side, side)


def leaf(rng: Rng) -> tuple[Image, Size]:
    """Green to yellow, with a middle vein and others that leave it."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE - 0.5
    base = color(rng, 0.2, 0.6, 0.15) * np.array([rng.uniform(0.3, 0.9), 1.1, 0.35], np.float32)
    veins = np.abs(np.sin(2 * np.pi * rng.uniform(4, 9) * (y + np.abs(x)))) < 0.15
    image = base * (1 + 0.1 * noise(rng, 1.4))[..., None]
    image = np.where((veins | (np.abs(x) < 0.02))[..., None], image * rng.uniform(0.8, 1.3), image)
    return np.asarray(image, np.float32), (0.0, 0.0)


def sky(rng: Rng) -> tuple[Image, Size]:
    """Blue or gray, paler towards the horizon, with clouds."""
    gray = rng.random() < 0.4
    high = color(rng, 0.6, 0.9, 0.03) if gray else np.array([0.3, 0.5, 0.85], np.float32)
    low = np.asarray(0.5 * high + 0.5 * rng.uniform(0.8, 1.0), np.float32)
    up = np.linspace(1, 0, SIDE, dtype=np.float32)[:, None] + np.zeros(SIDE, np.float32)
    image = blend(low, high, up * rng.uniform(0.7, 1.2))
    clouds = np.clip(noise(rng, rng.uniform(1.5, 2), 1.5) - rng.uniform(-0.5, 1.2), 0, 1)
    return blend(image, np.float32(rng.uniform(0.85, 1.0)) * np.ones(3, np.float32), clouds), (
        0.0,
        0.0,
    )


SURFACES_2: dict[str, Callable[[Rng], tuple[Image, Size]]] = {
    "faint": faint,
    "leaf": leaf,
    "sky": sky,
}
