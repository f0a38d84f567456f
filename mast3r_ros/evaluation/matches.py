# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The figures of single matches, where depth and pose say where each of them should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.evaluation.calibration import rank_correlation
from mast3r_ros.evaluation.summary import mean, median
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.overlap import depth_at, reproject
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.result import Localization

# Error up to which a match is right, as a share of the image's longer side: 6.4 pixels of 640.
RIGHT_MATCH = 0.01
_PIXELS = (1, 2, 5, 10)
_BINS = 5


def _none() -> NDArray[Any]:
    return np.zeros(0)


@dataclass(frozen=True)
class MatchErrors:
    """The matches of a pair.

    Attributes:
        pixels: (N,) distance from the true place of the reference pixel [pixels of the query], NaN
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


def match_errors(reference: Frame, query: Frame, motion: Pose, answer: Localization) -> MatchErrors:
    """How far each match is from where its reference pixel really is in the query.

    Args:
        reference: with its depth, without which nothing is known.
        motion: reference camera <- query camera.
    """
    if not answer.matches:
        return MatchErrors()
    match = answer.matches[0]
    found = match.correspondences
    errors: NDArray[np.float64] = np.full(len(found), np.nan)
    if reference.depth is not None and reference.camera is not None and query.camera is not None:
        there = reproject(
            found.reference_pixels,
            reference.depth,
            reference.camera,
            query.camera,
            transforms.inverse(motion),
        )
        known = np.isfinite(depth_at(reference.depth, found.reference_pixels))
        # A point behind the query, or far beside it, is no worse than any other wrong match.
        distance = np.fmin(np.hypot(*(there - found.query_pixels).T), np.hypot(*query.size))
        errors = np.where(known, distance, np.nan)
    return MatchErrors(errors, found.confidence, match.inliers, max(query.size))


def match_figures(matches: Sequence[MatchErrors]) -> dict[str, Any]:
    """Errors over the matches of all pairs; shares of right ones are means over the pairs."""
    pixels = np.concatenate([m.pixels[m.known] for m in matches])
    shares = np.concatenate([m.pixels[m.known] / m.side for m in matches])
    kept = [m.right[m.kept & m.known] for m in matches]
    return {
        "median_count": float(np.median([len(m.pixels) for m in matches])),
        "median_px": median(pixels),
        "mean_px": mean(pixels),
        **{f"within_{limit}px": mean(pixels <= limit) for limit in _PIXELS},
        "median_of_side": median(shares),
        "mean_of_side": mean(shares),
        "right_share": right_share(matches),
        "kept_right_share": mean([float(k.mean()) for k in kept if len(k)]),
    }


def right_share(matches: Sequence[MatchErrors]) -> float | None:
    """Mean over the pairs; a pair without matches has no right ones."""
    if not any(m.known.any() for m in matches):
        return None
    return mean([float(m.right[m.known].mean()) if m.known.any() else 0.0 for m in matches])


def match_calibration(matches: Sequence[MatchErrors]) -> dict[str, Any]:
    """What the confidence of single matches is worth, over the matches of all pairs."""
    confidence = np.concatenate([m.confidence[m.known] for m in matches])
    pixels = np.concatenate([m.pixels[m.known] for m in matches])
    right = np.concatenate([m.right[m.known] for m in matches])
    order = np.argsort(-confidence, kind="stable")
    bins = [
        {
            "from": float(confidence[part].min()),
            "to": float(confidence[part].max()),
            "matches": len(part),
            "median_px": median(pixels[part]),
            "right_share": mean(right[part]),
        }
        for part in np.array_split(order, _BINS)
        if len(part)
    ]
    return {"bins": bins, "spearman": rank_correlation(confidence, pixels)}
