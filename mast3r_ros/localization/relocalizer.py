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
from mast3r_ros.frontends.base import Description, estimates_camera
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.relative_pose import RelativePose
from mast3r_ros.geometry.robust_pose import Estimate, estimate
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.retrieval import PosePrior
from mast3r_ros.localization import solving
from mast3r_ros.localization.body import fixed_to_camera
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.protection import protection_level
from mast3r_ros.localization.result import KeyframeMatch, Localization, Reason
from mast3r_ros.localization.verification import verify
from mast3r_ros.matching.correspondences import Correspondences

# With fewer points than this, the translation's length cannot be trusted.
_MIN_POINTS = 10
# With less than this between the views, a direction is noise [rad].
_MIN_PARALLAX = np.deg2rad(0.3)


# A smaller part of the matches at one pixel of several keyframes may be chance.
_REPORTED_SHARE = 0.02


class Relocalizer:
    """Finds a camera in a map of keyframes.

    Every pose that `localize` returns has passed all checks of `RelocalizerOptions`; a pose that
    has not is refused with a reason.
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

        Raises:
            FrontEndError: the front end cannot do what the options ask for.
        """
        timings: dict[str, float] = {}
        if not len(self.map):
            return Localization(Reason.EMPTY_MAP, Reason.EMPTY_MAP.value)
        if frame.camera is None and not estimates_camera(self.map.front_end):
            return Localization(Reason.NO_CAMERA, Reason.NO_CAMERA.value)
        with _timed(timings, "describe"):
            query = self.map.front_end.describe(frame)
            camera = frame.camera or self._estimate_camera(query, frame)
        with _timed(timings, "retrieve"):
            keyframes = self.map.nearest(query, self.options.num_candidates, prior)
        with _timed(timings, "match"):
            found = self._match(keyframes, query)
        with _timed(timings, "solve"):
            answer = self._solve(camera, keyframes, found)
        return replace(answer, timings=timings, camera_estimated=frame.camera is None)

    @property
    def min_inliers(self) -> int:
        """Fewest inliers of an accepted pose."""
        return self.options.min_inliers or self.map.front_end.min_inliers

    def _estimate_camera(self, query: Description, frame: Frame) -> Camera:
        front_end = self.map.front_end
        assert estimates_camera(front_end)
        return front_end.estimate_camera(query, frame.size)

    def _match(self, keyframes: Sequence[Keyframe], query: Description) -> list[Correspondences]:
        return self.map.front_end.match(
            [k.description for k in keyframes],
            query,
            query_points=self.options.pose_method == "procrustes",
        )

    def _solve(
        self, camera: Camera, keyframes: Sequence[Keyframe], found: Sequence[Correspondences]
    ) -> Localization:
        """One pose over the matches of all keyframes, verified."""
        options, size = self.options, (camera.width, camera.height)
        unexplained = [
            KeyframeMatch(k.id, c, np.zeros(len(c), bool))
            for k, c in zip(keyframes, found, strict=True)
        ]
        most = max(len(c) for c in found)
        if most < self.min_inliers:
            return _refusal(Reason.FEW_MATCHES, f"{most} at the most", unexplained)
        scale = self.map.front_end.pixel_error_scale(size)
        fixed = fixed_to_camera(camera, keyframes, found, scale)
        share = float(np.concatenate(fixed).mean())
        moving = [c.select(~f) for c, f in zip(found, fixed, strict=True)]
        matches = solving.gather(
            camera, keyframes, moving, options.reprojection_threshold * scale, options.depth_noise
        )
        shared = solving.shared_errors(camera, keyframes, moving, options)
        hypothesis, relatives = solving.solve(
            camera, keyframes, moving, matches, options.pose_method, self.min_inliers
        )
        solved = None if hypothesis is None else estimate(hypothesis, matches, shared)
        if solved is None or solved.points < _MIN_POINTS:
            return _direction_only(unexplained, relatives, solved)
        explained = [
            KeyframeMatch(k.id, c, solved.inliers[matches.owners == i])
            for i, (k, c) in enumerate(zip(keyframes, moving, strict=True))
        ]
        ratio = self.map.front_end.min_inlier_ratio
        views = [(k.pose, k.camera) for k in keyframes]
        verdict = verify(
            solved, matches, shared, explained, views, size, self.min_inliers, ratio, options
        )
        figures = verdict.figures + _about_body(share)
        if verdict.reason is not Reason.LOCALIZED:
            return replace(_refusal(verdict.reason, figures, explained), fixed_share=share)
        levels = [
            protection_level(
                solved.covariance[i : i + 3, i : i + 3], options.protection_probability
            )
            for i in (0, 3)
        ]
        return Localization(
            verdict.reason,
            f"{verdict.reason.value} ({figures})",
            solved.pose,
            solved.covariance,
            verdict.confidence,
            _ranked(
                _relative_to(k, m, solved.pose, solved.covariance)
                for k, m in zip(keyframes, explained, strict=True)
            ),
            int(solved.inliers.sum()),
            protection_position=levels[0],
            protection_rotation=levels[1],
            fixed_share=share,
        )


def _about_body(share: float) -> str:
    """A hint where matches do not move with the camera."""
    if share < _REPORTED_SHARE:
        return ""
    return f"; {share:.0%} of the matches do not move with the camera: set `mask`"


def _direction_only(
    unexplained: Sequence[KeyframeMatch],
    relatives: Sequence[RelativePose | None],
    solved: Estimate | None,
) -> Localization:
    """Without metric points: rotation and direction to each keyframe that allows them."""
    answers = [
        match
        if relative is None or relative.parallax < _MIN_PARALLAX
        else replace(match, inliers=relative.inliers, pose=relative.pose)
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
    """A keyframe's part of the answer: the query's pose in the keyframe's camera."""
    if not match.inliers.any():
        return match
    keyframe_map = transforms.inverse(keyframe.pose)
    return replace(
        match,
        pose=keyframe_map @ pose,
        covariance=transforms.rotate_covariance(covariance, keyframe_map),
        metric=True,
    )


def _ranked(
    matches: Iterator[KeyframeMatch] | Sequence[KeyframeMatch],
) -> tuple[KeyframeMatch, ...]:
    return tuple(sorted(matches, key=lambda m: -int(m.inliers.sum())))


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - start
