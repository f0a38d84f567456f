# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scores that several benchmarks share: curves over confidence, angles, recall at thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mast3r_ros.evaluation.pose_error import Bound
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose

# Of mAA30: thresholds of 1, 2, ..., 30 degrees.
_ACCURACY_DEGREES = np.arange(1, 31)


@dataclass(frozen=True)
class AcceptanceCurve:
    """Precision as the confidence asked for falls.

    Attributes:
        accepted: share of all queries that are accepted, ascending.
        precision: share of those accepted that are right.
        area: under precision over the share accepted; 1 where every query is answered rightly.
    """

    accepted: NDArray[np.float64]
    precision: NDArray[np.float64]
    area: float


def acceptance_curve(confidence: ArrayLike, right: ArrayLike, queries: int) -> AcceptanceCurve:
    """Precision over the share of queries accepted, one point for each distinct confidence.

    Refused queries are never accepted: the curve then ends before 1, and its area is smaller.

    Args:
        confidence: (N,) of the poses that were estimated.
        right: (N,) bool, whether each lies within the limits.
        queries: how many there were.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, bool)
    thresholds = np.unique(confidence)[::-1]
    order = np.argsort(-confidence, kind="stable")
    counts = np.searchsorted(-confidence[order], -thresholds, side="right")
    hits = np.cumsum(right[order])[counts - 1] if len(order) else np.zeros(0)
    precision = hits / np.maximum(counts, 1)
    accepted = counts / queries
    return AcceptanceCurve(accepted, precision, float(np.diff(accepted, prepend=0.0) @ precision))


def relative_angles(estimate: Pose | None, truth: Pose) -> tuple[float, float]:
    """Errors of rotation and of the translation's direction [degrees], 180 without an estimate.

    The direction has no sign here, as the paper's protocol for relative poses has it: acos |cos|.
    """
    if estimate is None:
        return 180.0, 180.0
    rotation = float(np.rad2deg(transforms.rotation_angle(estimate, truth)))
    a, b = estimate[:3, 3], truth[:3, 3]
    if not (np.any(a) and np.any(b)):
        return rotation, 180.0
    angle = float(np.rad2deg(np.arctan2(np.linalg.norm(np.cross(a, b)), abs(a @ b))))
    return rotation, angle


def relative_pose_scores(
    rotations: Sequence[float], directions: Sequence[float]
) -> dict[str, float]:
    """RRA@15, RTA@15 and mAA30 of some pairs, in [0, 1].

    RRA and RTA are the shares of pairs whose rotation, or direction, is less than 15 degrees off.
    mAA30 is the mean over thresholds of 1, 2, ..., 30 degrees of the share whose greater error of
    both is below (PoseDiffusion, arXiv 2306.15667, section 4).

    Args:
        rotations, directions: errors [degrees], one a pair.
    """
    rotation, direction = np.asarray(rotations, float), np.asarray(directions, float)
    greater = np.maximum(rotation, direction)
    below = greater[:, None] < _ACCURACY_DEGREES
    return {
        "RRA@15": float((rotation < 15.0).mean()),
        "RTA@15": float((direction < 15.0).mean()),
        "mAA30": float(below.mean()),
    }


def hits(
    records: Sequence[Mapping[str, Any]], bounds: Sequence[Bound]
) -> dict[str, NDArray[np.bool_]]:
    """(N,) whether each record's pose lies within a bound, by the bound's key.

    Args:
        records: with `translation_m` and `rotation_deg`, or without where there is no pose.
        bounds: compared with.
    """
    translations, rotations = _errors(records)
    return {
        bound.key: (translations <= bound.translation_m)
        & (np.deg2rad(rotations) <= bound.rotation_rad)
        for bound in bounds
    }


def median_errors(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Medians over the records of `hits`; without a pose an error is infinite."""
    translations, rotations = _errors(records)
    return {
        "translation_m": float(np.median(translations)),
        "rotation_deg": float(np.median(rotations)),
    }


def _errors(
    records: Sequence[Mapping[str, Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    translations, rotations = (
        np.array([r.get(name, np.inf) for r in records], np.float64)
        for name in ("translation_m", "rotation_deg")
    )
    return translations, rotations


def averaged(by_group: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Each figure's mean over the groups: every group counts as much, however large it is."""
    names = dict.fromkeys(name for figures in by_group.values() for name in figures)
    return {
        name: float(np.mean([figures[name] for figures in by_group.values()])) for name in names
    }
