# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What covariance and confidence are worth: NEES, coverage, precision, recall, reliability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, spearmanr

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
