# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Poses that drift, straightened by loop closures of which some are wrong.

gtsam solves it by graduated non-convexity with truncated least squares (Yang et al., RA-L 2020):
closures that contradict the others lose their weight, without a first guess of which these are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.mapping.extra import library

# Of a right closure, the error is larger than what it is tested against in one of a hundred cases.
_CERTAINTY = 0.99
# Standard deviations that hold the first pose in its place [rad, m].
_ANCHOR = 1e-4


@dataclass(frozen=True)
class Link:
    """Two poses of a graph, and how one stands to the other.

    Attributes:
        one, other: numbers of the poses.
        pose: one <- other, (4, 4).
        covariance: (6, 6) of `pose` [m, rad], in the sense of `transforms.perturb`.
    """

    one: int
    other: int
    pose: Pose
    covariance: NDArray[np.float64]


def solve_pose_graph(
    poses: Sequence[Pose], steps: Sequence[Link], closures: Sequence[Link]
) -> tuple[list[Pose], NDArray[np.bool_]]:
    """Poses that fit the steps of odometry and the closures that do not contradict the others.

    Args:
        poses: to begin with, (4, 4); the first one stays.
        steps: of odometry; they are all believed.
        closures: some may be wrong.

    Returns:
        The poses, and (N,) which closures are believed.

    Raises:
        MissingExtraError: gtsam is not installed.
    """
    gtsam = library("gtsam")
    graph, values = gtsam.NonlinearFactorGraph(), gtsam.Values()
    for i, pose in enumerate(poses):
        values.insert(i, gtsam.Pose3(pose))
    anchor = gtsam.noiseModel.Isotropic.Sigma(6, _ANCHOR)
    graph.add(gtsam.PriorFactorPose3(0, gtsam.Pose3(poses[0]), anchor))
    for link in (*steps, *closures):
        noise = gtsam.noiseModel.Gaussian.Covariance(_own_axes(link))
        graph.add(gtsam.BetweenFactorPose3(link.one, link.other, gtsam.Pose3(link.pose), noise))
    believed = np.ones(len(closures), np.bool_)
    if closures:
        parameters = gtsam.GncLMParams()
        parameters.setKnownInliers(list(range(1 + len(steps))))
        optimizer = gtsam.GncLMOptimizer(graph, values, parameters)
        optimizer.setInlierCostThresholdsAtProbability(_CERTAINTY)
        values = optimizer.optimize()
        believed = np.asarray(optimizer.getWeights())[1 + len(steps) :] > 0.5
    else:
        values = gtsam.LevenbergMarquardtOptimizer(graph, values).optimize()
    return [values.atPose3(i).matrix() for i in range(len(poses))], believed


def _own_axes(link: Link) -> NDArray[np.float64]:
    """A covariance as gtsam takes it: rotation first, along and about the axes of `other`."""
    own = transforms.rotate_covariance(link.covariance, transforms.inverse(link.pose))
    order = np.r_[3:6, 0:3]
    return np.asarray(own[np.ix_(order, order)])
