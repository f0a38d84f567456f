# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Options of the front ends of sparse features."""

from __future__ import annotations

from dataclasses import dataclass

from mast3r_ros.common.options import check, option


@dataclass(frozen=True)
class SiftOptions:
    """How SIFT features are found."""

    max_keypoints: int = option(
        4000, "Largest number of keypoints in an image; the strongest are kept", 8, 100_000
    )
    max_image_side: int = option(
        1600,
        "Features are found in a copy of the image with at most this long side [pixels]; their "
        "positions are those of the original image",
        64,
        100_000,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class XfeatOptions:
    """How XFeat features are found and matched."""

    max_keypoints: int = option(
        4096, "Largest number of keypoints in an image; the best are kept", 8, 100_000
    )
    device: str = option(
        "auto", "Where the network runs: auto (the GPU if there is one), cpu, cuda or cuda:N"
    )
    matcher: str = option(
        "auto",
        "nearest: mutual nearest descriptors; lighterglue: a network that looks at all features "
        "of both images, slower, for views further apart; auto: nearest, and lighterglue for a "
        "second look at a refused image",
        choices=("nearest", "lighterglue", "auto"),
    )
    lighterglue_keypoints: int = option(
        1024, "Number of best keypoints of each image that lighterglue matches", 64, 4096
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class LoftrOptions:
    """How LoFTR, a baseline, matches images."""

    weights: str = option("outdoor", "outdoor, indoor_new, or a file of weights")
    max_image_side: int = option(
        640, "Long side of the images that the network sees, at the most [pixels]", 64, 2048
    )
    min_confidence: float = option(0.2, "Smallest confidence of a coarse match", 0.0, 1.0)
    device: str = option(
        "auto", "Where the network runs: auto (the GPU if there is one), cpu, cuda or cuda:N"
    )

    def __post_init__(self) -> None:
        check(self)
