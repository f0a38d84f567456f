# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pairs of images with true poses, each localized by the whole product: one keyframe, one query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from mast3r_ros.datasets.recording import PosedPair
from mast3r_ros.evaluation.matches import (
    MatchErrors,
    match_calibration,
    match_errors,
    match_figures,
    right_share,
)
from mast3r_ros.evaluation.outcome import Outcome
from mast3r_ros.evaluation.pose_error import Bound, PoseError
from mast3r_ros.evaluation.run import Attempt
from mast3r_ros.evaluation.summary import (
    NoQueriesError,
    by_confidence,
    median,
    pose_figures,
    summarize,
)
from mast3r_ros.frontends.base import FrontEnd
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization, Reason

# Finest first. Beyond the last one, a pose is wrong.
BOUNDS = (Bound.of(0.1, 2.0), Bound.of(0.5, 10.0))
AUC_DEGREES = (5, 10, 20)
_OVERLAPS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

# Options with every check of the relocalizer as weak as it can be.
UNCHECKED: dict[str, Any] = {
    "min_inliers": 4,
    "min_inlier_ratio": 1e-9,
    "min_cells": 1,
    "max_position_sigma": 100.0,
    "max_rotation_sigma": 3.2,
    "max_ambiguity": 1.0,
}

# The baseline that needs no image: the camera has not moved.
GUESS = "no motion"


@dataclass(frozen=True)
class PairOutcome(Outcome):
    """One pair; its `truth` and `pose` are reference camera <- query camera.

    Attributes:
        overlap: the pair's.
        unchecked: the pose if nothing were refused, where there is any.
        relative: rotation and direction, also of poses without metric scale; None for neither.
        matches: how good they are.
    """

    overlap: float = np.nan
    unchecked: Pose | None = None
    relative: Pose | None = None
    matches: MatchErrors = field(default_factory=MatchErrors)

    @property
    def relative_error_deg(self) -> float:
        """The greater of the angles of rotation and of direction, see `relative`."""
        error = PoseError.of(self.relative, self.truth)
        return max(error.rotation_deg, error.direction_deg)

    @property
    def metric_ratio(self) -> float:
        """Length of the estimated translation over the true one; NaN where there is none."""
        length = float(np.linalg.norm(self.truth[:3, 3]))
        if self.pose is None or length == 0.0:
            return np.nan
        return float(np.linalg.norm(self.pose[:3, 3])) / length


def localize_pairs(
    pairs: Iterable[PosedPair],
    front_ends: Mapping[str, FrontEnd],
    options: RelocalizerOptions | None = None,
    depth: bool = True,
) -> Iterator[tuple[str, Attempt]]:
    """Localize every pair with every front end.

    The keyframe is the map's origin, and exactly there. The queries have no depth.

    Args:
        pairs: read once, in their order.
        front_ends: by the name that their figures shall have.
        options: of the relocalizer.
        depth: whether the keyframes have their depth.

    Returns:
        The name of the front end, and an attempt whose outcome is a `PairOutcome`.
    """
    options = options or RelocalizerOptions()
    options = replace(options, keyframe_position_sigma=0.0, keyframe_rotation_sigma=0.0)
    for pair in pairs:
        keyframe = pair.reference if depth else replace(pair.reference, depth=None)
        query = replace(pair.query, depth=None)
        for name, front_end in front_ends.items():
            keyframes = KeyframeMap(front_end)
            keyframes.add(keyframe, np.eye(4))
            answer = Relocalizer(keyframes, options).localize(query)
            pose = answer.pose
            if pose is None:
                pose = Relocalizer(keyframes, replace(options, **UNCHECKED)).localize(query).pose
            yield name, Attempt(_outcome(pair, answer, pose), query, answer, keyframes)


def guess(pair: PosedPair) -> PairOutcome:
    """The outcome of the guess that the camera has not moved."""
    still = np.eye(4)
    return PairOutcome(
        pair.name, pair.motion, "localized", pose=still, overlap=pair.overlap, unchecked=still
    )


def _outcome(pair: PosedPair, answer: Localization, unchecked: Pose | None) -> PairOutcome:
    relative = answer.pose
    if answer.reason is Reason.DIRECTION_ONLY:
        relative = answer.matches[0].pose
    return PairOutcome(
        **vars(Outcome.of(pair.name, pair.motion, answer, pair.query.stamp)),
        overlap=pair.overlap,
        unchecked=unchecked,
        relative=relative,
        matches=match_errors(pair.reference, pair.query, pair.motion, answer),
    )


def summarize_pairs(outcomes: Sequence[PairOutcome]) -> dict[str, Any]:
    """The figures of one front end: those of `summarize`, and what only pairs have.

    Raises:
        NoQueriesError: there are no pairs.
    """
    if not outcomes:
        raise NoQueriesError("no pairs: no two images overlap that much; lower --min-overlap")
    errors = [o.relative_error_deg for o in outcomes]
    matches = [o.matches for o in outcomes]
    unchecked = [replace(o, pose=o.unchecked) for o in outcomes]
    return {
        **summarize(outcomes, BOUNDS),
        **_pair_figures(outcomes),
        **{
            f"auc_{limit}deg": float(np.mean([max(0.0, 1.0 - error / limit) for error in errors]))
            for limit in AUC_DEGREES
        },
        "unchecked": {**pose_figures(unchecked, BOUNDS), **_pair_figures(unchecked)},
        "matches": match_figures(matches),
        "match_calibration": match_calibration(matches),
        "overlap_bins": _by_overlap(outcomes),
        "confidence_bins": by_confidence(outcomes, BOUNDS),
    }


def _pair_figures(outcomes: Sequence[PairOutcome]) -> dict[str, float | None]:
    return {
        "median_direction_deg": median([o.error.direction_deg for o in outcomes if o.localized]),
        "metric_ratio": median([o.metric_ratio for o in outcomes]),
    }


def _by_overlap(outcomes: Sequence[PairOutcome]) -> list[dict[str, Any]]:
    rows = []
    for low, high in pairwise(_OVERLAPS):
        last = high == _OVERLAPS[-1]
        chosen = [o for o in outcomes if low <= o.overlap < high or (last and o.overlap == high)]
        if not chosen:
            continue
        matches = [o.matches for o in chosen]
        pixels = np.concatenate([m.pixels[m.known] for m in matches])
        rows.append(
            {
                "from": low,
                "to": high,
                **pose_figures(chosen, BOUNDS),
                **_pair_figures(chosen),
                "median_px": median(pixels),
                "right_share": right_share(matches),
            }
        )
    return rows
