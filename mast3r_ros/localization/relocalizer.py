# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The one loop: describe -> retrieve -> match -> solve -> verify."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import estimates_camera
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.joint_pose import JointPose
from mast3r_ros.geometry.relative_pose import RelativePose
from mast3r_ros.geometry.uncertainty import invert_information
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.retrieval import PosePrior
from mast3r_ros.localization import solving
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.result import KeyframeMatch, Localization, Reason
from mast3r_ros.matching.correspondences import Correspondences

_GRID = 8
# Fewer points than this cannot be trusted with the metres.
_MIN_POINTS = 10
# With less than this between the views, a direction is noise [rad].
_MIN_PARALLAX = np.deg2rad(0.3)


class Relocalizer:
    """Finds a camera in a map of keyframes.

    An answer that is not sure is a refusal: every pose that `localize` returns has passed all
    checks of `RelocalizerOptions`.
    """

    def __init__(self, keyframes: KeyframeMap, options: RelocalizerOptions | None = None) -> None:
        """Localize in `keyframes`, which may grow and shrink between calls."""
        self.map = keyframes
        self.options = options or RelocalizerOptions()

    def localize(self, frame: Frame, prior: PosePrior | None = None) -> Localization:
        """Where the frame's camera is in the map.

        Args:
            frame: the query; its depth is not needed.
            prior: where the camera is believed to be; it steers retrieval alone.
        """
        timings: dict[str, float] = {}
        if not len(self.map):
            return Localization(Reason.EMPTY_MAP, Reason.EMPTY_MAP.value)
        front_end, camera = self.map.front_end, frame.camera
        if camera is None and not estimates_camera(front_end):
            return Localization(Reason.NO_CAMERA, Reason.NO_CAMERA.value)
        with _timed(timings, "describe"):
            query = front_end.describe(frame)
            if camera is None:
                assert estimates_camera(front_end)
                camera = front_end.estimate_camera(query, frame.size)
        with _timed(timings, "retrieve"):
            keyframes = self.map.nearest(query, self.options.num_candidates, prior)
        with _timed(timings, "match"):
            found = front_end.match([k.description for k in keyframes], query)
        with _timed(timings, "solve"):
            answer = self._solve(camera, keyframes, found)
        return replace(answer, timings=timings, camera_estimated=frame.camera is None)

    @property
    def min_inliers(self) -> int:
        """Fewest inliers of an answer."""
        return self.options.min_inliers or self.map.front_end.min_inliers

    def min_inlier_ratio(self, matches: Correspondences) -> float:
        """Smallest share of a keyframe's matches that must agree, in the best keyframe."""
        return (
            self.options.min_inlier_ratio
            or matches.min_inlier_ratio
            or self.map.front_end.min_inlier_ratio
        )

    def _solve(
        self, camera: Camera, keyframes: Sequence[Keyframe], found: Sequence[Correspondences]
    ) -> Localization:
        """One pose over the matches of all keyframes, verified."""
        options = self.options
        unexplained = [
            KeyframeMatch(k.id, c, np.zeros(len(c), bool))
            for k, c in zip(keyframes, found, strict=True)
        ]
        most = max(len(c) for c in found)
        if most < self.min_inliers:
            return _refusal(Reason.FEW_MATCHES, f"{most} at the most", unexplained)
        pixel_error_scale = self.map.front_end.pixel_error_scale((camera.width, camera.height))
        threshold = options.reprojection_threshold * pixel_error_scale
        matches, owner = solving.gather(camera, keyframes, found, threshold)
        solved, relatives = solving.solve(
            camera, keyframes, found, matches, options.pose_method, self.min_inliers
        )
        if solved is None or solved.points < _MIN_POINTS:
            return _direction_only(unexplained, relatives, solved)
        count = int(solved.inliers.sum())
        explained = [
            KeyframeMatch(m.keyframe_id, m.correspondences, solved.inliers[owner == i])
            for i, m in enumerate(unexplained)
        ]
        if solved.support < self.min_inliers:
            return _refusal(
                Reason.FEW_INLIERS, f"{solved.support:.0f} of {self.min_inliers} needed", explained
            )
        share, needed = max(
            ((m.inlier_ratio, self.min_inlier_ratio(m.correspondences)) for m in explained),
            key=lambda pair: pair[0] / pair[1],
        )
        if share < needed:
            return _refusal(Reason.LOW_INLIER_RATIO, f"{share:.2f} of {needed} needed", explained)
        cells = _cells(
            np.concatenate([c.query_pixels for c in found])[solved.inliers],
            (camera.width, camera.height),
        )
        spread = len(np.unique(cells))
        if spread < options.min_cells:
            return _refusal(
                Reason.POOR_SPREAD, f"{spread} cells of {options.min_cells} needed", explained
            )
        correlation = max(m.correspondences.correlation for m in explained if m.inliers.any())
        covariance = self._covariance(solved, cells, correlation)
        position_sigma = float(np.sqrt(np.trace(covariance[:3, :3])))
        rotation_sigma = float(np.sqrt(np.trace(covariance[3:, 3:])))
        figures = f"{count} inliers, {position_sigma:.3f} m, {rotation_sigma:.4f} rad"
        if not (
            position_sigma <= options.max_position_sigma
            and rotation_sigma <= options.max_rotation_sigma
        ):
            return _refusal(Reason.UNCERTAIN, figures, explained)
        rival = solving.by_points(matches.without(solved.inliers))
        against = 0.0 if rival is None else rival.support
        if against > options.max_ambiguity * solved.support and against >= self.min_inliers:
            return _refusal(
                Reason.AMBIGUOUS, f"support {against:.0f} against {solved.support:.0f}", explained
            )
        margins = (
            self.min_inliers / solved.support,
            needed / share,
            options.min_cells / spread,
            position_sigma / options.max_position_sigma,
            rotation_sigma / options.max_rotation_sigma,
            min(against / (options.max_ambiguity * solved.support), 1.0),
        )
        return Localization(
            Reason.LOCALIZED,
            f"localized ({figures})",
            solved.pose,
            covariance,
            1.0 - max(margins),
            _ranked(
                _relative_to(k, m, solved.pose, covariance)
                for k, m in zip(keyframes, explained, strict=True)
            ),
            count,
        )

    def _covariance(
        self, solved: JointPose, cells: NDArray[np.int64], correlation: float
    ) -> NDArray[np.float64]:
        """Honest covariance of a pose in the map.

        Neighboring matches share the errors of depth and of matching, so the matches of one cell
        of the image count as one; what cells share, `correlation` tells; and the pose is no better
        known than the keyframes' own.
        """
        options = self.options
        _, cell, members = np.unique(cells, return_inverse=True, return_counts=True)
        information = (solved.information / members[cell][:, None, None]).sum(0)
        map_variance = np.repeat(
            [options.keyframe_position_sigma**2, options.keyframe_rotation_sigma**2], 3
        )
        return correlation**2 * invert_information(information) + np.diag(map_variance)


