# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rendered rooms in the layout of a benchmark: to try it before its data is downloaded.

They are the held-out rooms of `evaluate pairs worlds`, one pair of views a scene. They say nothing
of the benchmark's own images.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mast3r_ros.common.size import ImageSize
from mast3r_ros.datasets.kinds import WORLDS
from mast3r_ros.datasets.layouts import write_mapfree, write_re10k
from mast3r_ros.datasets.recording import PosedPair
from mast3r_ros.datasets.worlds import rendered_approaches, rendered_pairs
from mast3r_ros.evaluation.benchmarks.options import BenchmarkOptions
from mast3r_ros.evaluation.drift import drifting
from mast3r_ros.geometry.transforms import Pose

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
# Of the multi-frame track: the query's number, and as many images before it as the track takes.
_QUERY, _BEFORE = 9, 8
# Errors of the device's tracking between two images, of the order of a telephone's: part of the
# way, and turn [rad].
_DRIFT, _DRIFT_TURN = 0.01, np.deg2rad(0.1)
_DONE = "rendered.txt"


def render(benchmark: str, options: BenchmarkOptions, parent: Path) -> Path:
    """Write the rendered scenes into a folder of their own, unless they are there.

    Args:
        benchmark: one of `LAYOUTS`.
        options: split, track and seed.
        parent: of that folder.

    Returns:
        The folder of the data.
    """
    split, seed = options.split, options.seed
    multi = benchmark == "mapfree" and options.track == "multi"
    folder = parent / f"{benchmark}_{NAME}{'_multi' if multi else ''}"
    mark = folder / _DONE
    said = f"{benchmark} {split} {SCENES} {seed}\n"
    if mark.is_file() and mark.read_text() == said:
        return folder
    if multi:
        _render_approaches(folder / split, seed)
    else:
        _render_pairs(benchmark, folder / split, seed)
    mark.write_text(said)
    return folder


def _render_pairs(benchmark: str, folder: Path, seed: int) -> None:
    for number, pair in enumerate(itertools.islice(_pairs(benchmark, seed), SCENES)):
        reference, query = (pair.reference, np.eye(4)), (pair.query, pair.motion)
        if benchmark == "mapfree":
            write_mapfree(folder / f"s{number:05d}", reference, {0: query})
        else:
            write_re10k(folder, f"{number:05d}", {0: reference, 33_333: query})


def _render_approaches(folder: Path, seed: int) -> None:
    """The scenes of the multi-frame track: the queries of the single-frame track come last."""
    scenes = rendered_approaches(seed, _SCENE_SIZE, _MIN_OVERLAP, True, _BEFORE)
    for number, (pair, before) in enumerate(itertools.islice(scenes, SCENES)):
        images = dict(enumerate([*before, (pair.query, pair.motion)], _QUERY - _BEFORE))
        tracked = _drifting([pose for _, pose in images.values()], seed, number)
        write_mapfree(
            folder / f"s{number:05d}",
            (pair.reference, np.eye(4)),
            images,
            dict(zip(images, tracked, strict=True)),
        )


def _drifting(poses: Sequence[Pose], seed: int, number: int) -> list[Pose]:
    """Poses as a device tracks them, in a frame of its own."""
    rng = np.random.default_rng([seed, number])
    return list(drifting(poses, np.eye(4), rng, _DRIFT, lambda _: _DRIFT_TURN))


def _pairs(benchmark: str, seed: int) -> Iterator[PosedPair]:
    if benchmark == "mapfree":
        return rendered_pairs(seed, _SCENE_SIZE, _MIN_OVERLAP, portrait=True)
    return rendered_pairs(seed, _CLIP_SIZE, _MIN_OVERLAP)
