# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the network says of a pair of images, whatever library holds the arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Array = TypeVar("Array")


@dataclass(frozen=True)
class ViewPrediction(Generic[Array]):
    """What the network says of one view, float32.

    Attributes:
        points: (H, W, 3) [m] **in the reference camera's frame**, for either view; None where
            they were not asked for.
        confidence: (H, W) of the points, in (1, inf); None with the points.
        descriptors: (H, W, D), unit length.
        descriptor_confidence: (H, W), positive.
    """

    points: Array | None
    confidence: Array | None
    descriptors: Array
    descriptor_confidence: Array


@dataclass(frozen=True)
class TwoViewPrediction(Generic[Array]):
    """What the network says of a pair."""

    reference: ViewPrediction[Array]
    query: ViewPrediction[Array]
