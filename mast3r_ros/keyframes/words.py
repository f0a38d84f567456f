# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The visual words that the package has for front ends, learned from rendered rooms.

`tools/learn_words.py` makes the files. Their names are the front ends' fingerprints: words of other
weights are never used.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from mast3r_ros.frontends.base import FrontEnd, HasLocalFeatures
from mast3r_ros.keyframes.match_kernel import Codebook

FOLDER = Path(__file__).resolve().parents[1] / "weights"


def codebook_of(front_end: FrontEnd) -> Codebook | None:
    """The words of a front end's local features; None where the package has none."""
    if not isinstance(front_end, HasLocalFeatures):
        return None
    return _read(front_end.fingerprint)


@lru_cache
def _read(fingerprint: str) -> Codebook | None:
    file = _file(fingerprint)
    if not file.is_file():
        return None
    return Codebook(**{name: a.astype(np.float32) for name, a in load_file(file).items()})


def write_codebook(front_end: FrontEnd, codebook: Codebook) -> Path:
    """Write the words of a front end into the package; returns the file."""
    file = _file(front_end.fingerprint)
    # In C's order: the bytes are written as they lie.
    arrays = {n: np.ascontiguousarray(a, np.float16) for n, a in codebook.arrays().items()}
    save_file(arrays, file)
    _read.cache_clear()
    return file


def _file(fingerprint: str) -> Path:
    return FOLDER / f"words_{fingerprint}.safetensors"
