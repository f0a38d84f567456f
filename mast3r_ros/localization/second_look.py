# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A second look at a refused or doubtful image, by a slower matcher and within a time budget."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from mast3r_ros.frontends.base import SecondMatcher
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.protection import protection_level
from mast3r_ros.localization.result import Localization, Reason
from mast3r_ros.localization.view import MatchedView

# What more or purer matches can mend.
_MENDABLE = frozenset(
    {
        Reason.FEW_MATCHES,
        Reason.DIRECTION_ONLY,
        Reason.FEW_INLIERS,
        Reason.LOW_INLIER_RATIO,
        Reason.POOR_SPREAD,
        Reason.UNCERTAIN,
    }
)

# An orientation should be within so many times the largest deviation, but for this probability.
_FARTHEST, _BEYOND = 2.5, 0.01


def mendable(answer: Localization) -> bool:
    """Whether more or purer matches may make a pose of a refusal.

    Two poses of one place, as both solutions of a plane, are decided by them. Two places are not:
    another matcher does not make them less alike, and may see one of them alone.
    """
    one_place = answer.reason is Reason.AMBIGUOUS and not answer.places
    return answer.reason in _MENDABLE or one_place


def doubtful(answer: Localization, options: RelocalizerOptions) -> bool:
    """Whether an accepted orientation may be beyond 5 degrees, with the options' defaults.

    Its deviation alone does not show it: that of a pose 5.04 degrees off was below its limit, at
    1.4 % beyond. Refusing all that are as doubtful would lose eight right poses in 56 images of the
    office by nano without depth.
    """
    if answer.covariance is None:
        return False
    level = protection_level(answer.covariance[3:, 3:], _BEYOND)
    return level > _FARTHEST * options.max_rotation_sigma


def can_look_again(front_end: SecondMatcher, view: MatchedView) -> bool:
    """Whether all is known of a view that the second matcher needs."""
    seen = view.frame is not None or not front_end.second_sees_image
    return view.query is not None and seen


def match_again(
    front_end: SecondMatcher, views: Sequence[MatchedView], budget: float
) -> list[MatchedView]:
    """Replace the matches of the most promising keyframes by those of the second matcher.

    Keyframes come in the order of their matches so far. The first one is always matched; another
    one only where the budget allows for as much time as those before took on average.

    Args:
        front_end: has a second matcher.
        views: with their descriptions, and images where the matcher needs them; those without
            keep their matches.
        budget: wall time [s].
    """
    found = [list(view.found) for view in views]
    orders = [np.argsort([-len(c) for c in of_view], kind="stable") for of_view in found]
    pairs = [
        (-len(found[v][k]), v, k)
        for v, order in enumerate(orders)
        for k in order
        if can_look_again(front_end, views[v])
    ]
    # Each view's own order is that of the pairs, so that its next matches are those of its pair.
    again = {
        v: front_end.match_again(
            [view.keyframes[k].description for k in order], view.query, view.frame
        )
        for v, (view, order) in enumerate(zip(views, orders, strict=True))
        if view.query is not None and can_look_again(front_end, view)
    }
    start = time.monotonic()
    for done, (_, v, k) in enumerate(sorted(pairs, key=lambda pair: pair[0]), 1):
        found[v][k] = next(again[v])
        if (time.monotonic() - start) * (done + 1) / done > budget:
            break
    return [view.with_matches(f) for view, f in zip(views, found, strict=True)]
