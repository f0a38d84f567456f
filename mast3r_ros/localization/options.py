# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Options of the relocalizer."""

from __future__ import annotations

from dataclasses import dataclass

from mast3r_ros.common.options import check, option


@dataclass(frozen=True)
class RelocalizerOptions:
    """How a pose is found, and when it is sure enough to be an answer."""

    num_candidates: int = option(5, "Keyframes matched with each query", 1, 100)
    sure_inliers: float = option(
        4.0,
        "Match keyframes beyond the third only if fewer inliers than this many times the "
        "fewest agree on a pose, or that pose is refused; 1000: always match all",
        1.0,
        1000.0,
    )
    look_alikes: int = option(
        5,
        "Keyframes that look alike at other places, or see the place from another side, matched "
        "before a pose is accepted; 0: none",
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
        0, "Fewest inliers of an accepted pose; 0: the limit of the front end", 0, 10_000
    )
    min_inlier_ratio: float = option(
        0.0,
        "Smallest inlier ratio in the best keyframe; 0: the limit of the front end",
        0.0,
        1.0,
    )
    min_cells: int = option(
        5, "Fewest cells of an 8 x 8 grid over the image that must hold inliers", 1, 64
    )
    max_position_sigma: float = option(
        0.1, "Largest standard deviation of an accepted position [m]", 0.001, 100.0
    )
    max_rotation_sigma: float = option(
        0.035, "Largest standard deviation of an accepted orientation [rad]", 0.001, 3.2
    )
    max_ambiguity: float = option(
        0.3,
        "Compare another pose with the answer if it has at least this fraction of the "
        "answer's inliers; for a pose at another place, of the inliers of the answer's best "
        "keyframe",
        0.05,
        1.0,
    )
    min_evidence: float = option(
        3.0,
        "Refuse the pose unless it explains the image better than any other pose by this "
        "many standard deviations; a pose at another place also counts as worse where it clearly "
        "lacks something in view",
        0.0,
        100.0,
    )
    same_position: float = option(
        0.25, "Poses nearer to each other than this count as the same pose [m]", 0.0, 100.0
    )
    same_rotation: float = option(
        0.0873,
        "Poses whose orientations differ by less than this count as the same pose [rad]",
        0.0,
        3.2,
    )
    keyframe_position_sigma: float = option(
        0.01,
        "Standard deviation of keyframe positions for which the map stores no covariance [m]",
        0.0,
        100.0,
    )
    keyframe_rotation_sigma: float = option(
        0.01,
        "Standard deviation of keyframe orientations for which the map stores no covariance [rad]",
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
        "Standard deviation of the camera's rotation while its image is read out row by row "
        "[rad]; 0: global shutter",
        0.0,
        1.0,
    )
    protection_probability: float = option(
        0.01, "Probability that the error exceeds the protection level", 1e-4, 0.5
    )
    second_look: float = option(
        1.0,
        "Time for matching a refused image again with the front end's second, slower "
        "matcher, if it has one [s]; at least one keyframe is matched; 0: no second look",
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
