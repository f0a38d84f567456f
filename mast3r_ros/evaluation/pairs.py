# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pairs of images with true poses, each localized by the whole product: one keyframe, one query."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.recording import PosedPair
from mast3r_ros.evaluation.pairs_metrics import MatchErrors, PairOutcome, summarize
from mast3r_ros.frontends.base import FrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.overlap import depth_at, reproject
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization, Reason

# Every check of the relocalizer as weak as it can be.
_UNCHECKED: dict[str, Any] = {
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
class PairsResult:
    """What came of the pairs.

    Attributes:
        outcomes: by the name of the front end, in the order of the pairs; always with `GUESS`.
    """

    outcomes: Mapping[str, list[PairOutcome]]

    def summary(self) -> dict[str, dict[str, Any]]:
        """The figures by front end, see `pairs_metrics.summarize`."""
        return {name: summarize(found) for name, found in self.outcomes.items()}


Listener = Callable[[str, PosedPair, PairOutcome, Localization], None]


def evaluate_pairs(
    pairs: Iterable[PosedPair],
    front_ends: Mapping[str, FrontEnd],
    options: RelocalizerOptions | None = None,
    depth: bool = True,
    listener: Listener | None = None,
) -> PairsResult:
    """Localize every pair by every front end.

    Args:
        pairs: read once, in their order.
        front_ends: by the name that their figures shall have.
        options: of the relocalizer.
        depth: whether the keyframes know their depth; the queries never do.
        listener: told what each front end makes of each pair.
    """
    options = options or RelocalizerOptions()
    outcomes: dict[str, list[PairOutcome]] = {GUESS: [], **{name: [] for name in front_ends}}
    for pair in pairs:
        outcomes[GUESS].append(guess(pair))
        for name, outcome, answer in localize_pair(pair, front_ends, options, depth):
            outcomes[name].append(outcome)
            if listener is not None:
                listener(name, pair, outcome, answer)
    return PairsResult(outcomes)


def localize_pair(
    pair: PosedPair, front_ends: Mapping[str, FrontEnd], options: RelocalizerOptions, depth: bool
) -> Iterator[tuple[str, PairOutcome, Localization]]:
    """What each front end makes of a pair; the keyframe is the map's origin, and exactly there."""
    options = replace(options, keyframe_position_sigma=0.0, keyframe_rotation_sigma=0.0)
    keyframe = pair.reference if depth else replace(pair.reference, depth=None)
    query = replace(pair.query, depth=None)
    for name, front_end in front_ends.items():
        keyframes = KeyframeMap(front_end)
        keyframes.add(keyframe, np.eye(4))
        answer = Relocalizer(keyframes, options).localize(query)
        pose = answer.pose
        if pose is None:
            pose = Relocalizer(keyframes, replace(options, **_UNCHECKED)).localize(query).pose
        yield name, _outcome(pair, answer, pose), answer


def guess(pair: PosedPair) -> PairOutcome:
    """The outcome of believing that the camera has not moved."""
    return PairOutcome(
        pair.name, pair.overlap, pair.motion, "localized", pose=np.eye(4), unchecked=np.eye(4)
    )


def _outcome(pair: PosedPair, answer: Localization, unchecked: Pose | None) -> PairOutcome:
    relative = answer.pose
    if answer.reason is Reason.DIRECTION_ONLY:
        relative = answer.matches[0].pose
    return PairOutcome(
        pair.name,
        pair.overlap,
        pair.motion,
        answer.reason.name.lower(),
        answer.pose,
        unchecked,
        relative,
        answer.covariance,
        answer.confidence,
        _match_errors(pair, answer),
        answer.timings,
    )


def _match_errors(pair: PosedPair, answer: Localization) -> MatchErrors:
    """How far each match is from where its reference pixel really went."""
    if not answer.matches:
        return MatchErrors()
    match = answer.matches[0]
    found = match.correspondences
    errors: NDArray[np.float64] = np.full(len(found), np.nan)
    reference, query = pair.reference, pair.query
    if reference.depth is not None and reference.camera is not None and query.camera is not None:
        there = reproject(
            found.reference_pixels,
            reference.depth,
            reference.camera,
            query.camera,
            transforms.inverse(pair.motion),
        )
        known = np.isfinite(depth_at(reference.depth, found.reference_pixels))
        # What lies behind the query, or far beside it, is no worse than anything else.
        distance = np.fmin(np.hypot(*(there - found.query_pixels).T), np.hypot(*query.size))
        errors = np.where(known, distance, np.nan)
    return MatchErrors(errors, found.confidence, match.inliers, max(query.size))
