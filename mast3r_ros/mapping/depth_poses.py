# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Poses of images with depth where structure from motion fails: the camera turned on the spot.

Each image is localized in those that look alike, in meters by their depth, and a pose graph
(`pose_graph`) believes what does not contradict the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping.extra import MappingError
from mast3r_ros.mapping.pose_graph import Link, solve_pose_graph
from mast3r_ros.mapping.reconstruction import MAP_CAMERA
from mast3r_ros.mapping.scale import MIN_IMAGES


@dataclass(frozen=True)
class DepthPoses:
    """What came of the links between images.

    Attributes:
        keyframes: those that are tied together, in the order of time. The map's origin is
            the first camera, its axes are those of REP-103 seen by it.
        links, believed: how many there are between these, and how many of them fit together.
    """

    keyframes: KeyframeMap
    links: int
    believed: int


def poses_from_depth(keyframes: KeyframeMap, found: Iterable[Link | None]) -> DepthPoses:
    """The largest group of images that links tie together, with poses in meters.

    Args:
        keyframes: all at the origin.
        found: of `loop_closure.find_closures` between them, numbered in their order.

    Raises:
        MappingError: fewer than three images are tied together.
        MissingExtraError: gtsam is not installed.
    """
    every = keyframes.in_order()
    links = [link for link in found if link is not None]
    chosen = _largest_group(len(every), links)
    links = _within(links, chosen)
    if len(chosen) < MIN_IMAGES:
        raise MappingError(
            f"{len(chosen)} of {len(every)} images could be localized in one another by their "
            "depth: take images that overlap more"
        )
    poses, believed = solve_pose_graph(_chained(len(chosen), links), [], links)
    # What only contradicted links held is not known.
    kept = _largest_group(len(chosen), [links[i] for i in np.flatnonzero(believed)])
    map_first = MAP_CAMERA @ transforms.inverse(poses[kept[0]])
    placed = keyframes.derive(every[chosen[i]].moved(map_first @ poses[i], None) for i in kept)
    return DepthPoses(placed, len(links), int(believed.sum()))


def _largest_group(count: int, links: Sequence[Link]) -> NDArray[np.int64]:
    """Numbers of the images of the largest group that links tie together, in rising order."""
    _, group = connected_components(_graph(count, links), directed=False)
    return np.flatnonzero(group == np.bincount(group).argmax())


def _within(links: Sequence[Link], chosen: NDArray[np.int64]) -> list[Link]:
    """The links between chosen images, by their numbers among these."""
    number = {int(image): i for i, image in enumerate(chosen)}
    return [
        replace(link, one=number[link.one], other=number[link.other])
        for link in links
        if link.one in number and link.other in number
    ]


def _chained(count: int, links: Sequence[Link]) -> list[Pose]:
    """Poses to begin with: along the surest links from the first image to each of the others."""
    tree = minimum_spanning_tree(_graph(count, links))
    order, before = breadth_first_order(tree, 0, directed=False)
    step: dict[tuple[int, int], Pose] = {}
    for link in links:
        step[link.one, link.other] = link.pose
        step[link.other, link.one] = transforms.inverse(link.pose)
    poses = [np.eye(4)] * count
    for image in order[1:]:
        poses[image] = poses[before[image]] @ step[int(before[image]), int(image)]
    return poses


def _graph(count: int, links: Sequence[Link]) -> coo_array:
    """How unsure each link's position is [m], as a matrix of a graph."""
    unsure = [float(np.sqrt(np.trace(link.covariance[:3, :3]))) for link in links]
    ends = [link.one for link in links], [link.other for link in links]
    return coo_array((unsure, ends), (count, count))
