# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whether two places that explain an image differ: in their features, or in their shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.joint_pose import Matches, lengths
from mast3r_ros.geometry.robust_pose import Estimate
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.localization.ambiguity import (
    DECISIVE,
    MIN_EVIDENCE,
    Explanation,
    likelihood_ratio,
)
from mast3r_ros.localization.look_alikes import pair_sides
from mast3r_ros.localization.surfaces import Surfaces, lacks_surfaces
from mast3r_ros.localization.view import MatchedView, distinct_keyframes

# A match agrees roughly with a pose up to so many times the largest error of an inlier.
_ROUGHLY = 4.0


@dataclass(frozen=True)
class Difference:
    """How an answer's place differs from another one, as the images see them.

    Attributes:
        ratios: of each view, by how much its features speak for the answer (`likelihood_ratio`).
        shape: whether a view shows that the other place has another shape.
    """

    ratios: tuple[float, ...]
    shape: bool

    @property
    def distinguished(self) -> bool:
        """Whether one image at least speaks for the answer."""
        return self.shape or max(self.ratios) >= MIN_EVIDENCE

    @property
    def sure(self) -> bool:
        """Whether its features are enough, even if the other pose explains as many matches."""
        return max(self.ratios) >= DECISIVE

    @property
    def reversed(self) -> bool:
        """Whether it is the other pose that an image speaks for, and none for the answer."""
        return min(self.ratios) <= -DECISIVE and not self.distinguished


def told_apart(
    answer: Estimate, other: Estimate, matches: Matches, views: Sequence[MatchedView]
) -> Difference:
    """What images say of an answer and a place that looks alike.

    Args:
        answer, other: the pose that is to be believed, and one of another place.
        matches: all in the map's frame.
        views: of the query, that they are of.
    """
    keyframes = distinct_keyframes(views)
    assert matches.views is not None
    away = seen_distance(answer, matches) or 0.0
    # Features are compared only of keyframes that see the places from the same sides.
    moved = other.pose @ transforms.inverse(answer.pose)
    sides = [np.unique(matches.owners[pose.inliers]) for pose in (answer, other)]
    paired = pair_sides(
        [moved @ keyframes[i].pose for i in sides[0]], [keyframes[j].pose for j in sides[1]], away
    )
    known = matches.with_point
    surfaces = Surfaces(
        matches.points[known],
        matches.depth_sigmas[known],
        matches.owners[known],
        [(k.pose, k.camera) for k in keyframes],
    )
    near = [lengths(pose.pose, matches)[0] < _ROUGHLY * matches.limits for pose in (answer, other)]
    ratios, everything = [], []
    for number, view in enumerate(views):
        ones, others = (
            _explanations(pose, roughly, side[list(chosen)], matches, number, view, keyframes)
            for pose, roughly, side, chosen in zip(
                (answer, other), near, sides, paired, strict=True
            )
        )
        ratios.append(likelihood_ratio(ones[0], others[0], view.size))
        everything.append((ones[1], others[1], view.camera))
    # Shapes are compared where features say too little.
    shape = max(ratios) < MIN_EVIDENCE and any(
        lacks_surfaces(one, beyond, surfaces, camera) for one, beyond, camera in everything
    )
    return Difference(tuple(ratios), shape)


def _explanations(
    estimate: Estimate,
    near: NDArray[np.bool_],
    owners: NDArray[np.int64],
    matches: Matches,
    number: int,
    view: MatchedView,
    keyframes: Sequence[Keyframe],
) -> list[Explanation]:
    """What a pose explains of a view: by some keyframes alone, and by all of them."""
    pixels = np.concatenate([c.query_pixels for c in view.found]).astype(np.float64)
    own = matches.views == number
    explanations = []
    for counted in (own & np.isin(matches.owners, owners), own):
        inliers = estimate.inliers & counted
        seen_from = [keyframes[i] for i in np.unique(matches.owners[inliers])]
        explanations.append(
            Explanation(
                estimate.pose @ view.body_camera,
                pixels[inliers[own]],
                matches.points[inliers],
                pixels[(counted & near)[own]],
                [(k.pose, k.camera) for k in seen_from if k.camera],
                matches.depth_sigmas[inliers],
            )
        )
    return explanations


def seen_distance(answer: Estimate, matches: Matches) -> float | None:
    """Median distance of the points that a pose rests on [m]; None where it has none."""
    points = matches.points[answer.inliers & matches.with_point]
    if not len(points):
        return None
    return float(np.median(np.linalg.norm(points - answer.pose[:3, 3], axis=1)))
