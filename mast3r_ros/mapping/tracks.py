# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Points of a map: keypoints of several keyframes that show one point of the world."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.mapping.pairs import MatchedPair, feature_description

# Points of two keyframes are one where they are no further apart than so many deviations, or [m].
_SIGMAS = 3.0
_SAME_POINT = 0.03


@dataclass(frozen=True)
class Tracks:
    """Points with the keypoints that show them.

    Attributes:
        points: (P, 3) [m] in the map.
        point: (N,) row in `points` of each observation.
        keyframe: (N,) number of its keyframe.
        keypoint: (N,) row of its keypoint.
    """

    points: NDArray[np.float64]
    point: NDArray[np.int64]
    keyframe: NDArray[np.int64]
    keypoint: NDArray[np.int64]


def make_tracks(keyframes: Sequence[Keyframe], matches: Iterable[MatchedPair]) -> Tracks:
    """Join the known points of keyframes wherever their features match and their places agree.

    Each known point of each keyframe is in one track; a track has one keypoint of a keyframe.

    Args:
        keyframes: described by features.
        matches: between them, numbered in their order.
    """
    placed, sigmas = [], []
    for keyframe in keyframes:
        description = feature_description(keyframe.description)
        placed.append(transforms.apply(keyframe.pose, description.points))
        sigmas.append(description.points[:, 2] * description.depth_sigma)
    starts = np.cumsum([0, *map(len, sigmas)])
    points, sigma = np.concatenate(placed), np.concatenate(sigmas)
    known = np.isfinite(points).all(1)
    owner = np.repeat(np.arange(len(keyframes)), np.diff(starts))
    edges = [np.zeros((0, 2), np.int64)]
    for pair in matches:
        rows = pair.rows + starts[[pair.one, pair.other]]
        apart = np.linalg.norm(points[rows[:, 0]] - points[rows[:, 1]], axis=1)
        edges.append(rows[apart < _SIGMAS * np.hypot(*sigma[rows].T) + _SAME_POINT])
    joined = np.concatenate(edges)
    graph = coo_array((np.ones(len(joined), bool), (*joined.T,)), shape=(len(points),) * 2)
    _, label = connected_components(graph, directed=False)
    label = _split(label, owner)[known]
    _, label = np.unique(label, return_inverse=True)
    weight = 1.0 / sigma[known] ** 2
    total = np.bincount(label, weight)
    mean = [np.bincount(label, weight * axis) / total for axis in points[known].T]
    rows = np.flatnonzero(known)
    return Tracks(np.stack(mean, 1), label, owner[rows], rows - starts[owner[rows]])


def _split(label: NDArray[np.int32], owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give each keypoint a label of its own wherever a label holds two of one keyframe."""
    order = np.lexsort((owner, label))
    same = (np.diff(label[order]) == 0) & (np.diff(owner[order]) == 0)
    bad = np.isin(label, label[order[1:][same]])
    return np.where(bad, label.max(initial=0) + 1 + np.arange(len(label)), label)
