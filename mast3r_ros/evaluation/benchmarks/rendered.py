# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rendered rooms in the layout of a benchmark: to try it before its data is downloaded.

They are the held-out rooms of `evaluate pairs worlds`, one pair of views a scene. They say nothing
of the benchmark's own images.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mast3r_ros.common.size import ImageSize
from mast3r_ros.datasets.kinds import WORLDS
from mast3r_ros.datasets.layouts import write_mapfree, write_re10k
from mast3r_ros.datasets.recording import PosedPair
from mast3r_ros.datasets.worlds import rendered_pairs

NAME = WORLDS
# The benchmarks in whose layout rooms are rendered.
LAYOUTS = ("mapfree", "re10k")
SCENES = 50
# Another pair of views than this is hardly the same place.
_MIN_OVERLAP = 0.3
# Of RealEstate10K's frames, as most of its users store them.
_CLIP_SIZE = ImageSize(640, 360)
# Of the Map-free benchmark, which is upright; rooms are rendered in portrait of this size.
_SCENE_SIZE = ImageSize(720, 540)
_DONE = "rendered.txt"


def render(benchmark: str, split: str, folder: Path, seed: int) -> None:
    """Write the rendered scenes into a folder, unless they are there.

    Args:
        benchmark: one of `LAYOUTS`.
        split: the part that is written.
        folder: of the data.
        seed: of the rooms.
    """
    mark = folder / _DONE
    said = f"{benchmark} {split} {SCENES} {seed}\n"
    if mark.is_file() and mark.read_text() == said:
        return
    for number, pair in enumerate(itertools.islice(_pairs(benchmark, seed), SCENES)):
        reference, query = (pair.reference, np.eye(4)), (pair.query, pair.motion)
        if benchmark == "mapfree":
            write_mapfree(folder / split / f"s{number:05d}", reference, {0: query})
        else:
            write_re10k(folder / split, f"{number:05d}", {0: reference, 33_333: query})
    mark.write_text(said)


def _pairs(benchmark: str, seed: int) -> Iterator[PosedPair]:
    if benchmark == "mapfree":
        return rendered_pairs(seed, _SCENE_SIZE, _MIN_OVERLAP, portrait=True)
    return rendered_pairs(seed, _CLIP_SIZE, _MIN_OVERLAP)