def _direction_only(
    unexplained: Sequence[KeyframeMatch],
    relatives: Sequence[RelativePose | None],
    solved: JointPose | None,
) -> Localization:
    """No metres to be had: rotation and direction to each keyframe that allows them."""
    answers = [
        match
        if relative is None or relative.parallax < _MIN_PARALLAX
        else KeyframeMatch(
            match.keyframe_id, match.correspondences, relative.inliers, relative.pose
        )
        for match, relative in zip(unexplained, relatives, strict=True)
    ]
    best = max(int(m.inliers.sum()) for m in answers)
    if best:
        return _refusal(Reason.DIRECTION_ONLY, f"{best} inliers", answers)
    points = 0 if solved is None else solved.points
    figures = f"{points} of those whose point is known, {_MIN_POINTS} needed"
    return _refusal(Reason.FEW_INLIERS, figures, answers)


def _refusal(reason: Reason, figures: str, matches: Sequence[KeyframeMatch]) -> Localization:
    ranked = _ranked(matches)
    inliers = sum(int(m.inliers.sum()) for m in ranked)
    return Localization(reason, f"{reason.value} ({figures})", matches=ranked, inliers=inliers)


def _relative_to(
    keyframe: Keyframe, match: KeyframeMatch, pose: transforms.Pose, covariance: NDArray[np.float64]
) -> KeyframeMatch:
    """The keyframe's share of the answer: the query's pose in the keyframe's camera."""
    if not match.inliers.any():
        return match
    keyframe_map = transforms.inverse(keyframe.pose)
    return KeyframeMatch(
        match.keyframe_id,
        match.correspondences,
        match.inliers,
        keyframe_map @ pose,
        transforms.rotate_covariance(covariance, keyframe_map),
        metric=True,
    )


def _ranked(
    matches: Iterator[KeyframeMatch] | Sequence[KeyframeMatch],
) -> tuple[KeyframeMatch, ...]:
    return tuple(sorted(matches, key=lambda m: -int(m.inliers.sum())))


def _cells(pixels: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.int64]:
    """(N,) cell of each pixel in an 8 x 8 grid over the image."""
    cell = np.clip((pixels + 0.5) * _GRID / size, 0, _GRID - 1).astype(np.int64)
    return np.asarray(cell[:, 0] + _GRID * cell[:, 1])


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        timings[stage] = time.perf_counter() - start
