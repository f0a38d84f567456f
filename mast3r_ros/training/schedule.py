# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The learning rate over the steps of a run."""

from __future__ import annotations

import math

_LAST = 0.02  # share of the highest rate that is left at the end


def learning_rate(step: int, steps: int, highest: float, warm_up: int) -> float:
    """Rising in a line over `warm_up` steps, then falling as half a cosine (arXiv 1608.03983)."""
    if step < warm_up:
        return highest * (step + 1) / warm_up
    done = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    return highest * (_LAST + (1 - _LAST) * (1 + math.cos(math.pi * done)) / 2)
