# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How many times too short a network's meters are: what odometry has measured of it so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.localization.view import MatchedView

Array = NDArray[np.float64]

# Samples that are kept, the newest: another place may have another scale.
_KEPT = 60
# Pairs that follow each other see much the same, and the network is as wrong about it: so many are
# worth one. In two rendered rooms (seeds 3 and 4 of the drives), three pairs of a place differed by
# 0.05 in the logarithm, and those of different places by 0.25.
_ALIKE = 3.0
# With fewer samples, or a larger relative deviation, the scale is unknown; once it is known, it is
# unknown again only from twice that deviation on, so that it does not come and go.
_FEWEST, _SURE = 5, 0.1
# Of normal samples: the deviation over their median absolute deviation, and the deviation of their
# median over that of their mean.
_MAD, _OF_MEDIAN = 1.4826, 1.2533


@dataclass(frozen=True)
class ScaleSample:
    """What one pair of images says of the scale.

    Attributes:
        log_ratio: logarithm of the driven distance over that which the network tells.
        sigma: its standard deviation, that of the network from image to image included.
    """

    log_ratio: float
    sigma: float


class MetricScale:
    """A robust mean over the last samples.

    Attributes:
        factor: by which predicted points are multiplied; 1 while the scale is unknown.
        sigma: relative standard deviation of `factor`; infinite while it is unknown.
    """

    def __init__(self) -> None:
        """Begin without samples."""
        self._samples: deque[ScaleSample] = deque(maxlen=_KEPT)
        self.factor, self.sigma = 1.0, float("inf")

    @property
    def known(self) -> bool:
        """Whether predicted points are multiplied."""
        return bool(np.isfinite(self.sigma))

    @property
    def samples(self) -> int:
        """How many the scale rests on."""
        return len(self._samples)

    def __str__(self) -> str:
        if not self.known:
            return "unknown"
        return f"{self.factor:.3f}, known to {self.sigma:.1%}"

    def add(self, sample: ScaleSample) -> None:
        """Take one more sample into account, and forget the oldest where there are many."""
        self._samples.append(sample)
        ratios, sigmas = np.array([[s.log_ratio, s.sigma] for s in self._samples]).T
        middle = weighted_median(ratios, sigmas**-2)
        # Samples that differ by more than they state are worth so much less.
        apart = _MAD * float(np.median(np.abs(ratios - middle) / sigmas))
        alike = np.sqrt(_ALIKE / (sigmas**-2).sum())
        sigma = float(_OF_MEDIAN * max(apart, 1.0) * alike)
        sure = len(ratios) >= _FEWEST and sigma <= (2.0 * _SURE if self.known else _SURE)
        self.factor, self.sigma = (float(np.exp(middle)), sigma) if sure else (1.0, float("inf"))

    def applied(self, views: Sequence[MatchedView]) -> list[MatchedView]:
        """The views with predicted points of this scale, whatever scale they have so far.

        A pose that a view was sure of by points of another scale is forgotten.
        """
        sigma = self.sigma if self.known else 0.0
        scaled = [[c.rescaled(self.factor, sigma) for c in view.found] for view in views]
        return [
            view
            if all(new is old for new, old in zip(found, view.found, strict=True))
            else view.with_matches(found)
            for view, found in zip(views, scaled, strict=True)
        ]


def weighted_median(values: Array, weights: Array) -> float:
    """The least of the (N,) values up to which lies half of the weights."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
