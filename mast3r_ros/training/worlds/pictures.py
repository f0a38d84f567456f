# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Procedural textures that are stretched over one face: paintings, posters, pages, book spines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mast3r_ros.training.worlds.patterns import SIDE, Rng, color, noise

Picture = NDArray[np.float32]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ    abcdefghijklmnopqrstuvwxyz     0123456789"
_FONTS = {size: ImageFont.load_default(size) for size in (10, 14, 20, 32, 56, 90)}


def _fill(rng: Rng, low: float = 0.05, high: float = 0.95, vivid: float = 0.8) -> tuple[int, ...]:
    return tuple((255 * color(rng, low, high, vivid)).astype(int).tolist())


def _floats(image: Image.Image) -> Picture:
    return np.asarray(np.asarray(image, np.float32) / 255, np.float32)


def _words(rng: Rng, length: int) -> str:
    return "".join(rng.choice(list(_LETTERS), length))


def _shapes(rng: Rng, draw: ImageDraw.ImageDraw, count: int, largest: float) -> None:
    for _ in range(count):
        x, y = rng.uniform(-0.1, 1, 2) * SIDE
        w, h = rng.uniform(0.04, largest, 2) * SIDE
        kind = rng.integers(4)
        if kind == 0:
            draw.rectangle((x, y, x + w, y + h), _fill(rng))
        elif kind == 1:
            draw.ellipse((x, y, x + w, y + h), _fill(rng))
        elif kind == 2:
            corners = rng.uniform(0, largest * SIDE, (3, 2)) + np.array([x, y])
            draw.polygon([tuple(corner) for corner in corners], _fill(rng))
        else:
            draw.line((x, y, x + w, y + h), _fill(rng), int(rng.integers(2, 14)))


def painting(rng: Rng) -> Picture:
    """Sky and hills, or blots."""
    if rng.random() < 0.5:
        image = np.empty((SIDE, SIDE, 3), np.float32)
        row = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None, None]
        image[:] = color(rng, 0.3, 0.9, 0.6) * (1 - row) + color(rng, 0.4, 1, 0.6) * row
        for i in range(int(rng.integers(2, 6))):
            ridge = 0.3 + 0.15 * i + 0.06 * noise(rng, 1.6)[0]
            image[row[..., 0] > ridge[None]] = color(rng, 0.1, 0.7, 0.7)
    else:
        levels = np.sort(rng.normal(0, 1, 4))
        colors = np.stack([color(rng, 0.05, 0.95, 0.8) for _ in range(5)])
        image = colors[np.searchsorted(levels, noise(rng, 2.0))]
    return np.asarray(image * (1 + 0.05 * noise(rng, 0.8))[..., None], np.float32)


def poster(rng: Rng) -> Picture:
    """Shapes and a few large words."""
    image = Image.new("RGB", (SIDE, SIDE), _fill(rng))
    draw = ImageDraw.Draw(image)
    _shapes(rng, draw, int(rng.integers(3, 14)), 0.6)
    for _ in range(int(rng.integers(0, 5))):
        size = int(rng.choice([20, 32, 56, 90]))
        at = tuple(rng.uniform(0, 0.8, 2) * SIDE)
        draw.text(at, _words(rng, 12), _fill(rng), _FONTS[size])
    return _floats(image)


def page(rng: Rng) -> Picture:
    """Paper with lines of text, perhaps a chart."""
    image = Image.new("RGB", (SIDE, SIDE), _fill(rng, 0.8, 1, 0.1))
    draw = ImageDraw.Draw(image)
    ink = _fill(rng, 0, 0.3, 0.5)
    draw.text((20, 10), _words(rng, 14), ink, _FONTS[32])
    for y in range(54, 240, int(rng.integers(14, 26))):
        draw.text((20, y), _words(rng, 40), ink, _FONTS[int(rng.choice([10, 14, 20]))])
    if rng.random() < 0.5:
        draw.rectangle((120, 130, 240, 230), _fill(rng, 0.6, 1))
        for x in range(130, 230, 20):
            draw.rectangle((x, int(rng.integers(140, 220)), x + 12, 228), _fill(rng))
    return _floats(image)


