# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Recall of retrieval on the recordings: today's global descriptor, and VLAD beside it.

    MAST3R_ROS_DATA=FOLDER python -m bench retrieval

A query is found if one of the first k keyframes shares at least 30 % of its view with it, by depth
and the true poses; queries that share so much with no keyframe do not count. VLAD (Jegou et al.,
CVPR 2010, with the signed root of its numbers) is of the descriptors that are matched, projected to
32 numbers, about 16 centers that k-means finds on office: its figures there flatter it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets import open_dataset
from mast3r_ros.datasets.recording import read_frames
from mast3r_ros.frame import Frame
from mast3r_ros.frontends import create
from mast3r_ros.frontends.features import FeatureDescription
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.overlap import covisibility
from mast3r_ros.geometry.transforms import Pose

_SHARED = 0.3
_CENTERS, _NUMBERS = 16, 32
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
    description: FeatureDescription


def main() -> int:
    """Print a table for each front end; returns the exit status."""
    folder = os.environ.get("MAST3R_ROS_DATA")
    if not folder:
        print("set MAST3R_ROS_DATA to the folder of the recordings")
        return 1
    for name in ("sift", "xfeat"):
        front_end = create(name)
        images: dict[str, list[_Image]] = {}
        for recording in ("office", "desk_turning", "desk_near", "desk_far"):
            posed = list(open_dataset(Path(folder) / recording).posed())
            images[recording] = []
            for image, frame in read_frames(posed, with_depth=True):
                description = front_end.describe(frame)
                assert isinstance(description, FeatureDescription)
                images[recording].append(_Image(frame, image.pose, description))
        vlad = _vlad([i.description for i in images["office"][::3]])
        print(f"| {name}: map, queries | counted | today @1, @5 | VLAD @1, @5 |\n|---|---|---|---|")
        for task in _TASKS:
            print(_row(images, *task, vlad), flush=True)
    return 0


def _row(
    images: dict[str, list[_Image]],
    recording: str,
    every: int,
    queried: tuple[str, ...],
    vlad: Callable[[FeatureDescription], NDArray[np.float64]],
) -> str:
    keyframes = images[recording][::every]
    queries = [
        image
        for name in queried
        for number, image in enumerate(images[name])
        if name != recording or number % every
    ]
    shared = np.array([[_share(k, q) >= _SHARED for k in keyframes] for q in queries])
    counted = shared.any(1)
    figures = []
    for look in (lambda d: d.global_descriptor, vlad):
        ours, theirs = (np.array([look(i.description) for i in s]) for s in (queries, keyframes))
        found = np.take_along_axis(shared, np.argsort(-ours @ theirs.T, axis=1), 1)[counted]
        figures.append(", ".join(f"{found[:, :k].any(1).mean():.1%}" for k in (1, 5)))
    about = f"{recording} every {every}, {' '.join(queried)}"
    return f"| {about} | {counted.sum()} of {len(queries)} | {figures[0]} | {figures[1]} |"


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


def _vlad(
    training: list[FeatureDescription],
) -> Callable[[FeatureDescription], NDArray[np.float64]]:
    channels = training[0].descriptors.shape[1]
    projection = np.random.default_rng(0).standard_normal((channels, _NUMBERS)) / 32**0.5

    def projected(description: FeatureDescription) -> NDArray[np.float32]:
        return np.asarray(description.descriptors @ projection, np.float32)

    kmeans = faiss.Kmeans(_NUMBERS, _CENTERS, niter=15, seed=0)
    kmeans.train(np.concatenate([projected(d)[::7] for d in training]))
    centers = kmeans.centroids

    def describe(description: FeatureDescription) -> NDArray[np.float64]:
        values = projected(description)
        nearest = (values @ centers.T - 0.5 * (centers**2).sum(1)).argmax(1)
        sums = np.zeros((_CENTERS, _NUMBERS))
        np.add.at(sums, nearest, values - centers[nearest])
        root = np.sign(sums) * np.sqrt(np.abs(sums))
        return np.asarray(root.ravel() / max(np.linalg.norm(root), 1e-12))

    return describe


if __name__ == "__main__":
    main()
