# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The figures of pairs: of their matches, of their poses, and of what the confidence is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose

# Distance [m] and angle [degrees] beyond which a pose is wrong; and those of a good pose.
LIMITS = (0.5, 10.0)
GOOD = (0.1, 2.0)
AUC_DEGREES = (5, 10, 20)
MATCH_PIXELS = (1, 2, 5, 10)
# Error up to which a match is right, as a share of the image's longer side: 6.4 pixels of 640.
RIGHT_MATCH = 0.01
_OVERLAPS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_BINS = 5


def _none() -> NDArray[Any]:
    return np.zeros(0)


@dataclass(frozen=True)
class MatchErrors:
    """The matches of a pair.

    Attributes:
        pixels: (N,) distance from where the reference pixel really went [pixels of the query], NaN
            where the depth is not known.
        confidence: (N,) in [0, 1].
        kept: (N,) bool, which of them the solver took for inliers.
        side: the longer one of the query's image [pixels].
    """

    pixels: NDArray[np.float64] = field(default_factory=_none)
    confidence: NDArray[np.float32] = field(default_factory=_none)
    kept: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    side: int = 1

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which of them have an error."""
        return np.isfinite(self.pixels)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which of them are as near as `RIGHT_MATCH` asks; those without an error are not."""
        return np.asarray(self.pixels <= RIGHT_MATCH * self.side)


@dataclass(frozen=True)
class PairOutcome:
    """One pair: the truth, and what came of it.

    Attributes:
        name, overlap: the pair's.
        truth: reference camera <- query camera, (4, 4).
        reason: how it ended, in words.
        pose: the same as `truth`, estimated; None where it was refused.
        unchecked: what the answer would be if nothing were refused, where there is any pose.
        relative: rotation and direction, also where the metres are not known; None for neither.
        covariance: (6, 6) of `pose` [m, rad], in the sense of `transforms.perturb`.
        confidence: of the pose, in [0, 1].
        matches: how good they are.
        timings: seconds by stage, without the keyframe's.
    """

    name: str
    overlap: float
    truth: Pose
    reason: str
    pose: Pose | None = None
    unchecked: Pose | None = None
    relative: Pose | None = None
    covariance: NDArray[np.float64] | None = None
    confidence: float = 0.0
    matches: MatchErrors = field(default_factory=MatchErrors)
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def translation_error(self) -> float:
        """Distance to the true position [m]; infinite where there is no pose."""
        return np.inf if self.pose is None else transforms.distance(self.pose, self.truth)

    @property
    def rotation_error(self) -> float:
        """Angle to the true orientation [degrees]; infinite where there is no pose."""
        if self.pose is None:
            return np.inf
        return float(np.rad2deg(transforms.rotation_angle(self.pose, self.truth)))

    @property
    def direction_error(self) -> float:
        """Angle between true and estimated translation [degrees], see `relative`."""
        return np.inf if self.relative is None else _angle(self.relative[:3, 3], self.truth[:3, 3])

    @property
    def relative_error(self) -> float:
        """The greater of the angles of rotation and of direction [degrees], see `relative`."""
        if self.relative is None:
            return np.inf
        turn = np.rad2deg(transforms.rotation_angle(self.relative, self.truth))
        return max(float(turn), self.direction_error)

    @property
    def excess(self) -> float:
        """The error in one number: as a multiple of the limits of a wrong pose."""
        return max(self.translation_error / LIMITS[0], self.rotation_error / LIMITS[1])

    @property
    def normalized_error(self) -> float:
        """Squared error over its covariance: 5.3 in the median if that is honest; NaN without."""
        if self.pose is None or self.covariance is None:
            return np.nan
        delta = transforms.difference(self.pose, self.truth)
        return float(delta @ np.linalg.solve(self.covariance, delta))

    @property
    def metric_ratio(self) -> float:
        """Length of the estimated translation over the true one; NaN where there is none."""
        length = float(np.linalg.norm(self.truth[:3, 3]))
        if self.pose is None or length == 0.0:
            return np.nan
        return float(np.linalg.norm(self.pose[:3, 3])) / length

    def within(self, limits: tuple[float, float]) -> bool:
        """Whether there is a pose and both errors lie within a distance [m] and an angle [deg]."""
        return self.translation_error <= limits[0] and self.rotation_error <= limits[1]


def summarize(outcomes: Sequence[PairOutcome]) -> dict[str, Any]:
    """The figures of one front end, as docs/evaluation.md tells them; None where nothing is known.

    Raises:
        ValueError: there are no pairs.
    """
    if not outcomes:
        raise ValueError("no pairs: nothing overlaps as much as was asked; ask for less overlap")
    seconds = [sum(o.timings.values()) for o in outcomes if o.timings]
    return {
        **_poses(outcomes),
        **{
            f"auc_{limit}deg": float(
                np.mean([max(0.0, 1.0 - o.relative_error / limit) for o in outcomes])
            )
            for limit in AUC_DEGREES
        },
        "metric_ratio": _median([o.metric_ratio for o in outcomes]),
        "median_normalized_error": _median([o.normalized_error for o in outcomes]),
        "unchecked": _unchecked(outcomes),
        "refusals": dict(Counter(o.reason for o in outcomes if o.pose is None)),
        "median_ms": None if not seconds else 1e3 * float(np.median(seconds)),
        "matches": _matches(outcomes),
        "overlap_bins": _by_overlap(outcomes),
        "calibration": _calibration(outcomes),
        "match_calibration": _match_calibration(outcomes),
    }


