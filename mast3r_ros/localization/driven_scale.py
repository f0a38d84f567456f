# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The scale of a network's meters from images of one camera, and the way between them by odometry.

A network estimates distances from the images it was trained on: in a room at half scale, its
distances are twice the true ones. Those of odometry are not. An image is matched with an earlier
one, and the matches are triangulated with the motion from odometry. The scale is the triangulated
depth divided by the predicted one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.base import FrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.geometry.triangulation import triangulate_depth
from mast3r_ros.localization.metric_scale import MetricScale, ScaleSample, weighted_median
from mast3r_ros.localization.relocalizer import timed
from mast3r_ros.localization.view import MatchedView
from mast3r_ros.matching.correspondences import Correspondences

# Way between the images of a pair over the depth that the network tells of what they see: with less
# parallax odometry's noise of 0.3 degrees outweighs it; in a doll's house it is twice as much.
_BASELINE = 0.08
# Images that are turned further against each other have little in common [rad].
_MOST_TURN = 0.5
# While the distance driven is less than this part of the baseline, the first image of the pair is
# replaced: the pair has no odometry noise of the time when the robot stood still.
_STANDING = 0.1
# How many ways off the robot must be for the next pair where the scale is known so well.
_PAUSE, _WELL_KNOWN = 4.0, 0.06
# Relative deviation of the driven depth, by odometry's noise, from which a pair says too little.
_NOISIEST = 0.15
# A pair of fewer matches with a depth, or of which fewer have one, is not of one place.
_FEWEST, _SHARE = 50, 0.5
# Matches of a pair that are looked at, and their epipolar error [pixels].
_MOST_MATCHES, _LIMIT = 400, 4.0

Noise = Callable[[Pose, float], NDArray[np.float64]]
"""(6, 6) covariance of a motion by odometry in so many seconds; see `WindowOptions`."""


@dataclass(frozen=True)
class _Sight:
    """An image of the camera: where odometry had it, (4, 4), and when [ns]."""

    view: MatchedView
    odom_camera: Pose
    stamp: int


class DrivenScale:
    """Takes samples of a network's scale while a camera drives.

    Attributes:
        scale: what they come to.
    """

    def __init__(self, front_end: FrontEnd, scale: MetricScale) -> None:
        """Begin without images."""
        self.scale = scale
        self._front_end = front_end
        self._before: _Sight | None = None
        self._paused = False

    def reset(self) -> None:
        """Forget the first image of the pair, after a jump of odometry; the scale is kept."""
        self._before, self._paused = None, False

    def take(
        self,
        view: MatchedView,
        odom_camera: Pose,
        stamp: int,
        noise: Noise,
        timings: dict[str, float],
    ) -> None:
        """Look at the next image.

        Args:
            view: with its description and its matches with the map.
            odom_camera: odom <- camera, (4, 4).
            stamp: [ns].
            noise: of odometry.
            timings: seconds by stage, to which those of a pair are added.
        """
        depth = _predicted_depth(view)
        if depth is None:
            return  # the map has no meters of a network's
        here, way = _Sight(view, odom_camera, stamp), _BASELINE * depth * self.scale.factor
        before, driven, turned = self._before, 0.0, 0.0
        if before is not None:
            driven = transforms.distance(before.odom_camera, odom_camera)
            turned = transforms.rotation_angle(before.odom_camera, odom_camera)
        if self._paused and driven < _PAUSE * way:
            return
        if before is None or self._paused or driven < _STANDING * way or turned > _MOST_TURN:
            self._before, self._paused = here, False
        elif driven >= way:
            with timed(timings, "scale"):
                sample = self._sample(before, here, noise)
            if sample is not None:
                self.scale.add(sample)
            self._before, self._paused = here, self.scale.sigma < _WELL_KNOWN

    def _sample(self, before: _Sight, now: _Sight, noise: Noise) -> ScaleSample | None:
        assert before.view.query is not None
        assert now.view.query is not None
        (matches,) = self._front_end.match([before.view.query], now.view.query)
        if not matches.predicted:
            return None
        moved = transforms.inverse(before.odom_camera) @ now.odom_camera
        covariance = noise(moved, (now.stamp - before.stamp) / 1e9)
        limit = _LIMIT * self._front_end.pixel_error_scale(now.view.size)
        return sample_of_pair(
            matches, (before.view.camera, now.view.camera), moved, covariance, limit
        )


def _predicted_depth(view: MatchedView) -> float | None:
    """Median depth of the points that a network predicted of the keyframes; None without any."""
    depths = [c.reference_points[:, 2] for c in view.found if c.predicted]
    if view.query is None or not depths:
        return None
    together = np.concatenate(depths)
    together = together[together > 0]
    return float(np.median(together)) if len(together) else None


def sample_of_pair(
    matches: Correspondences,
    cameras: tuple[Camera, Camera],
    moved: Pose,
    covariance: NDArray[np.float64],
    limit: float,
) -> ScaleSample | None:
    """The scale by one pair of images: driven depth over predicted depth, in the weighted median.

    A point counts as much as it should move in the image: inverse depth has the same noise for all.

    Args:
        matches: of the two images, with predicted points of the first one.
        cameras: of both.
        moved: first <- second camera by odometry, (4, 4).
        covariance: (6, 6) of `moved` [m, rad].
        limit: largest epipolar error of a match, odometry's own apart [pixels].

    Returns:
        None where the images have too little in common, or odometry is too noisy.
    """
    known = np.flatnonzero(matches.reference_points[:, 2] > 0)
    few = known[np.linspace(0, len(known) - 1, min(len(known), _MOST_MATCHES)).astype(int)]
    matches = matches.select(few)
    along, turned = np.sqrt([covariance[i : i + 3, i : i + 3].trace() / 3 for i in (0, 3)])
    first, second = cameras
    depths, _ = triangulate_depth(
        first.normalize(matches.reference_pixels),
        second.normalize(matches.query_pixels),
        transforms.inverse(moved),
        second.fx,
        max_error=float(np.hypot(limit, 2.0 * second.fx * turned)),
        min_parallax=0.0,
    )
    seen = np.isfinite(depths)
    if seen.sum() < max(_FEWEST, _SHARE * len(depths)):
        return None
    points, way = matches.reference_points[seen].astype(np.float64), moved[:3, 3]
    told = np.linalg.norm(np.cross(points, way), axis=1) / (points * points).sum(1)
    ratio = weighted_median(np.log(depths[seen] / points[:, 2]), told)
    # By how much the points have moved in the image [rad], those that count most.
    parallax = float((told**2).sum() / told.sum()) * np.exp(-ratio)
    noise = float(np.hypot(turned / parallax, along / np.linalg.norm(way)))
    if not noise < _NOISIEST:
        return None
    return ScaleSample(ratio, float(np.hypot(noise, np.median(matches.depth_sigma[seen]))))
