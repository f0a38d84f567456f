# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What covariance and confidence are worth: NEES, coverage, precision, recall, reliability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta, chi2, spearmanr

# Of a pose.
DEGREES_OF_FREEDOM = 6
_BINS = 10


def nees_figures(values: ArrayLike) -> dict[str, float | None]:
    """Mean, median, 95th percentile and coverage of the 95 % ellipsoids; None without values.

    An exact covariance has 6, 5.35, 12.59 and 0.95.
    """
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return dict.fromkeys(("mean", "median", "p95", "coverage_95"))
    return {
        "mean": float(finite.mean()),
        "median": float(np.median(finite)),
        "p95": float(np.percentile(finite, 95)),
        "coverage_95": float((finite <= chi2.ppf(0.95, DEGREES_OF_FREEDOM)).mean()),
    }


def protection_figures(errors: ArrayLike, levels: ArrayLike) -> dict[str, float | None]:
    """What protection levels are worth; None without poses.

    Args:
        errors, levels: (N,) of the accepted poses, in one unit.

    Returns:
        exceeded: share of poses whose error is above its level.
        at_most: its upper limit at 95 % confidence (Clopper and Pearson): of n poses without a
            failure, some 3 / n. No smaller probability is supported by so many poses.
        median_ratio: of the level to the error.
        median: of the level.
    """
    error, level = np.asarray(errors, np.float64), np.asarray(levels, np.float64)
    known = np.isfinite(error) & np.isfinite(level)
    error, level = error[known], level[known]
    if not len(error):
        return dict.fromkeys(("exceeded", "at_most", "median_ratio", "median"))
    failed, count = int((error > level).sum()), len(error)
    at_most = 1.0 if failed == count else float(beta.ppf(0.95, failed + 1, count - failed))
    return {
        "exceeded": failed / count,
        "at_most": at_most,
        "median_ratio": float(np.median(level / np.maximum(error, 1e-9))),
        "median": float(np.median(level)),
    }


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision over recall, from the most confident pose to the least.

    Attributes:
        recall: (N,) right poses so far, of all queries.
        precision: (N,) right poses so far, of those accepted so far.
        area: under precision over recall.
    """

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    area: float


def precision_recall(confidence: ArrayLike, right: ArrayLike, queries: int) -> PrecisionRecall:
    """How well confidence separates right poses from wrong ones.

    Args:
        confidence: (N,) of the accepted poses.
        right: (N,) bool, likewise.
        queries: how many there were, with the refused ones.
    """
    order = np.argsort(-np.asarray(confidence, np.float64), kind="stable")
    hits = np.asarray(right, bool)[order]
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    return PrecisionRecall(found / queries, precision, float(precision[hits].sum()) / queries)


def reliability_bins(confidence: ArrayLike, right: ArrayLike) -> list[dict[str, Any]]:
    """Share of right poses by confidence, in ten bins of equal width; empty ones are left out."""
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, bool)
    number = np.clip((confidence * _BINS).astype(int), 0, _BINS - 1)
    return [
        {
            "from": i / _BINS,
            "to": (i + 1) / _BINS,
            "poses": int(chosen.sum()),
            "confidence": float(confidence[chosen].mean()),
            "right": float(right[chosen].mean()),
        }
        for i in range(_BINS)
        if (chosen := number == i).any()
    ]


def calibration_error(bins: Sequence[dict[str, Any]]) -> float | None:
    """Expected calibration error: mean distance of confidence from the share of right poses."""
    poses = sum(b["poses"] for b in bins)
    if not poses:
        return None
    return float(sum(b["poses"] * abs(b["confidence"] - b["right"]) for b in bins) / poses)


def rank_correlation(confidence: NDArray[Any], errors: NDArray[Any]) -> float | None:
    """Spearman's; -1 where more confidence is always less error."""
    if len(confidence) < 3 or np.ptp(confidence) == 0.0 or np.ptp(errors) == 0.0:
        return None
    return float(spearmanr(confidence, errors).statistic)
