# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Sets of images with poses that share a place, as the benchmarks of relative pose have them."""

from __future__ import annotations

from dataclasses import dataclass

from mast3r_ros.datasets.recording import PosedImage


@dataclass(frozen=True)
class ImageSet:
    """Images of one place or thing.

    Attributes:
        name: no other set of the data has it.
        category: what its figures are averaged over first.
        images: their poses are world <- camera; the world's unit may be unknown.
    """

    name: str
    category: str
    images: tuple[PosedImage, ...]
