# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Options of making maps."""

from __future__ import annotations

from dataclasses import dataclass

from mast3r_ros.common.options import check, option


@dataclass(frozen=True)
class ReconstructionOptions:
    """How poses are reconstructed from images alone."""

    alike: int = option(8, "Images that look most alike, with which each one is matched", 1, 1000)
    successors: int = option(4, "Images that follow, with which each one is matched", 0, 1000)
    initial_angle: float = option(
        8.0, "Smallest angle between the rays of the two images to begin with [degrees]", 0.5, 90.0
    )
    seed: int = option(0, "Seed of random samples", 0, 2**31 - 1)

    def __post_init__(self) -> None:
        check(self)
