# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Match pictures of some queries: the largest errors, typical ones, and refused ones."""

from __future__ import annotations

from mast3r_ros.drawing.matches import draw_matches
from mast3r_ros.drawing.page import Picture
from mast3r_ros.evaluation.pose_error import Bound
from mast3r_ros.evaluation.run import Attempt
from mast3r_ros.keyframes.keyframe import decode_thumbnail

WORST, FIRST, REFUSED = "Largest errors", "Accepted (the first)", "Refused (the first)"


class Album:
    """Keeps the pictures of a few queries of each kind."""

    def __init__(self, bound: Bound, count: int = 4) -> None:
        """`bound` weighs distances and angles against each other; `count` pictures of a kind."""
        self._bound, self._count = bound, count
        self._kept: dict[str, list[tuple[float, Picture]]] = {WORST: [], FIRST: [], REFUSED: []}

    def consider(self, attempt: Attempt) -> None:
        """Keep a picture if it is among the first, or among the worst so far."""
        if not (self._count and attempt.answer.matches):
            return
        if not attempt.outcome.localized:
            self._keep(REFUSED, 0.0, attempt)
            return
        self._keep(FIRST, 0.0, attempt)
        self._keep(WORST, attempt.outcome.error.excess(self._bound), attempt)

    def _keep(self, kind: str, rank: float, attempt: Attempt) -> None:
        kept = self._kept[kind]
        if len(kept) == self._count and rank <= kept[-1][0]:
            return
        kept.append((rank, match_picture(attempt)))
        kept.sort(key=lambda entry: -entry[0])
        del kept[self._count :]

    def pictures(self) -> dict[str, list[Picture]]:
        """By heading."""
        return {kind: [picture for _, picture in kept] for kind, kept in self._kept.items()}


def match_picture(attempt: Attempt) -> Picture:
    """The matches of a query with the keyframe that has the most inliers."""
    outcome, match = attempt.outcome, attempt.answer.matches[0]
    keyframe = attempt.keyframes[match.keyframe_id]
    thumbnail = decode_thumbnail(keyframe.thumbnail)
    scale = thumbnail.shape[1] / keyframe.size[0]
    found = match.correspondences
    image = draw_matches(
        thumbnail,
        attempt.query.image,
        (found.reference_pixels + 0.5) * scale - 0.5,
        found.query_pixels,
        match.inliers,
    )
    errors = ""
    if outcome.localized:
        error = outcome.error
        errors = f"{100 * error.translation_m:.1f} cm, {error.rotation_deg:.2f}° off; "
    return Picture(
        outcome.name, f"with keyframe {keyframe.id}: {errors}{attempt.answer.message}", image
    )
