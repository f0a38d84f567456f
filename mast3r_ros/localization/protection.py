# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Protection levels: radii that an error exceeds with a small probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri

# Degrees of freedom of a pose's error: its covariance is estimated from few independent errors, so
# that its tail is that of Student's t distribution.
_FREEDOM = 8.0


def protection_level(covariance: NDArray[np.float64], probability: float) -> float:
    """The radius that an error of a (3, 3) covariance exceeds with a probability.

    The squared length is taken for a multiple of a chi-square variable with the same mean and
    variance (Satterthwaite 1946), over an estimate of its scale.
    """
    mean = float(np.trace(covariance))
    square = float((covariance**2).sum())
    freedom = mean**2 / square
    return float(np.sqrt(mean * fdtri(freedom, _FREEDOM, 1.0 - probability)))


def protection_levels(covariance: NDArray[np.float64], probability: float) -> tuple[float, float]:
    """Those of the position [m] and of the orientation [rad] of a pose's (6, 6) covariance."""
    position, orientation = (covariance[i : i + 3, i : i + 3] for i in (0, 3))
    return protection_level(position, probability), protection_level(orientation, probability)
