# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How well a map knows a place: the nearer to a keyframe, and the stronger that one, the better."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.mapping.checking import Place, same_place

# At this distance from a keyframe, or turned by so much, an image is expected to be localized e
# times less well: after a meter or 30 degrees, little of the view is the same. Set beforehand, not
# fitted; docs/maps.md says how well the result orders real queries.
_FAR, _TURNED = 1.0, np.deg2rad(30.0)
# Beyond this distance from all keyframes, a place is unknown [m].
_UNKNOWN = 2.0


def expected(places: Sequence[Place], poses: Sequence[Pose]) -> NDArray[np.float64]:
    """How well images would be localized: (N,) in [0, 1], an order, not a probability.

    A keyframe that the others localize counts up to twice as much as one that they do not: near to
    it, it is there itself.

    Args:
        places: of a check.
        poses: of N cameras, map <- camera.
    """
    away = np.array(
        [
            [
                transforms.distance(pose, place.pose) / _FAR
                + transforms.rotation_angle(pose, place.pose) / _TURNED
                for place in places
            ]
            for pose in poses
        ]
    )
    return _best(away, places)


@dataclass(frozen=True)
class Trial:
    """Images of another drive beside what a check expects of them.

    Attributes:
        images: how many there were that are no keyframe.
        right: how many were localized within 25 cm and 5 degrees.
        rank_correlation: Spearman's, of what was expected and whether that came; NaN where all
            images, or none, were localized.
    """

    images: int
    right: int
    rank_correlation: float


def compare(
    places: Sequence[Place], relocalizer: Relocalizer, images: Iterable[tuple[PosedImage, Frame]]
) -> Trial:
    """Localize images whose poses are known, and see whether those fail that are expected to.

    Args:
        places: of a check.
        relocalizer: of the map that was checked.
        images: with true poses; those with a keyframe's stamp are left out.
    """
    keyframes = {keyframe.stamp for keyframe in relocalizer.map}
    poses: list[Pose] = []
    right: list[bool] = []
    for image, frame in images:
        if frame.stamp in keyframes:
            continue
        answer = relocalizer.localize(frame)
        poses.append(image.true_pose)
        right.append(answer.pose is not None and same_place(answer.pose, image.true_pose))
    varied = 0 < sum(right) < len(right)
    correlation = spearmanr(expected(places, poses), right).statistic if varied else np.nan
    return Trial(len(right), sum(right), float(correlation))


def over_floor_plan(
    places: Sequence[Place], grid: NDArray[np.float64], plane: tuple[int, int]
) -> NDArray[np.float64]:
    """`expected` at places of a floor plan, of images that look as a keyframe nearby does.

    Args:
        places: of a check.
        grid: (..., 2) places [m] in the plane.
        plane: the map's two axes of the floor plan.

    Returns:
        (...,) strengths, NaN far from all keyframes.
    """
    at = np.array([place.pose[list(plane), 3] for place in places])
    apart = np.linalg.norm(grid[..., None, :] - at, axis=-1)
    return np.where(apart.min(-1) < _UNKNOWN, _best(apart / _FAR, places), np.nan)


def _best(away: NDArray[np.float64], places: Sequence[Place]) -> NDArray[np.float64]:
    """(..., K) how far away the keyframes are -> (...,)."""
    strength = np.array([(1.0 + place.strength) / 2 for place in places])
    return np.asarray((strength * np.exp(-away)).max(-1))
