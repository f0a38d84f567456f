# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keyframes that a map can do without: others show what they show, or years of use say so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping.sightings import SeenPair
from mast3r_ros.matching.correspondences import Correspondences

# Cells of an image, for what of it another keyframe shows.
_GRID = np.array([8, 8])
Cells = NDArray[np.bool_]


@dataclass(frozen=True)
class Pruned:
    """What came of a pruning.

    Attributes:
        keyframes: the map without the redundant ones.
        removed: for each keyframe that was left out, by id, the part of its cells that others show.
    """

    keyframes: KeyframeMap
    removed: dict[int, float]


def prune(
    keyframes: KeyframeMap, matches: Iterable[SeenPair | None], covered: float, reach: float
) -> Pruned:
    """Leave out keyframes whose view others near them show, the most redundant first.

    Of a keyframe's image, those cells of an 8 x 8 grid count in which it has verified matches with
    any other keyframe. Two others that stay must show a cell while its keyframe is there, and one
    ever after.

    Args:
        keyframes: with cameras.
        matches: verified, of `refinement.matched_pairs`.
        covered: the part of its cells that others must show, in (0, 1].
        reach: how far away the others may stand [m].
    """
    every, views = keyframes.in_order(), defaultdict[int, dict[int, Cells]](dict)
    for pair in matches:
        if pair is None:
            continue
        one, other = every[pair.one], every[pair.other]
        if transforms.distance(one.pose, other.pose) <= reach:
            views[pair.one][pair.other] = _cells(pair.forth, one.size)
            views[pair.other][pair.one] = _cells(pair.back, other.size)
    gone: dict[int, float] = {}
    for i in sorted(views, key=lambda i: -_part(views[i], {}, 2)):
        part = _part(views[i], gone, 2)
        without = {**gone, i: part}
        # What others lost when they went must still be shown without this one, too.
        owed = [j for j in views[i] if j in gone]
        if part >= covered and all(_part(views[j], without, 1) >= covered for j in owed):
            gone = without
    kept = (k for i, k in enumerate(every) if i not in gone)
    return Pruned(keyframes.derive(kept), {every[i].id: part for i, part in gone.items()})


def useless(keyframes: KeyframeMap, unused: int, contradicted: int) -> dict[int, str]:
    """Keyframes that the counted images speak against, by id, and why.

    Args:
        keyframes: a map whose usage was counted.
        unused: a keyframe goes that was compared with so many images, and held no pose; 0: none.
        contradicted: one goes that so many poses contradict, more than rest on it; 0: none.
    """
    found = {}
    for keyframe_id, counts in sorted(keyframes.usage.items()):
        if unused and not counts.used and counts.retrieved >= unused:
            found[keyframe_id] = f"of no use to {counts.retrieved} images"
        elif contradicted and counts.contradicted >= max(contradicted, counts.used + 1):
            found[keyframe_id] = (
                f"{counts.contradicted} poses contradict it, {counts.used} rest on it"
            )
    return found


def _cells(found: Correspondences, size: tuple[int, int]) -> Cells:
    """(64,) in which cells of the reference image there are matches."""
    cell = np.clip((found.reference_pixels + 0.5) * _GRID / size, 0, _GRID - 1).astype(np.int64)
    shown = np.zeros(int(_GRID.prod()), np.bool_)
    shown[cell[:, 0] + _GRID[0] * cell[:, 1]] = True
    return shown


def _part(views: Mapping[int, Cells], gone: Container[int], fewest: int) -> float:
    """The part of a keyframe's cells that enough of the others that stay show."""
    count = sum((cells.astype(int) for j, cells in views.items() if j not in gone), np.zeros(1))
    total = int(np.any([*views.values()], axis=0).sum())
    return float((count >= fewest).sum() / total) if total else 0.0
