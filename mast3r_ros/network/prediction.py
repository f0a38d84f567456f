# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The network's outputs for a pair of images, whatever library holds the arrays.

They come in two steps: local features of both views, and, for the pairs that are worth it, the
point map of one view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Array = TypeVar("Array")


@dataclass(frozen=True)
class LocalFeatures(Generic[Array]):
    """What a view is matched by, float32 and C-contiguous.

    Attributes:
        descriptors: (H, W, D), unit length.
        confidence: (H, W), positive.
    """

    descriptors: Array
    confidence: Array


@dataclass(frozen=True)
class PointMap(Generic[Array]):
    """The points of a view's pixels, float32 and C-contiguous.

    Attributes:
        points: (H, W, 3) [m] in the reference camera's frame.
        confidence: (H, W), in (1, inf).
    """

    points: Array
    confidence: Array
