# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whether a pose is accepted, how exact it is, and why it is refused otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.joint_pose import Matches
from mast3r_ros.geometry.robust_pose import Estimate, SharedErrors
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.ambiguity import Explanation, tells_apart
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.other_poses import compare, other_poses
from mast3r_ros.localization.result import KeyframeMatch, Reason
from mast3r_ros.localization.solving import grid_cells

# Spread is counted in coarse cells, evidence for one pose against another in fine ones: a thing
# that tells two places apart may be small.
_SPREAD_GRID = (8, 8)
_EVIDENCE_GRID = (24, 18)


@dataclass(frozen=True)
class Verdict:
    """The outcome of the checks of one pose.

    Attributes:
        reason: LOCALIZED, or the first check that failed.
        figures: what was measured, for people.
        confidence: 0 at the limit of a check, towards 1 far from all limits; how exact the pose is
            plays no part.
        measures: what the checks measured, by name.
    """

    reason: Reason
    figures: str
    confidence: float = 0.0
    measures: dict[str, float] = field(default_factory=dict)


def verify(
    answer: Estimate,
    matches: Matches,
    shared: SharedErrors,
    explained: Sequence[KeyframeMatch],
    views: Sequence[tuple[Pose, Camera | None]],
    size: tuple[int, int],
    min_inliers: int,
    min_inlier_ratio: float,
    options: RelocalizerOptions,
) -> Verdict:
    """Accept or refuse a pose.

    Args:
        answer: the pose and its inliers.
        matches, shared: all matches in the map's frame, and what they have in common.
        explained: the same by keyframe, with the inliers of the pose.
        views: the keyframes' poses in the map, and their cameras.
        size: (width, height) of the query [pixels].
        min_inliers, min_inlier_ratio: what the front end needs, or the options say.
    """
    if answer.support < min_inliers:
        return Verdict(Reason.FEW_INLIERS, f"{answer.support:.0f} of {min_inliers} needed")
    ratio, needed = _best_ratio(explained, min_inlier_ratio, options)
    if ratio < needed:
        return Verdict(Reason.LOW_INLIER_RATIO, f"{ratio:.2f} of {needed} needed")
    pixels = np.concatenate([m.correspondences.query_pixels for m in explained])
    spread = len(np.unique(grid_cells(pixels[answer.inliers], size, _SPREAD_GRID)))
    if spread < options.min_cells:
        return Verdict(Reason.POOR_SPREAD, f"{spread} cells of {options.min_cells} needed")
    sigmas = [float(np.sqrt(np.trace(answer.covariance[i : i + 3, i : i + 3]))) for i in (0, 3)]
    limits = (options.max_position_sigma, options.max_rotation_sigma)
    figures = f"{int(answer.inliers.sum())} inliers, {sigmas[0]:.3f} m, {sigmas[1]:.4f} rad"
    if not (sigmas[0] <= limits[0] and sigmas[1] <= limits[1]):
        return Verdict(Reason.UNCERTAIN, figures)
    features = _features(pixels)
    cells = grid_cells(pixels, size, _EVIDENCE_GRID)
    least = np.inf
    least_support = max(min_inliers, options.max_ambiguity * answer.support)
    for other in other_poses(answer, matches, shared, least_support, options):
        evidence = compare(answer, other, features, cells).evidence
        least = min(least, evidence)
        elsewhere = not _by_the_same_matches(answer, other)
        if evidence < options.min_evidence or (
            elsewhere and not _told_apart(answer, other, matches, pixels, views, size)
        ):
            figures = (
                f"{other.support:.0f} inliers against {answer.support:.0f}, evidence "
                f"{evidence:.1f} of {options.min_evidence:.1f} needed"
            )
            return Verdict(Reason.AMBIGUOUS, figures, measures={"evidence": evidence})
    measures = {
        "support": answer.support / min_inliers,
        "ratio": ratio / needed,
        "spread": spread / options.min_cells,
        "evidence": least / options.min_evidence if options.min_evidence else np.inf,
    }
    return Verdict(Reason.LOCALIZED, figures, 1.0 - 1.0 / min(measures.values()), measures)


def _by_the_same_matches(answer: Estimate, other: Estimate) -> bool:
    """Whether two poses rest on the same matches, as both solutions of a plane do."""
    return bool(2 * (answer.inliers & other.inliers).sum() > other.inliers.sum())


def _told_apart(
    answer: Estimate,
    other: Estimate,
    matches: Matches,
    pixels: NDArray[np.floating],
    views: Sequence[tuple[Pose, Camera | None]],
    size: tuple[int, int],
) -> bool:
    """Whether the image speaks for the answer and against a place that looks alike."""
    explanations = []
    for pose in (answer, other):
        owners = np.unique(matches.owners[pose.inliers])
        seen_from = [(view, camera) for view, camera in (views[i] for i in owners) if camera]
        explanations.append(
            Explanation(
                pose.pose,
                np.asarray(pixels[pose.inliers], np.float64),
                matches.points[pose.inliers],
                seen_from,
            )
        )
    return tells_apart(explanations[0], explanations[1], size)


def _best_ratio(
    explained: Sequence[KeyframeMatch], needed: float, options: RelocalizerOptions
) -> tuple[float, float]:
    """The inlier ratio of the best keyframe, and the one that its matches need."""
    ratios = [
        (m.inlier_ratio, options.min_inlier_ratio or m.correspondences.min_inlier_ratio or needed)
        for m in explained
    ]
    return max(ratios, key=lambda pair: pair[0] / pair[1])


def _features(pixels: NDArray[np.floating]) -> NDArray[np.int64]:
    """(N,) the number of the query's feature: matches at one pixel are of one feature."""
    eighths = np.rint(np.asarray(pixels, np.float64) * 8.0).astype(np.int64)
    _, number = np.unique(eighths[:, 0] * (1 << 32) + eighths[:, 1], return_inverse=True)
    return np.asarray(number, np.int64)
