# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How often a keyframe was of use: what a map that is kept for years is pruned by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Usage(NamedTuple):
    """What became of one keyframe in the images that were localized.

    Attributes:
        retrieved: images that it was matched with.
        used: accepted poses that rest on it.
        inliers: its matches that agreed with these.
        contradicted: accepted poses from which it should have been seen, and which most of its
            matches contradict.
        last_used: stamp of the last image whose pose rests on it [ns]; 0: none.
    """

    retrieved: int = 0
    used: int = 0
    inliers: int = 0
    contradicted: int = 0
    last_used: int = 0

    def plus(self, other: Usage) -> Usage:
        """Both together."""
        return Usage(
            self.retrieved + other.retrieved,
            self.used + other.used,
            self.inliers + other.inliers,
            self.contradicted + other.contradicted,
            max(self.last_used, other.last_used),
        )


def total(one: Mapping[int, Usage], other: Mapping[int, Usage]) -> dict[int, Usage]:
    """The sums of two records, by keyframe."""
    return {i: one.get(i, Usage()).plus(other.get(i, Usage())) for i in one.keys() | other.keys()}
