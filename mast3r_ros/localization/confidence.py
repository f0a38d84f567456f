# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How likely a pose is that of the right place: another question than how exact it is.

A logistic model of what speaks for a pose. Its weights are fitted by `bench/confidence.py` to poses
before they are accepted or refused, since hardly any wrong one is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

# Beyond this, evidence says no more: it is that of thousands of matches that are not independent.
_MOST_EVIDENCE = 10.0
# With fewer inliers, a keyframe shows nothing of a pose: some always agree, by chance, and its own
# error is not estimated from them (`robust_pose.py`).
FEWEST_OF_KEYFRAME = 8
# Of `Signs.features`; see `docs/reliability.md` for what they were fitted to. The number of inliers
# said nothing beside the ratio: its weight was -0.1.
WEIGHTS = (4.43, 0.87, 0.39, -5.61)


@dataclass(frozen=True)
class Signs:
    """What speaks for a pose and against it.

    Attributes:
        ratio: how many times the inlier ratio that an answer needs its best keyframe has.
        keyframes: how many keyframes agree with it.
        evidence: standard deviations by which it explains the image better than any other pose
            that was found; infinite where there is none, 0 where a place that looks alike is not
            told apart.
    """

    ratio: float
    keyframes: int
    evidence: float

    @property
    def features(self) -> NDArray[np.float64]:
        """(4,) what the model weighs; the last one is the doubt that other poses leave."""
        evidence = min(max(self.evidence, 1.0), _MOST_EVIDENCE)
        return np.array(
            [
                1.0,
                np.log(max(self.ratio, 0.1)),
                np.log(max(self.keyframes, 1)),
                0.0 if np.isinf(self.evidence) else 1.0 / evidence,
            ]
        )

    @property
    def probability(self) -> float:
        """That the pose is the right place, in (0, 1)."""
        return float(expit(self.features @ WEIGHTS))