def _poses(outcomes: Sequence[PairOutcome]) -> dict[str, Any]:
    accepted = [o for o in outcomes if o.pose is not None]
    return {
        "pairs": len(outcomes),
        "accepted": _share([o.pose is not None for o in outcomes]),
        "wrong_accepted": _share([o.pose is not None and not o.within(LIMITS) for o in outcomes]),
        "within_50cm_10deg": _share([o.within(LIMITS) for o in outcomes]),
        "within_10cm_2deg": _share([o.within(GOOD) for o in outcomes]),
        "median_rotation_deg": _median([o.rotation_error for o in accepted]),
        "median_translation_m": _median([o.translation_error for o in accepted]),
        "median_direction_deg": _median([o.direction_error for o in accepted]),
    }


def _unchecked(outcomes: Sequence[PairOutcome]) -> dict[str, Any]:
    """The same if no pose were refused."""
    poses = [replace(o, pose=o.unchecked) for o in outcomes]
    found = {**_poses(poses), "metric_ratio": _median([o.metric_ratio for o in poses])}
    return {name: value for name, value in found.items() if name not in ("pairs", "wrong_accepted")}


def _matches(outcomes: Sequence[PairOutcome]) -> dict[str, Any]:
    """Errors over the matches of all pairs; shares of right ones are means over the pairs."""
    pixels = np.concatenate([o.matches.pixels[o.matches.known] for o in outcomes])
    shares = np.concatenate([o.matches.pixels[o.matches.known] / o.matches.side for o in outcomes])
    kept = [o.matches.right[o.matches.kept & o.matches.known] for o in outcomes]
    return {
        "median_count": float(np.median([len(o.matches.pixels) for o in outcomes])),
        "median_px": _median(pixels),
        "mean_px": _mean(pixels),
        **{f"within_{limit}px": _mean(pixels <= limit) for limit in MATCH_PIXELS},
        "median_of_side": _median(shares),
        "mean_of_side": _mean(shares),
        "right_share": _right_share(outcomes),
        "kept_right_share": _mean([float(k.mean()) for k in kept if len(k)]),
    }


def _right_share(outcomes: Sequence[PairOutcome]) -> float | None:
    """Mean over the pairs; a pair without matches has no right ones."""
    if not any(o.matches.known.any() for o in outcomes):
        return None
    shares = [
        float(o.matches.right[o.matches.known].mean()) if o.matches.known.any() else 0.0
        for o in outcomes
    ]
    return _mean(shares)


def _by_overlap(outcomes: Sequence[PairOutcome]) -> list[dict[str, Any]]:
    rows = []
    for low, high in pairwise(_OVERLAPS):
        last = high == _OVERLAPS[-1]
        chosen = [o for o in outcomes if low <= o.overlap < high or (last and o.overlap == high)]
        if not chosen:
            continue
        pixels = np.concatenate([o.matches.pixels[o.matches.known] for o in chosen])
        matches = {"median_px": _median(pixels), "right_share": _right_share(chosen)}
        rows.append({"from": low, "to": high, **_poses(chosen), **matches})
    return rows


def _calibration(outcomes: Sequence[PairOutcome]) -> dict[str, Any]:
    """Does the confidence order the errors? Bins from the surest to the least sure."""
    accepted = [o for o in outcomes if o.pose is not None]
    confidence = np.array([o.confidence for o in accepted])
    order = np.argsort(-confidence, kind="stable")
    right = np.array([o.within(LIMITS) for o in accepted], bool)[order]
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    bins = []
    for part in np.array_split(order, min(_BINS, len(order)) or 1):
        if len(part):
            least, most = confidence[part].min(), confidence[part].max()
            shown = _poses([accepted[i] for i in part])
            bins.append({"from": float(least), "to": float(most), **shown})
    return {
        "bins": bins,
        "spearman": _spearman(confidence, np.array([o.excess for o in accepted])),
        # The area under precision over recall, recall being of all pairs.
        "precision_recall_auc": float(precision[right].sum()) / len(outcomes),
    }


def _match_calibration(outcomes: Sequence[PairOutcome]) -> dict[str, Any]:
    """The same of the matches of all pairs."""
    confidence = np.concatenate([o.matches.confidence[o.matches.known] for o in outcomes])
    pixels = np.concatenate([o.matches.pixels[o.matches.known] for o in outcomes])
    right = np.concatenate([o.matches.right[o.matches.known] for o in outcomes])
    order = np.argsort(-confidence, kind="stable")
    bins = [
        {
            "from": float(confidence[part].min()),
            "to": float(confidence[part].max()),
            "matches": len(part),
            "median_px": _median(pixels[part]),
            "right_share": _mean(right[part]),
        }
        for part in np.array_split(order, _BINS)
        if len(part)
    ]
    return {"bins": bins, "spearman": _spearman(confidence, pixels)}


def _spearman(confidence: NDArray[Any], errors: NDArray[Any]) -> float | None:
    """Rank correlation; -1 where more confidence is always less error."""
    if len(confidence) < 3 or np.ptp(confidence) == 0.0 or np.ptp(errors) == 0.0:
        return None
    return float(spearmanr(confidence, errors).statistic)


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Between two vectors [degrees]; infinite where one of them has no direction."""
    if not (np.any(a) and np.any(b)):
        return np.inf
    return float(np.rad2deg(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


def _share(flags: Sequence[bool]) -> float:
    return float(np.mean(flags))


def _mean(values: Any) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _median(values: Any) -> float | None:
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return float(np.median(finite)) if len(finite) else None
