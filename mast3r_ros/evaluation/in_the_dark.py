# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Black-outs again and again: how much of a figure in the dark is one draw of odometry's noise.

In the dark a filter only follows odometry, whose errors last: a drive is inside or outside of the
ellipsoid for many moments. The coverage of 50 drives therefore has a standard deviation of 2 %.
Without images, other noise can be drawn for the same black-outs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from mast3r_ros.evaluation.drive_figures import Step
from mast3r_ros.evaluation.filtered import ELLIPSOID
from mast3r_ros.evaluation.odometry import measured
from mast3r_ros.evaluation.pose_error import PoseError
from mast3r_ros.evaluation.summary import mean
from mast3r_ros.geometry import transforms
from mast3r_ros.localization.map_odom import Belief, FilterOptions

_DRAWS = 40


def dark_figures(
    drives: Sequence[Sequence[Step]], options: FilterOptions, draws: int = _DRAWS
) -> dict[str, Any]:
    """NEES in the dark over other draws of odometry's noise.

    Args:
        drives: whose filters begin each black-out as they did.
        options: the noise of odometry, as the filter assumes it.
        draws: of each black-out.

    Returns:
        `nees` (mean) and `coverage` of the 95 % ellipsoid; `one_draw`: the standard deviation of
        the coverage in one draw of all black-outs. None where no robot knew its pose.
    """
    random = np.random.default_rng(0)
    values = [
        [_followed(before, dark, options, random) for _ in range(draws)]
        for drive in drives
        for before, dark in _black_outs(drive)
        if before.tracked.estimate is not None
    ]
    inside = np.array([[np.mean(np.array(v) <= ELLIPSOID) for v in of_one] for of_one in values])
    every = [value for of_one in values for drawn in of_one for value in drawn]
    return {
        "nees": mean(every),
        "coverage": mean([value <= ELLIPSOID for value in every]),
        "one_draw": float(inside.mean(axis=0).std()) if len(inside) else None,
    }


def _black_outs(drive: Sequence[Step]) -> Iterator[tuple[Step, list[Step]]]:
    """The last moment with light, and those of the dark after it."""
    for number, (before, first) in enumerate(pairwise(drive), 1):
        if first.dark and not before.dark:
            end = next((i for i in range(number, len(drive)) if not drive[i].dark), len(drive))
            yield before, list(drive[number:end])


def _followed(
    before: Step, dark: Sequence[Step], options: FilterOptions, random: np.random.Generator
) -> list[float]:
    """NEES at each moment of a black-out, by odometry with new noise."""
    assert before.tracked.estimate is not None
    belief, values = Belief(*before.tracked.estimate, np.eye(4)), []
    for last, now in pairwise([before, *dark]):
        moved = transforms.inverse(last.tracked.truth) @ now.tracked.truth
        belief = belief.moved(belief.odom_body @ measured(moved, options, random), options)
        error = PoseError.of(belief.pose, now.tracked.truth)
        values.append(error.nees(belief.covariance))
    return values
