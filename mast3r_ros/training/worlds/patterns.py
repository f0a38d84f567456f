# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Procedural textures of surfaces: tileable, with the width and height that they cover [m]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Rng = np.random.Generator
# Side of a texture [pixels].
SIDE = 256

_ROW, _COLUMN = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE
_F_ROW = np.fft.fftfreq(SIDE)[:, None] * SIDE
_F_COLUMN = np.fft.rfftfreq(SIDE)[None] * SIDE


def noise(rng: Rng, slope: float = 1.5, stretch: float = 1.0, scale: float = 1.0) -> Image:
    """Periodic noise of mean 0 and deviation 1, amplitude falling as frequency^-slope.

    `stretch` above 1 draws it out along the rows; below `scale` cycles it is flat.
    """
    spectrum = np.fft.rfft2(rng.standard_normal((SIDE, SIDE), np.float32))
    frequency = np.hypot(_F_ROW / stretch, _F_COLUMN * stretch)
    out = np.fft.irfft2(spectrum * np.maximum(frequency, scale) ** -slope, (SIDE, SIDE))
    out -= out.mean()
    return np.asarray(out / out.std(), np.float32)


def color(rng: Rng, low: float = 0.05, high: float = 0.95, vivid: float = 0.5) -> Image:
    """(3,) a color of some brightness; `vivid` says how far from gray it may be."""
    value = rng.uniform(low, high)
    hue = rng.uniform(-1, 1, 3)
    return np.asarray(np.clip(value * (1 + vivid * (hue - hue.mean())), 0, 1), np.float32)


def blend(a: Image, b: Image, t: Image) -> Image:
    """Two colors by a (SIDE, SIDE) share of the second, (SIDE, SIDE, 3)."""
    return a + (b - a) * np.clip(t, 0, 1)[..., None]


def cells(rng: Rng, rows: int, columns: int, shift: float = 0.0) -> tuple[Image, Image, Image]:
    """A grid whose odd rows are shifted: each pixel's distance to the joint across and along
    [shares of the texture], and a number of its cell in [0, 1)."""
    row = np.minimum((_ROW * rows).astype(int), rows - 1)
    moved = (_COLUMN * columns + (row % 2) * shift) % columns
    column = moved.astype(int) % columns
    across = np.abs(np.modf(moved)[0] - 0.5)
    along = np.abs(np.modf(_ROW * rows)[0] - 0.5)
    value = rng.random((rows, columns), np.float32)[row, column]
    return (0.5 - across) / columns, (0.5 - along) / rows, value


def plaster(rng: Rng) -> tuple[Image, tuple[float, float]]:
    size = rng.uniform(1.5, 4)
    base = color(rng, 0.55, 0.95, 0.15)
    rough = rng.uniform(0.005, 0.04) * noise(rng, rng.uniform(0.4, 1.8))
    return base + rough[..., None], (size, size)


def planks(rng: Rng) -> tuple[Image, tuple[float, float]]:
    count = int(rng.integers(6, 12))
    width = rng.uniform(0.08, 0.2)
    _, along, value = cells(rng, count, 1)
    grain = noise(rng, 1.2, 6.0)
    base = color(rng, 0.25, 0.7, 0.15) * (1.15, 0.95, 0.7)
    image = base * (0.75 + 0.4 * value + 0.08 * grain)[..., None]
    image = image * np.where(along * count < 0.02, 0.45, 1)[..., None]
    joint = np.abs(_COLUMN - (value * 7.31) % 1) < 0.004
    return np.where(joint[..., None], image * 0.5, image), (rng.uniform(1.5, 2.5), count * width)


def wood(rng: Rng) -> tuple[Image, tuple[float, float]]:
    grain = noise(rng, 1.3, 5.0)
    rings = np.sin(rng.uniform(6, 30) * (_ROW * 2 * np.pi / 6 + 0.1 * noise(rng, 2.5, 3.0)))
    base = color(rng, 0.2, 0.75, 0.2) * (1.2, 0.95, 0.65)
    return base * (1 + 0.1 * grain + 0.07 * rings)[..., None], (1.2, 0.8)


def bricks(rng: Rng) -> tuple[Image, tuple[float, float]]:
    across, along, value = cells(rng, 12, 4, 0.5)
    joint = np.minimum(across * 0.88, along * 0.9) < 0.006
    base = color(rng, 0.25, 0.7, 0.2) * (1.25, 0.85, 0.7)
    image = base * (0.7 + 0.5 * value + 0.08 * noise(rng, 1.0))[..., None]
    mortar = color(rng, 0.45, 0.8, 0.1) + 0.03 * noise(rng, 0.8)[..., None]
    return np.where(joint[..., None], mortar, image), (0.88, 0.9)


def tiles(rng: Rng) -> tuple[Image, tuple[float, float]]:
    count = int(rng.choice([2, 4, 6, 8]))
    side = rng.uniform(0.3, 0.6) if count == 2 else rng.uniform(0.1, 0.4)
    across, along, value = cells(rng, count, count, rng.choice([0, 0, 0.5]))
    first, second = color(rng, 0.3, 0.95, 0.2), color(rng, 0.15, 0.95, 0.3)
    if rng.random() < 0.4:
        row, column = (_ROW * count).astype(int), (_COLUMN * count).astype(int)
        chosen = ((row + column) % 2).astype(np.float32)
    else:
        chosen = value * rng.uniform(0, 0.5)
    image = blend(first, second, chosen) * (1 + 0.04 * noise(rng, 1.3))[..., None]
    grout = color(rng, 0.3, 0.8, 0.05)
    joint = np.minimum(across, along) * count < 0.02
    return np.where(joint[..., None], grout, image), (count * side, count * side)


