# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Recall of retrieval on the recordings and in rendered rooms: by global descriptor, and by words.

    MAST3R_ROS_DATA=FOLDER python -m bench retrieval

A query is found if one of the first k keyframes shares at least 30 % of its view with it, by depth
and the true poses; queries that share so much with no keyframe do not count. In rendered rooms, the
second views of 200 held-out pairs ask for the first ones, which share at least 15 %. The words are
those of the package, learned from other rendered rooms.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.datasets import open_dataset
from mast3r_ros.datasets.recording import read_frames
from mast3r_ros.frame import Frame
from mast3r_ros.frontends import create
from mast3r_ros.frontends.base import Description, FrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.overlap import covisibility
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.looks import Looks
from mast3r_ros.keyframes.words import codebook_of
from mast3r_ros.training.worlds.pairs import PairSource

_SHARED = 0.3
_SIZE = ImageSize(320, 240)
_ROOMS = 200
# Map, every n-th image of it, and the recordings of the queries.
_TASKS = (
    ("office", 5, ("office",)),
    ("office", 10, ("office",)),
    ("office", 20, ("office",)),
    ("desk_turning", 8, ("desk_turning",)),
    ("desk_turning", 16, ("desk_turning", "desk_near", "desk_far")),
    ("desk_near", 1, ("desk_turning", "desk_far")),
)


@dataclass(frozen=True)
class _Image:
    frame: Frame
    pose: Pose
    description: Description


def main() -> int:
    """Print a table for each front end; returns the exit status."""
    folder = os.environ.get("MAST3R_ROS_DATA")
    if not folder:
        print("set MAST3R_ROS_DATA to the folder of the recordings")
        return 1
    for name in ("sift", "xfeat", "mast3r"):
        front_end = create(name)
        print(
            f"| `{name}`: map, queries | counted | global @1, @5 | words @1, @5 |",
            "|---|---|---|---|",
            sep="\n",
        )
        images: dict[str, list[_Image]] = {}
        for recording in ("office", "desk_turning", "desk_near", "desk_far"):
            posed = list(open_dataset(Path(folder) / recording).posed())
            images[recording] = [
                _Image(frame, image.pose, front_end.describe(frame))
                for image, frame in read_frames(posed, with_depth=True)
            ]
        for task in _TASKS:
            print(_row(images, *task, front_end), flush=True)
        print(_rooms(front_end), flush=True)
    return 0


def _rooms(front_end: FrontEnd) -> str:
    """The row of rendered rooms."""
    source = PairSource(8, "held-out", _SIZE)
    views: list[list[Description]] = [[], []]
    for pair in map(source.pair, range(_ROOMS)):
        for described, view in zip(views, (pair.reference, pair.query), strict=True):
            described.append(front_end.describe(Frame(view.image, view.camera)))
    figures = _figures(*views, np.eye(_ROOMS, dtype=np.bool_), front_end)
    return f"| rendered rooms | {_ROOMS} of {_ROOMS} | {figures} |"


def _row(
    images: dict[str, list[_Image]],
    recording: str,
    every: int,
    queried: tuple[str, ...],
    front_end: FrontEnd,
) -> str:
    keyframes = images[recording][::every]
    queries = [
        image
        for name in queried
        for number, image in enumerate(images[name])
        if name != recording or number % every
    ]
    shared = np.array([[_share(k, q) >= _SHARED for k in keyframes] for q in queries])
    described = ([image.description for image in some] for some in (keyframes, queries))
    figures = _figures(*described, shared, front_end)
    about = f"{recording} every {every}, {' '.join(queried)}"
    return f"| {about} | {shared.any(1).sum()} of {len(queries)} | {figures} |"


def _figures(
    keyframes: list[Description],
    queries: list[Description],
    shared: NDArray[np.bool_],
    front_end: FrontEnd,
) -> str:
    """Recall at 1 and 5 by global descriptors and by words, of the queries that share a view."""
    recall = []
    for codebook in (None, codebook_of(front_end)):
        looks = Looks(front_end, codebook)
        for number, keyframe in enumerate(keyframes):
            looks.add(number, keyframe)
        found = [shared[i, looks.search(q, 5)] for i, q in enumerate(queries)]
        counted = [f for f, own in zip(found, shared, strict=True) if own.any()]
        recall.append(", ".join(f"{np.mean([f[:k].any() for f in counted]):.1%}" for k in (1, 5)))
    return " | ".join(recall)


def _share(one: _Image, other: _Image) -> float:
    """The smaller of the shares of each image that the other shows."""
    shares = []
    for a, b in ((one, other), (other, one)):
        assert a.frame.depth is not None
        assert b.frame.depth is not None
        assert a.frame.camera is not None
        assert b.frame.camera is not None
        b_a = transforms.inverse(b.pose) @ a.pose
        shares.append(
            covisibility(a.frame.depth, b.frame.depth, a.frame.camera, b.frame.camera, b_a)
        )
    return min(shares)


if __name__ == "__main__":
    main()
