# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a user may turn of the front end `mast3r`. The defaults stand here alone."""

from __future__ import annotations

from dataclasses import dataclass

from mast3r_ros.common.options import check, option
from mast3r_ros.network.config import MAST3RConfig


@dataclass(frozen=True)
class Mast3rOptions:
    """How the network runs, and how its answers become matches."""

    engine: str = option(
        "auto",
        "What runs the network; auto uses the fastest that works and logs why others do not",
        choices=("auto", "tensorrt", "torch", "onnxruntime"),
    )
    checkpoint: str = option(
        "",
        "Weights: published (from `mast3r_ros fetch-checkpoint`), nano (small, in the "
        "package) or a file; empty: published if they were fetched, else nano",
        path=True,
    )
    graphs: str = option(
        "",
        "Folder of exported graphs and built engines; empty: the cache's",
        path=True,
    )
    device: str = option(
        "auto",
        "auto, cpu, cuda or cuda:N; auto takes a GPU where there is one",
    )
    precision: str = option(
        "auto",
        "Precision of the network's backbone in PyTorch; auto: fp16 on a GPU, fp32 on a CPU",
        choices=("auto", "fp32", "fp16", "bf16"),
    )
    batch: int = option(8, "Most keyframes decoded at once", 1, 100)
    cuda_graphs: bool = option(
        False,
        "Capture batches as CUDA graphs, which saves the CPU time of kernel launches (engines "
        "torch and tensorrt); not yet run on a GPU",
    )
    point_maps: int = option(
        2,
        "Keyframes of a query for which points are computed: those with the most confident matches",
        1,
        100,
    )
    stride: int = option(
        0,
        "Distance of the seeds of matching; smaller is slower and denser [network pixels]; "
        "0: in proportion to the network's images, 8 for 512",
        0,
        64,
    )
    border: int = option(
        -1,
        "Drop matches nearer to the image's edge than this [network pixels]; -1: in "
        "proportion to the network's images, 3 for 512",
        -1,
        64,
    )
    match_by: str = option(
        "descriptors",
        "Match pixels by their descriptors, as MASt3R does, or by the nearest points of two "
        "point maps, as DUSt3R does: less exact, for comparison (engine torch)",
        choices=("descriptors", "points"),
    )
    coarse_to_fine: bool = option(
        False,
        "Match images of at least 1.75 times the network's size again in windows of that "
        "size, at up to three times its resolution; keyframes keep the image for it",
    )
    window_pairs: int = option(
        8,
        "Largest number of window pairs matched for each candidate with `coarse_to_fine`; "
        "each costs about as much as matching the whole images",
        1,
        100,
    )
    scale_from_depth: str = option(
        "auto",
        "How measured depth of a keyframe (a sensor's, or triangulated with neighbors) corrects "
        "the predicted points: off (nothing is triangulated); rescale (they get its scale); "
        "replace (its points are used instead); auto: rescale for the published weights, replace "
        "for others",
        choices=("auto", "off", "rescale", "replace"),
    )

    def __post_init__(self) -> None:
        check(self)
        if self.match_by == "points" and self.coarse_to_fine:
            raise ValueError("match_by points: choose it without coarse_to_fine")

    def in_pixels(self, image_size: int) -> tuple[int, int]:
        """Stride and border for a network whose images have this long side [px]."""
        scale = image_size / _PUBLISHED_SIZES.image_size
        stride = self.stride or max(1, round(8 * scale))
        return stride, max(1, round(3 * scale)) if self.border < 0 else self.border


@dataclass(frozen=True)
class Traits:
    """What depends on which network runs.

    Attributes:
        min_inliers, min_inlier_ratio, pixel_error_scale: as in `FrontEnd`; the last one for an
            image of the size that the network sees.
        scale_from_depth: what the option of this name means by "auto".
        correlation: as in `Correspondences`, with the points of a depth sensor.
        predicted_share, predicted_correlation, predicted_depth_error: min_inlier_ratio,
            correlation and depth_error with predicted points.
    """

    min_inliers: int
    min_inlier_ratio: float
    pixel_error_scale: float
    scale_from_depth: str
    correlation: float
    predicted_share: float
    predicted_correlation: float
    predicted_depth_error: float


# Not measured: nothing here has run with the published weights yet. Their pixel_error_scale is 1
# at VGA, and their errors are taken to have as much in common as those of nano.
PUBLISHED = Traits(
    min_inliers=30,
    min_inlier_ratio=0.1,
    pixel_error_scale=0.8,
    scale_from_depth="rescale",
    correlation=2.0,
    predicted_share=0.1,
    predicted_correlation=2.5,
    predicted_depth_error=0.05,
)
# Networks of our own are smaller: their matches are less pure, and the shapes of their point maps
# too wrong for a better scale to mend. Chosen with nano on some 140 pairs of held-out rendered
# rooms, of seeds other than those that the model card reports.
OWN = Traits(
    min_inliers=30,
    min_inlier_ratio=0.35,
    pixel_error_scale=0.8,
    scale_from_depth="replace",
    correlation=1.4,
    predicted_share=0.6,
    predicted_correlation=3.3,
    predicted_depth_error=0.15,
)
_PUBLISHED_SIZES = MAST3RConfig()


def kind_of(config: MAST3RConfig) -> str:
    """Whether a network is the published one or one of our own, by its sizes."""
    return "published" if config == _PUBLISHED_SIZES else "our own"


def traits(config: MAST3RConfig) -> Traits:
    """The traits of a network."""
    return PUBLISHED if kind_of(config) == "published" else OWN
