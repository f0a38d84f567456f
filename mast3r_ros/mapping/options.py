# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Options of making maps."""

from __future__ import annotations

from dataclasses import dataclass

from mast3r_ros.common.options import check, option
from mast3r_ros.localization.options import RelocalizerOptions


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


@dataclass(frozen=True)
class DenseOptions:
    """How the pixels of images with poses become points."""

    dense_neighbors: int = option(
        8, "Other images with which the pixels of each one are matched", 1, 1000
    )
    dense_agree: int = option(2, "So many of these must agree on a point", 1, 1000)
    dense_sigma: float = option(
        0.05, "Points whose depth has a larger relative deviation are dropped", 1e-4, 1.0
    )
    dense_spacing: float = option(
        0.01, "Smallest distance between two points of the cloud [m]; 0 keeps all", 0.0, 10.0
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RefineOptions:
    """How keyframes with given poses are adjusted to one another."""

    position_sigma: float = option(
        0.03, "How well the given positions are known, for each axis [m]", 1e-4, 10.0
    )
    rotation_sigma: float = option(
        1.0, "How well the given orientations are known, about each axis [degrees]", 1e-3, 45.0
    )
    alike: int = option(8, "Keyframes that look most alike, with which each one is matched", 1, 100)
    successors: int = option(2, "Keyframes that follow, with which each one is matched", 0, 100)
    rolling_shutter: float = option(
        RelocalizerOptions.rolling_shutter,
        "Standard deviation of the camera's turn while a keyframe's image was read out row by row "
        "[rad]; 0 for a global shutter",
        0.0,
        1.0,
    )
    depth_noise: float = option(
        RelocalizerOptions.depth_noise,
        "Standard deviation of the keyframes' depth sensor at 1 m [m]; it grows with the square of "
        "the depth",
        0.0,
        1.0,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class OdometryMapOptions:
    """How poses that drift are straightened by loop closures."""

    drift: float = option(
        0.02, "Standard deviation of odometry's distance, over the distance", 0.0, 1.0
    )
    drift_rotation: float = option(
        0.3,
        "Standard deviation of odometry's orientation after a meter, about each axis [degrees]; it "
        "grows with the square root of the distance",
        0.0,
        90.0,
    )
    closure_alike: int = option(
        6, "Keyframes that look most alike, which may show the same place", 1, 100
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class SelectionOptions:
    """Which images with poses become keyframes."""

    keyframe_distance: float = option(
        0.0, "A keyframe is due after this distance [m]; 0: the distance plays no part", 0.0, 100.0
    )
    keyframe_angle: float = option(
        0.0, "A keyframe is due after this turn [degrees]; 0: the turn plays no part", 0.0, 180.0
    )
    sharpness: float = option(
        0.6,
        "An image less sharp than this part of the median of recent ones is passed over",
        0.0,
        1.0,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class UpdateOptions:
    """Which images of a later drive become keyframes of a map."""

    weak: float = option(
        RelocalizerOptions.sure_inliers,
        "An image is weakly localized with fewer inliers than so many times the fewest",
        1.0,
        1000.0,
    )
    sure_position: float = option(
        0.25, "Largest protection level of a position that a keyframe may take [m]", 1e-3, 10.0
    )
    sure_rotation: float = option(5.0, "The same of an orientation [degrees]", 1e-3, 180.0)
    per_place: int = option(
        6, "Keyframes of one place at the most; no image is added to a place that has them", 1, 1000
    )
    place_radius: float = option(1.0, "Keyframes no further apart are of one place [m]", 0.0, 100.0)
    place_angle: float = option(
        30.0, "Keyframes of one place look the same way within this [degrees]", 0.0, 180.0
    )
    bridge: float = option(
        0.0,
        "A refused image is added, too, where a sure one before and one after it, no further away "
        "by the source's own poses, tell its pose alike [m]; 0: those poses are not used",
        0.0,
        10.0,
    )

    def __post_init__(self) -> None:
        check(self)
