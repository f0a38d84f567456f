# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The figures of an evaluation: how many queries are localized, how well, and how honestly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.errors import UserError
from mast3r_ros.evaluation import calibration
from mast3r_ros.evaluation.outcome import Outcome
from mast3r_ros.evaluation.pose_error import Bound
from mast3r_ros.localization.metric_scale import MetricScale

# Finest first. Beyond the last one, a pose is wrong.
BOUNDS = (Bound.of(0.05, 1.0), Bound.of(0.10, 2.0), Bound.of(0.25, 5.0))


class NoQueriesError(UserError, ValueError):
    """An evaluation of nothing, with what to change."""


def pose_figures(outcomes: Sequence[Outcome], bounds: Sequence[Bound] = BOUNDS) -> dict[str, Any]:
    """How many poses, how good, and how many wrong.

    `localized` and `within_*` are fractions of all queries; `queries` and `wrong_accepted` (poses
    beyond the last bound) are counts; medians are over the localized queries, None where there is
    none.
    """
    accepted = [o.error for o in outcomes if o.localized]
    return {
        "queries": len(outcomes),
        "localized": _share([o.localized for o in outcomes]),
        **{bound.key: _share([o.error.within(bound) for o in outcomes]) for bound in bounds},
        "wrong_accepted": sum(not error.within(bounds[-1]) for error in accepted),
        "median_translation_m": median([error.translation_m for error in accepted]),
        "median_rotation_deg": median([error.rotation_deg for error in accepted]),
    }


def summarize(
    outcomes: Sequence[Outcome],
    bounds: Sequence[Bound] = BOUNDS,
    truth_covariance: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """The figures of an evaluation, as docs/evaluation.md lists them.

    Args:
        outcomes: of all queries.
        bounds: finest first; beyond the last one, a pose is wrong.
        truth_covariance: (6, 6) of the true poses themselves [m, rad], where that is known.

    Raises:
        NoQueriesError: there are no outcomes.
    """
    if not outcomes:
        raise NoQueriesError("no queries: every image is a keyframe; map fewer of them")
    accepted = [o for o in outcomes if o.localized]
    errors = [o.error for o in accepted]
    figures = {
        **pose_figures(outcomes, bounds),
        "p95_translation_m": percentile([error.translation_m for error in errors], 95),
        "p95_rotation_deg": percentile([error.rotation_deg for error in errors], 95),
        "nees": calibration.nees_figures([o.nees() for o in accepted]),
        "protection": _protection(accepted),
        "confidence": confidence_figures(outcomes, bounds[-1]),
        "mean_decodes": float(np.mean([o.decodes for o in outcomes])),
        "latency_ms": _latency(outcomes),
        "refusals": dict(Counter(o.reason for o in outcomes if not o.localized)),
    }
    if truth_covariance is not None:
        values = [o.nees(truth_covariance) for o in accepted]
        figures["nees_with_truth_sigma"] = calibration.nees_figures(values)
    return figures


def _protection(accepted: Sequence[Outcome]) -> dict[str, Any]:
    """What protection levels are worth, and the share of poses whose level is below 25 cm."""
    position = calibration.protection_figures(
        [o.error.translation_m for o in accepted], [o.protection_m for o in accepted]
    )
    rotation = calibration.protection_figures(
        [o.error.rotation_rad for o in accepted], [o.protection_rad for o in accepted]
    )
    return {
        "position_m": position,
        "rotation_rad": rotation,
        "below_25cm": mean([o.protection_m < 0.25 for o in accepted]),
    }


def window_figures(
    outcomes: Sequence[Outcome], window: int, bounds: Sequence[Bound] = BOUNDS
) -> dict[str, Any]:
    """The figures of queries with a full window, and apart of those with a shorter history."""
    full = [o for o in outcomes if o.history >= window]
    short = [o for o in outcomes if o.history < window]
    return {
        "window": window,
        "full_window": {**_with_misses(full, bounds), "queries": len(full)},
        "shorter_history": {**_with_misses(short, bounds), "queries": len(short)},
    }


def scale_figures(scale: MetricScale) -> dict[str, Any]:
    """By what predicted points were multiplied at last, and by how many pairs of images."""
    return {
        "factor": scale.factor if scale.known else None,
        "sigma": scale.sigma if scale.known else None,
        "samples": scale.samples,
    }


def _with_misses(outcomes: Sequence[Outcome], bounds: Sequence[Bound]) -> dict[str, Any]:
    """Pose figures, and the count that is not within the last bound; empty where none are."""
    if not outcomes:
        return {}
    missed = sum(not o.error.within(bounds[-1]) for o in outcomes)
    return {**pose_figures(outcomes, bounds), f"not_{bounds[-1].key}": missed}


def confidence_figures(outcomes: Sequence[Outcome], bound: Bound) -> dict[str, Any]:
    """What the confidence is worth; within `bound` a pose is right."""
    accepted = [o for o in outcomes if o.localized]
    confidence = np.array([o.confidence for o in accepted])
    right = [o.error.within(bound) for o in accepted]
    bins = calibration.reliability_bins(confidence, right)
    curve = calibration.precision_recall(confidence, right, len(outcomes))
    excess = np.array([o.error.excess(bound) for o in accepted])
    return {
        "spearman": calibration.rank_correlation(confidence, excess),
        "precision_recall_auc": curve.area,
        "calibration_error": calibration.calibration_error(bins),
        "reliability": bins,
    }


def by_confidence(
    outcomes: Sequence[Outcome], bounds: Sequence[Bound], parts: int = 5
) -> list[dict[str, Any]]:
    """Accepted poses from the most confident to the least, in parts of equal number."""
    accepted = sorted((o for o in outcomes if o.localized), key=lambda o: -o.confidence)
    edges = np.linspace(0, len(accepted), min(parts, len(accepted)) + 1).astype(int)
    return [
        {
            "from": accepted[end - 1].confidence,
            "to": accepted[start].confidence,
            **pose_figures(accepted[start:end], bounds),
        }
        for start, end in pairwise(edges)
    ]


def median(values: Any) -> float | None:
    """Of what is finite; None where nothing is."""
    return percentile(values, 50)


def percentile(values: Any, q: float) -> float | None:
    """Of what is finite; None where nothing is."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return float(np.percentile(finite, q)) if len(finite) else None


def mean(values: Any) -> float | None:
    """None where there is nothing."""
    return float(np.mean(values)) if len(values) else None


def _share(flags: Sequence[bool]) -> float:
    return float(np.mean(flags))


def _latency(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Median of each stage and of the whole, and the whole's 95th percentile [ms]."""
    timed = [o for o in outcomes if o.timings]
    if not timed:
        return {}
    stages = dict.fromkeys(stage for o in timed for stage in o.timings)
    medians = {
        stage: float(np.median([o.timings[stage] for o in timed if stage in o.timings]))
        for stage in stages
    }
    totals = [o.seconds for o in timed]
    medians["total"] = float(np.median(totals))
    medians["total_p95"] = float(np.percentile(totals, 95))
    return {stage: 1e3 * seconds for stage, seconds in medians.items()}
