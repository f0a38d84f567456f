# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whether a pose is accepted, how exact it is, and why it is refused otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry.joint_pose import JointPose, Matches
from mast3r_ros.geometry.uncertainty import invert_information
from mast3r_ros.localization import solving
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.result import KeyframeMatch, Reason

_GRID = 8


@dataclass(frozen=True)
class Verdict:
    """The outcome of the checks of one pose.

    Attributes:
        reason: LOCALIZED, or the first check that failed.
        figures: what was measured, for people.
        covariance: (6, 6) [m, rad] of the pose; None where a check before failed.
        confidence: 0 at the limit of a check, towards 1 far from all limits.
    """

    reason: Reason
    figures: str
    covariance: NDArray[np.float64] | None = None
    confidence: float = 0.0


def verify(
    solved: JointPose,
    matches: Matches,
    explained: Sequence[KeyframeMatch],
    size: tuple[int, int],
    min_inliers: int,
    min_inlier_ratio: float,
    options: RelocalizerOptions,
) -> Verdict:
    """Accept or refuse a pose.

    Args:
        solved: the pose and its inliers.
        matches: all matches in the map's frame.
        explained: the same by keyframe, with the inliers of the pose.
        size: (width, height) of the query [pixels].
        min_inliers, min_inlier_ratio: what the front end needs, or the options say.
    """
    if solved.support < min_inliers:
        return Verdict(Reason.FEW_INLIERS, f"{solved.support:.0f} of {min_inliers} needed")
    ratio, needed = _best_ratio(explained, min_inlier_ratio, options)
    if ratio < needed:
        return Verdict(Reason.LOW_INLIER_RATIO, f"{ratio:.2f} of {needed} needed")
    pixels = np.concatenate([m.correspondences.query_pixels for m in explained])
    cells = grid_cells(pixels[solved.inliers], size)
    spread = len(np.unique(cells))
    if spread < options.min_cells:
        return Verdict(Reason.POOR_SPREAD, f"{spread} cells of {options.min_cells} needed")
    correlation = max(m.correspondences.correlation for m in explained if m.inliers.any())
    covariance = pose_covariance(solved, cells, correlation, options)
    sigmas = [float(np.sqrt(np.trace(covariance[i : i + 3, i : i + 3]))) for i in (0, 3)]
    limits = (options.max_position_sigma, options.max_rotation_sigma)
    figures = f"{int(solved.inliers.sum())} inliers, {sigmas[0]:.3f} m, {sigmas[1]:.4f} rad"
    if not (sigmas[0] <= limits[0] and sigmas[1] <= limits[1]):
        return Verdict(Reason.UNCERTAIN, figures)
    against = _support_of_another_pose(solved, matches)
    allowed = options.max_ambiguity * solved.support
    if against > allowed and against >= min_inliers:
        return Verdict(Reason.AMBIGUOUS, f"support {against:.0f} against {solved.support:.0f}")
    margins = (
        min_inliers / solved.support,
        needed / ratio,
        options.min_cells / spread,
        sigmas[0] / limits[0],
        sigmas[1] / limits[1],
        min(against / allowed, 1.0),
    )
    return Verdict(Reason.LOCALIZED, figures, covariance, 1.0 - max(margins))


def pose_covariance(
    solved: JointPose,
    cells: NDArray[np.int64],
    correlation: float,
    options: RelocalizerOptions,
) -> NDArray[np.float64]:
    """Covariance of a pose in the map.

    Neighboring matches share the errors of depth and of matching, so the matches of one cell of
    the image count as one; what cells share, `correlation` states; and the pose is no better known
    than the keyframes' own.
    """
    _, cell, members = np.unique(cells, return_inverse=True, return_counts=True)
    information = (solved.information / members[cell][:, None, None]).sum(0)
    map_variance = np.repeat(
        [options.keyframe_position_sigma**2, options.keyframe_rotation_sigma**2], 3
    )
    return correlation**2 * invert_information(information) + np.diag(map_variance)


def grid_cells(pixels: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.int64]:
    """(N,) cell of each pixel in an 8 x 8 grid over the image."""
    cell = np.clip((pixels + 0.5) * _GRID / size, 0, _GRID - 1).astype(np.int64)
    return np.asarray(cell[:, 0] + _GRID * cell[:, 1])


def _best_ratio(
    explained: Sequence[KeyframeMatch], needed: float, options: RelocalizerOptions
) -> tuple[float, float]:
    """The inlier ratio of the best keyframe, and the one that its matches need."""
    ratios = [
        (m.inlier_ratio, options.min_inlier_ratio or m.correspondences.min_inlier_ratio or needed)
        for m in explained
    ]
    return max(ratios, key=lambda pair: pair[0] / pair[1])


def _support_of_another_pose(solved: JointPose, matches: Matches) -> float:
    other = solving.by_points(matches.without(solved.inliers))
    return 0.0 if other is None else other.support