def spines(rng: Rng) -> Picture:
    """A row of books, seen from the front."""
    image = Image.new("RGB", (SIDE, SIDE), _fill(rng, 0, 0.2))
    draw = ImageDraw.Draw(image)
    x = 0.0
    while x < SIDE:
        width, top = rng.uniform(5, 18), rng.uniform(0, 0.3) * SIDE
        draw.rectangle((x, top, x + width - 1, SIDE), _fill(rng, 0.05, 0.9, 0.7))
        for _ in range(int(rng.integers(0, 4))):
            y = rng.uniform(top, SIDE)
            draw.rectangle((x + 1, y, x + width - 2, y + rng.uniform(3, 40)), _fill(rng))
        x += width
    return _floats(image)


def label(rng: Rng) -> Picture:
    """The side of a packet or carton."""
    image = Image.new("RGB", (SIDE, SIDE), _fill(rng, 0.3, 0.9, 0.6))
    draw = ImageDraw.Draw(image)
    _shapes(rng, draw, int(rng.integers(1, 6)), 0.5)
    x, y, w, h = rng.uniform((10, 10, 60, 40), (120, 140, 130, 110))
    draw.rectangle((x, y, x + w, y + h), _fill(rng, 0.7, 1, 0.2))
    draw.text((x + 5, y + 3), _words(rng, 8), _fill(rng, 0, 0.4), _FONTS[32])
    draw.text((x + 5, y + 36), _words(rng, 14), _fill(rng, 0, 0.4), _FONTS[14])
    return _floats(image)


def screen(rng: Rng) -> Picture:
    """Windows on a display."""
    image = Image.new("RGB", (SIDE, SIDE), _fill(rng, 0.05, 0.9, 0.6))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 4))):
        x, y, w, h = rng.uniform((0, 0, 90, 90), (120, 100, 200, 180))
        draw.rectangle((x, y, x + w, y + h), _fill(rng, 0.02, 1, 0.2))
        draw.rectangle((x, y, x + w, y + 10), _fill(rng))
        ink = _fill(rng, 0.3, 0.7)
        for row in np.arange(y + 16, y + h - 10, 12):
            draw.text((x + 4, row), _words(rng, int(rng.integers(4, w // 7 + 5))), ink, _FONTS[10])
    return _floats(image)


def outdoors(rng: Rng) -> Picture:
    """What stands beyond a window."""
    image = Image.new("RGB", (SIDE, SIDE), _fill(rng, 0.75, 1, 0.2))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 8))):
        x, top, w = rng.uniform((-0.1, 0.2, 0.1), (0.9, 0.7, 0.4)) * SIDE
        draw.rectangle((x, top, x + w, SIDE), _fill(rng, 0.3, 0.8, 0.3))
        pane = _fill(rng, 0.2, 0.9, 0.2)
        for wx in np.arange(x + 5, x + w - 6, 14):
            for wy in np.arange(top + 6, SIDE, 18):
                draw.rectangle((wx, wy, wx + 6, wy + 9), pane)
    for _ in range(int(rng.integers(0, 12))):
        x, y, r = rng.uniform((0, 0.6, 0.05), (1, 0.95, 0.15)) * SIDE
        draw.ellipse((x - r, y - r, x + r, y + r), _fill(rng, 0.15, 0.45, 0.4))
    ground = rng.uniform(0.8, 0.95) * SIDE
    draw.rectangle((0, ground, SIDE, SIDE), _fill(rng, 0.2, 0.6, 0.4))
    return _floats(image)


PICTURES: dict[str, Callable[[Rng], Picture]] = {
    "painting": painting,
    "poster": poster,
    "page": page,
    "spines": spines,
    "label": label,
    "screen": screen,
    "outdoors": outdoors,
}
