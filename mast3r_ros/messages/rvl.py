# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""RVL, the lossless compression of depth images (Wilson, "Fast Lossless Depth Image Compression",
ISS 2017).

Values are written in groups of three bits, the lowest first, each with a bit that says whether more
follow; eight such nibbles make a little-endian word, the first in its highest bits. Runs of zeros
and of other values alternate; of the others, the zigzag-coded differences are written.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# More do not fit in 32 bits.
_MAX_NIBBLES = 11


def decompress(data: bytes, count: int) -> NDArray[np.uint16]:
    """(count,) pixels.

    Raises:
        ValueError: the data ends before, or is not such data.
    """
    values = _values(data)
    pixels = np.zeros(count, np.uint16)
    at, done, previous = 0, 0, 0
    while done < count:
        if at + 1 >= len(values):
            raise ValueError(f"its data ends after {done} of {count} pixels")
        zeros, others = int(values[at]), int(values[at + 1])
        at, done = at + 2, done + zeros
        deltas = values[at : at + others]
        if done + others > count or len(deltas) < others:
            raise ValueError(f"its runs are longer than its {count} pixels")
        if zeros == others == 0:
            raise ValueError("it has an empty run")
        steps = (deltas >> 1) ^ -(deltas & 1)
        # As the reference does, differences wrap around 16 bits.
        run = (previous + np.cumsum(steps)) & 0xFFFF
        pixels[done : done + others] = run
        previous = int(run[-1]) if others else previous
        at, done = at + others, done + others
    return pixels


def _values(data: bytes) -> NDArray[np.int64]:
    """The numbers of variable length, and zeros of the padding at the end."""
    words = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
    shifts = np.arange(28, -4, -4, dtype=np.uint32)
    nibbles = ((words[:, None] >> shifts) & 0xF).ravel().astype(np.int64)
    ends = np.flatnonzero(nibbles < 8)
    if not len(ends):
        return np.zeros(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() >= _MAX_NIBBLES:
        raise ValueError("it has a number of more than 32 bits")
    nibbles = nibbles[: ends[-1] + 1]
    place = np.arange(len(nibbles)) - np.repeat(starts, ends - starts + 1)
    return np.asarray(np.bitwise_or.reduceat((nibbles & 7) << (3 * place), starts), np.int64)
