# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Does an image tell two poses apart? The matches that both explain say nothing; the others may.

In two rooms that are alike, each pose is supported by the keyframes of its own room, at nearly all
the same places of the image. What differs between the rooms is matched by one side alone. Counted
are the cells of the image where one pose has matches and the other, whose keyframes see that place
too, has hardly any. A side whose keyframes match better everywhere (sharper, nearer) gains nothing:
what is expected of it is scaled by how both sides do where both have matches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose

Array = NDArray[np.float64]

# Cells of 40 pixels in a VGA image: a tell-tale of a fiftieth of the image fills four.
_GRID = (16, 12)
# A cell speaks for one pose where the other has fewer matches than this part of what is expected.
_MISSING = 0.15
# So many matches of a cell may lack a counterpart by chance.
_CHANCE = 2.0
# On 60 rendered images of twin rooms without a tell-tale the evidence was 21 at the most, and with
# one it was over 40 on 57 of 60 and always more than four times that of the other side.
_MIN_EVIDENCE = 40.0
# Exposure makes one side's keyframes match worse in a dark part of the image: on 100 rendered
# images of two-sided cabinets without a tell-tale (seed 0), by up to 13 % of the other side's
# thousands of matches with `xfeat`.
_MIN_SHARE = 0.15
_MIN_RATIO = 4.0
_MIN_CELLS = 4


@dataclass(frozen=True)
class Explanation:
    """A pose with the matches that agree with it.

    Attributes:
        pose: map <- camera.
        pixels: (N, 2) of the query.
        points: (N, 3) in the map [m], NaN where unknown.
        views: (map <- camera, camera) of the keyframes that the matches come from.
    """

    pose: Pose
    pixels: Array
    points: Array
    views: Sequence[tuple[Pose, Camera]]


def tells_apart(right: Explanation, other: Explanation, size: tuple[int, int]) -> bool:
    """Whether the image speaks for one pose and against another one.

    Args:
        right: the pose that is to be believed.
        other: a pose elsewhere that explains many matches too.
        size: (width, height) of the image.
    """
    evidence, cells = advantage(right, other, size)
    against, _ = advantage(other, right, size)
    least = max(_MIN_EVIDENCE, _MIN_SHARE * len(other.pixels), _MIN_RATIO * against)
    return evidence >= least and cells >= _MIN_CELLS


def advantage(one: Explanation, other: Explanation, size: tuple[int, int]) -> tuple[float, int]:
    """What one pose explains where the other one should and does not.

    Returns:
        Matches in excess of what the other pose explains, and the number of cells that hold them.
    """
    ours, theirs = _counts(one.pixels, size), _counts(other.pixels, size)
    shared = (ours > 0) & (theirs > 0)
    if not shared.any():
        return 0.0, 0
    expected = np.median(theirs[shared] / ours[shared]) * _counts(
        one.pixels[_could_be_seen(one, other)], size
    )
    missing = expected - theirs - _CHANCE
    speaks = (theirs <= _MISSING * expected) & (missing > 0)
    return float(missing[speaks].sum()), int(speaks.sum())


def _counts(pixels: Array, size: tuple[int, int]) -> Array:
    """Matches by cell of the image."""
    cell = np.clip((pixels + 0.5) * _GRID / size, 0, np.array(_GRID) - 1).astype(np.int64)
    count = np.bincount(cell[:, 0] + _GRID[0] * cell[:, 1], minlength=_GRID[0] * _GRID[1])
    return np.asarray(count, np.float64)


def _could_be_seen(one: Explanation, other: Explanation) -> NDArray[np.bool_]:
    """Which matches of one pose the keyframes of the other would see, were it the right one."""
    there = transforms.apply(other.pose @ transforms.inverse(one.pose), one.points)
    seen = np.zeros(len(there), bool)
    for pose, camera in other.views:
        local = transforms.apply(transforms.inverse(pose), there)
        with np.errstate(invalid="ignore"):
            pixels = camera.project(local)
            inside = (pixels >= 0) & (pixels < (camera.width, camera.height))
            seen |= inside.all(1) & (local[:, 2] > 0)
    return seen
