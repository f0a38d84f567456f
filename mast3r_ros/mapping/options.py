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

    alike: int = option(8, "Number of most similar images that each image is matched with", 1, 1000)
    successors: int = option(4, "Number of next images that each image is matched with", 0, 1000)
    initial_angle: float = option(
        8.0, "Smallest angle between the rays of the first two images [degrees]", 0.5, 90.0
    )
    seed: int = option(0, "Seed of random samples", 0, 2**31 - 1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class DenseOptions:
    """How the pixels of images with poses become points."""

    dense_neighbors: int = option(
        8, "Other images that the pixels of each image are matched with", 1, 1000
    )
    dense_agree: int = option(2, "Fewest of these images that must agree on a point", 1, 1000)
    dense_sigma: float = option(
        0.05, "Drop points whose depth has a larger relative standard deviation", 1e-4, 1.0
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
        0.03, "Standard deviation of the given positions, for each axis [m]", 1e-4, 10.0
    )
    rotation_sigma: float = option(
        1.0, "Standard deviation of the given orientations, about each axis [degrees]", 1e-3, 45.0
    )
    alike: int = option(
        8, "Number of most similar keyframes that each keyframe is matched with", 1, 100
    )
    successors: int = option(
        2, "Number of next keyframes that each keyframe is matched with", 0, 100
    )
    rolling_shutter: float = option(
        RelocalizerOptions.rolling_shutter,
        "Standard deviation of the camera's rotation while a keyframe's image was read out "
        "row by row [rad]; 0: global shutter",
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
        0.02,
        "Standard deviation of odometry's position, as a fraction of the distance driven",
        0.0,
        1.0,
    )
    drift_rotation: float = option(
        0.3,
        "Standard deviation of odometry's orientation after a meter, about each axis [degrees]; it "
        "grows with the square root of the distance",
        0.0,
        90.0,
    )
    closure_alike: int = option(
        6, "Number of most similar keyframes that are tried as loop closures", 1, 100
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class SelectionOptions:
    """Which images with poses become keyframes."""

    keyframe_distance: float = option(
        0.0, "Add a keyframe after this distance [m]; 0: ignore the distance", 0.0, 100.0
    )
    keyframe_angle: float = option(
        0.0, "Add a keyframe after this rotation [degrees]; 0: ignore the rotation", 0.0, 180.0
    )
    sharpness: float = option(
        0.6,
        "Skip an image less sharp than this fraction of the median of recent images",
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
        "An image with fewer inliers than this many times the fewest is localized weakly",
        1.0,
        1000.0,
    )
    sure_position: float = option(
        0.25, "Largest protection level of the position of a new keyframe [m]", 1e-3, 10.0
    )
    sure_rotation: float = option(
        5.0, "Largest protection level of the orientation of a new keyframe [degrees]", 1e-3, 180.0
    )
    per_place: int = option(
        6,
        "Largest number of keyframes at one place; a place that has as many gets no new one",
        1,
        1000,
    )
    place_radius: float = option(
        1.0, "Keyframes within this distance are at one place [m]", 0.0, 100.0
    )
    place_angle: float = option(
        30.0,
        "Keyframes whose directions differ by no more than this are at one place [degrees]",
        0.0,
        180.0,
    )
    bridge: float = option(
        0.0,
        "Also add a refused image if sure images before and after it, within this distance "
        "by the source's own poses, agree on its pose [m]; 0: do not use those poses",
        0.0,
        10.0,
    )

    def __post_init__(self) -> None:
        check(self)