def wallpaper(rng: Rng) -> tuple[Image, tuple[float, float]]:
    first = color(rng, 0.4, 0.95, 0.25)
    second = np.clip(first * rng.uniform(0.6, 1.3), 0, 1).astype(np.float32)
    kind = rng.integers(4)
    count = int(rng.integers(2, 8))
    if kind == 0:
        t = (np.modf(_COLUMN * count)[0] < rng.uniform(0.2, 0.6)).astype(np.float32)
    elif kind == 1:
        t = (noise(rng, 2.0, scale=count) > 0.6).astype(np.float32)
    elif kind == 2:
        x, y = np.modf(_COLUMN * count)[0] - 0.5, np.modf(_ROW * count)[0] - 0.5
        t = (np.hypot(x, y) < rng.uniform(0.15, 0.35)).astype(np.float32)
    else:
        half = noise(rng, 2.0, scale=3)
        t = np.clip((half + half[:, ::-1]) * 0.8, 0, 1)
        t = np.tile(t[::2, ::2], (2, 2))
    size = rng.uniform(0.5, 1.6)
    return blend(first, second, t) + 0.01 * noise(rng, 0.5)[..., None], (size, size)


def fabric(rng: Rng) -> tuple[Image, tuple[float, float]]:
    first, second, third = (color(rng, 0.1, 0.9, 0.6) for _ in range(3))
    kind = rng.integers(3)
    if kind == 0:
        image = first * (1 + 0.12 * noise(rng, 0.5))[..., None]
    elif kind == 1:
        count = int(rng.integers(2, 7))
        x = np.modf(_COLUMN * count)[0] < rng.uniform(0.2, 0.6)
        y = np.modf(_ROW * count)[0] < rng.uniform(0.2, 0.6)
        image = blend(first, second, 0.5 * (x * 1.0 + y * rng.integers(2)).astype(np.float32))
    else:
        edges = np.sort(rng.random(int(rng.integers(4, 14))))
        chosen = np.searchsorted(edges, _COLUMN) % 3
        image = np.stack([first, second, third])[chosen]
    weave = 0.05 * np.sin(_ROW * 2 * np.pi * 64) * np.sin(_COLUMN * 2 * np.pi * 64)
    size = rng.uniform(0.3, 1.0)
    return image * (1 + weave + 0.03 * noise(rng, 0.6))[..., None], (size, size)


def carpet(rng: Rng) -> tuple[Image, tuple[float, float]]:
    field = noise(rng, 1.8, scale=2)
    field = field + field[::-1] + field[:, ::-1] + field[::-1, ::-1]
    levels = np.quantile(field, np.sort(rng.random(3)))
    colors = np.stack([color(rng, 0.1, 0.8, 0.7) for _ in range(4)])
    edge = np.minimum.reduce([_ROW, 1 - _ROW, _COLUMN, 1 - _COLUMN])
    chosen = np.where(edge < 0.06, int(rng.integers(4)), np.searchsorted(levels, field))
    chosen = np.where((edge > 0.08) & (edge < 0.1), int(rng.integers(4)), chosen)
    return colors[chosen] * (1 + 0.06 * noise(rng, 0.4))[..., None], (0.0, 0.0)


def metal(rng: Rng) -> tuple[Image, tuple[float, float]]:
    base = color(rng, 0.3, 0.85, 0.1)
    return base * (1 + 0.05 * noise(rng, 0.8, rng.choice([1, 8])))[..., None], (1.0, 1.0)


def stone(rng: Rng) -> tuple[Image, tuple[float, float]]:
    first, second = color(rng, 0.3, 0.9, 0.1), color(rng, 0.2, 0.8, 0.15)
    veins = np.abs(noise(rng, 1.8)) < rng.uniform(0.03, 0.15)
    image = blend(first, second, 0.5 + 0.25 * noise(rng, rng.uniform(0.8, 2)))
    size = rng.uniform(0.6, 2.0)
    return np.where(veins[..., None], image * 0.8, image), (size, size)


def wild(rng: Rng) -> tuple[Image, tuple[float, float]]:
    image = np.empty((SIDE, SIDE, 3), np.float32)
    slope = rng.uniform(0.6, 1.8)
    for channel in range(3):
        image[..., channel] = 0.5 + 0.25 * noise(rng, slope)
    if rng.random() < 0.5:
        colors = np.stack([color(rng, 0.05, 0.95, 0.9) for _ in range(5)])
        levels = np.quantile(image[..., 0], [0.2, 0.4, 0.6, 0.8])
        image = colors[np.searchsorted(levels, image[..., 0])]
    size = rng.uniform(0.5, 3.0)
    return image, (size, size)


SURFACES: dict[str, Callable[[Rng], tuple[Image, tuple[float, float]]]] = {
    "plaster": plaster,
    "planks": planks,
    "wood": wood,
    "bricks": bricks,
    "tiles": tiles,
    "wallpaper": wallpaper,
    "fabric": fabric,
    "carpet": carpet,
    "metal": metal,
    "stone": stone,
    "wild": wild,
}
