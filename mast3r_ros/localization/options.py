# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Options of the relocalizer."""

from __future__ import annotations

from dataclasses import dataclass

from mast3r_ros.common.options import check, option


@dataclass(frozen=True)
class RelocalizerOptions:
    """How a pose is found, and when it is sure enough to be an answer."""

    num_candidates: int = option(5, "Keyframes matched against each query", 1, 100)
    sure_inliers: float = option(
        4.0,
        "Match keyframes beyond the third only where fewer inliers than so many times the fewest "
        "have a pose in common; 1000 matches all",
        1.0,
        1000.0,
    )
    look_alikes: int = option(
        5,
        "Keyframes matched before a pose is accepted because they stand elsewhere and look like "
        "the image or the keyframes that hold the pose; 0: none",
        0,
        100,
    )
    reprojection_threshold: float = option(
        4.0,
        "Largest reprojection error of an inlier [pixels]; mast3r allows more in images larger "
        "than its network's",
        0.5,
        50.0,
    )
    min_inliers: int = option(
        0, "Fewest inliers of an answer; 0 takes what the front end needs", 0, 10_000
    )
    min_inlier_ratio: float = option(
        0.0,
        "Smallest share of its matches that must agree, in the best keyframe; 0 takes what the "
        "front end needs",
        0.0,
        1.0,
    )
    min_cells: int = option(
        5, "Fewest cells of an 8 x 8 grid over the image that hold inliers", 1, 64
    )
    max_position_sigma: float = option(
        0.1, "Largest standard deviation of an answer's position [m]", 0.001, 100.0
    )
    max_rotation_sigma: float = option(
        0.035, "Largest standard deviation of an answer's orientation [rad]", 0.001, 3.2
    )
    max_ambiguity: float = option(
        0.3,
        "Another pose is compared with the answer from this share of its inliers on; one of another"
        " place from this share of those of its best keyframe",
        0.05,
        1.0,
    )
    min_evidence: float = option(
        3.0,
        "Refuse unless the answer explains the image better than another pose by so many standard "
        "deviations",
        0.0,
        100.0,
    )
    same_position: float = option(
        0.25, "Poses that are nearer to each other are the same one [m]", 0.0, 100.0
    )
    same_rotation: float = option(
        0.0873, "Poses that are turned less against each other are the same one [rad]", 0.0, 3.2
    )
    keyframe_position_sigma: float = option(
        0.01,
        "How well positions of keyframes are known that the map keeps no covariance of [m]",
        0.0,
        100.0,
    )
    keyframe_rotation_sigma: float = option(
        0.01,
        "How well orientations of keyframes are known that the map keeps no covariance of [rad]",
        0.0,
        3.2,
    )
    depth_noise: float = option(
        0.002,
        "Standard deviation of the keyframes' depth sensor at 1 m [m]; it grows with the square of "
        "the depth",
        0.0,
        1.0,
    )
    # A camera that is read out in 30 ms and turns at 40 degrees a second, as one in a hand does.
    rolling_shutter: float = option(
        0.02,
        "Standard deviation of the camera's turn while its image is read out row by row [rad]; 0 "
        "for a global shutter",
        0.0,
        1.0,
    )
    protection_probability: float = option(
        0.01, "Probability that the error exceeds the protection level", 1e-4, 0.5
    )
    second_look: float = option(
        1.0,
        "Time in which a refused image may be matched again by the front end's second, slower "
        "matcher, where it has one [s]; one keyframe at the least, 0: no second look",
        0.0,
        60.0,
    )
    pose_method: str = option(
        "pnp",
        "pnp: 2D-3D matches; essential: epipolar geometry, scaled by the points; procrustes: "
        "alignment of both images' points (front end mast3r)",
        choices=("pnp", "essential", "procrustes"),
    )

    def __post_init__(self) -> None:
        check(self)

    def needed_ratio(self, own: float | None, front_end: float) -> float:
        """The smallest inlier ratio of a keyframe's matches.

        Args:
            own: `Correspondences.min_inlier_ratio`.
            front_end: what the front end needs where neither says more.
        """
        return self.min_inlier_ratio or own or front_end
