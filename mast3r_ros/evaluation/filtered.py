# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Figures of a filtered trajectory: what a robot drives by between fixes and at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.evaluation.pose_error import Bound, PoseError
from mast3r_ros.evaluation.summary import mean
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.map_odom import FilterState, MapOdomFilter

# The 95th percentile of chi-square with 6 degrees of freedom.
ELLIPSOID = 12.59
# Relative poses are compared over this time [s], and not over more than twice of it.
_SPAN = 1.0
# Wrong is what is farther from the truth.
WRONG = Bound.of(0.25, 5.0)


@dataclass(frozen=True)
class Tracked:
    """One moment of a filtered trajectory.

    Attributes:
        stamp: [ns].
        truth: map <- body.
        believed: a fix of this moment was believed.
        state: of the filter.
        estimate: the filter's pose and its (6, 6) covariance; None before the first fixes agree.
    """

    stamp: int
    truth: Pose
    believed: bool
    state: FilterState
    estimate: tuple[Pose, NDArray[np.float64]] | None

    @staticmethod
    def of(stamp: int, truth: Pose, believed: bool, tracker: MapOdomFilter) -> Tracked:
        """What a filter says after this moment."""
        belief = tracker.belief
        estimate = None if belief is None else (belief.pose, belief.covariance)
        return Tracked(stamp, truth, believed, tracker.state, estimate)

    @property
    def error(self) -> PoseError:
        """Of the filter's pose; infinite where there is none."""
        return PoseError.of(None if self.estimate is None else self.estimate[0], self.truth)

    def nees(self, truth_covariance: NDArray[np.float64] | None = None) -> float:
        """Of the filter's pose, NaN where there is none; the truth's own covariance is added."""
        if self.estimate is None or truth_covariance is None:
            return self.error.nees(None if self.estimate is None else self.estimate[1])
        return self.error.nees(self.estimate[1] + truth_covariance)


def trajectory_figures(
    track: Sequence[Tracked], truth_covariance: NDArray[np.float64] | None = None
) -> dict[str, Any]:
    """What a filtered trajectory comes to.

    Args:
        track: in the order of time.
        truth_covariance: (6, 6) of the true poses [m, rad], where they are not exact.

    Returns:
        `seconds_to_first_fix`, `localized` (share of moments in this state),
        `driven_between_fixes_m` (median and largest true way from one believed fix to the next),
        and those of `errors_of`; None where there is nothing to count.
    """
    first = next((t.stamp for t in track if t.estimate is not None), None)
    between = _between_fixes(track)
    return {
        "seconds_to_first_fix": None if first is None else (first - track[0].stamp) / 1e9,
        "localized": mean([t.state is FilterState.LOCALIZED for t in track]),
        "driven_between_fixes_m": {
            "median": float(np.median(between)) if between else None,
            "largest": max(between, default=None),
        },
        **errors_of([track], truth_covariance),
    }


def errors_of(
    parts: Sequence[Sequence[Tracked]], truth_covariance: NDArray[np.float64] | None = None
) -> dict[str, Any]:
    """Errors of the moments that have a pose.

    Args:
        parts: of one trajectory or of several, each in the order of time; no motion from one part
            to another is judged.
        truth_covariance: see `trajectory_figures`.

    Returns:
        `ate_m` and `ate_deg`: root mean square of position and orientation, not aligned, as both
        are in the map's frame. `rpe_m` and `rpe_deg`: the same of the motion over a second. `nees`
        (mean) and `coverage` of the 95 % ellipsoid. None where there is nothing to count.
    """
    known_parts = [[t for t in part if t.estimate is not None] for part in parts]
    known = [t for part in known_parts for t in part]
    relative = [error for part in known_parts for error in _relative_errors(part)]
    nees = [t.nees(truth_covariance) for t in known]
    return {
        "ate_m": _rms([t.error.translation_m for t in known]),
        "ate_deg": _rms([t.error.rotation_deg for t in known]),
        "rpe_m": _rms([e.translation_m for e in relative]),
        "rpe_deg": _rms([e.rotation_deg for e in relative]),
        "nees": mean(nees),
        "coverage": mean([value <= ELLIPSOID for value in nees]),
    }


def _relative_errors(known: Sequence[Tracked]) -> list[PoseError]:
    """Of the motion from each moment to the first one that is a span later."""
    stamps = np.array([t.stamp for t in known], np.int64)
    errors = []
    for start, end in enumerate(np.searchsorted(stamps, stamps + round(_SPAN * 1e9))):
        if end < len(known) and stamps[end] - stamps[start] <= 2e9 * _SPAN:
            one, other = known[start], known[end]
            assert one.estimate is not None
            assert other.estimate is not None
            moved = transforms.inverse(one.estimate[0]) @ other.estimate[0]
            errors.append(PoseError.of(moved, transforms.inverse(one.truth) @ other.truth))
    return errors


def _between_fixes(track: Sequence[Tracked]) -> list[float]:
    """The true way from each believed fix to the next [m]."""
    steps = [0.0, *(transforms.distance(a.truth, b.truth) for a, b in pairwise(track))]
    driven = np.cumsum(steps)
    fixed = driven[[t.believed for t in track]]
    return [float(way) for way in np.diff(fixed)]


def _rms(values: Sequence[float]) -> float | None:
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else None
