# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The one loop: describe -> retrieve -> match -> solve -> verify."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.absolute_pose import AbsolutePose, estimate_absolute_pose
from mast3r_ros.geometry.relative_pose import estimate_relative_pose
from mast3r_ros.localization import KeyframeMatch, Localization, Reason
from mast3r_ros.mapping.keyframe import Keyframe
from mast3r_ros.mapping.keyframe_map import KeyframeMap
from mast3r_ros.mapping.retrieval import PosePrior
from mast3r_ros.matching.correspondences import Correspondences
from mast3r_ros.options import RelocalizerOptions

_GRID = 8


class Relocalizer:
    """Finds a camera in a map of keyframes.

    An answer that is not sure is a refusal: every pose that `locate` returns has passed all checks
    of `RelocalizerOptions`.
    """

    def __init__(self, keyframes: KeyframeMap, options: RelocalizerOptions | None = None) -> None:
        """Localize in `keyframes`, which may grow and shrink between calls."""
        self.map = keyframes
        self.options = options or RelocalizerOptions()

    def locate(self, frame: Frame, prior: PosePrior | None = None) -> Localization:
        """Where the frame's camera is in the map.

        Args:
            frame: the query; its depth is not needed.
            prior: where the camera is believed to be; it steers retrieval alone.
        """
        timings: dict[str, float] = {}
        if not len(self.map):
            return Localization(Reason.EMPTY_MAP, Reason.EMPTY_MAP.value)
        if frame.camera is None:
            return Localization(Reason.NO_CAMERA, Reason.NO_CAMERA.value)
        with _timed(timings, "describe"):
            query = self.map.front_end.describe(frame)
        with _timed(timings, "retrieve"):
            keyframes = self.map.nearest(query, self.options.candidates, prior)
        with _timed(timings, "match"):
            found = self.map.front_end.match([k.description for k in keyframes], query)
        with _timed(timings, "solve"):
            answer = self._solve(frame, keyframes, found)
        answer.timings.update(timings, solve=timings["solve"])
        return answer

    @property
    def min_inliers(self) -> int:
        """Fewest inliers of an answer."""
        return self.options.min_inliers or self.map.front_end.min_inliers

    def _solve(
        self, frame: Frame, keyframes: Sequence[Keyframe], found: Sequence[Correspondences]
    ) -> Localization:
        """One pose over the matches of all keyframes, verified."""
        assert frame.camera is not None
        options = self.options
        unexplained = tuple(
            KeyframeMatch(k.id, c, np.zeros(len(c), bool))
            for k, c in zip(keyframes, found, strict=True)
        )
        # Points of all keyframes in the map's frame: their poses are known.
        points = np.concatenate(
            [
                transforms.apply(k.pose, c.reference_points)
                for k, c in zip(keyframes, found, strict=True)
            ]
        )
        pixels = np.concatenate([c.query_pixels for c in found])
        owner = np.repeat(np.arange(len(found)), [len(c) for c in found])
        usable = np.isfinite(points).all(1)
        if usable.sum() < self.min_inliers:
            return self._direction_only(frame, keyframes, unexplained)
        solved = estimate_absolute_pose(
            points, pixels, frame.camera, options.reprojection_threshold
        )
        count = 0 if solved is None else int(solved.inliers.sum())
        if solved is None or count < self.min_inliers:
            return _refusal(
                Reason.FEW_INLIERS, f"{count} of {self.min_inliers} needed", unexplained, count
            )
        cells = _cells(pixels[solved.inliers], frame.size)
        matches = tuple(
            KeyframeMatch(m.keyframe_id, m.correspondences, solved.inliers[owner == i])
            for i, m in enumerate(unexplained)
        )
        spread = len(np.unique(cells))
        if spread < options.min_cells:
            return _refusal(
                Reason.POOR_SPREAD, f"{spread} cells of {options.min_cells} needed", matches, count
            )
        covariance = self._covariance(solved, cells)
        position_sigma = float(np.sqrt(np.trace(covariance[:3, :3])))
        rotation_sigma = float(np.sqrt(np.trace(covariance[3:, 3:])))
        if (
            position_sigma > options.max_position_sigma
            or rotation_sigma > options.max_rotation_sigma
        ):
            figures = f"{position_sigma:.3f} m, {rotation_sigma:.4f} rad standard deviation"
            return _refusal(Reason.UNCERTAIN, figures, matches, count)
        rest = ~solved.inliers
        rival = estimate_absolute_pose(
            points[rest], pixels[rest], frame.camera, options.reprojection_threshold, 1000
        )
        rivals = 0 if rival is None else int(rival.inliers.sum())
        if rivals > options.max_rival * count and rivals >= self.min_inliers:
            return _refusal(Reason.AMBIGUOUS, f"{rivals} matches against {count}", matches, count)
        margins = (
            self.min_inliers / count,
            options.min_cells / spread,
            position_sigma / options.max_position_sigma,
            rotation_sigma / options.max_rotation_sigma,
            min(rivals / (options.max_rival * count), 1.0),
        )
        return Localization(
            Reason.LOCALIZED,
            f"{count} inliers, {position_sigma:.3f} m, {rotation_sigma:.4f} rad",
            solved.pose,
            covariance,
            1.0 - max(margins),
            _ranked(
                _relative(m, k, solved.pose, covariance)
                for m, k in zip(matches, keyframes, strict=True)
            ),
            count,
        )

    def _covariance(self, solved: AbsolutePose, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """Honest covariance of a pose in the map.

        Neighboring matches share the errors of depth and of matching, so the matches of one cell
        of the image count as one; and the pose is no better known than the keyframes' own.
        """
        options = self.options
        independent = max(len(np.unique(cells)), 1)
        map_variance = np.repeat(
            [options.keyframe_position_sigma**2, options.keyframe_rotation_sigma**2], 3
        )
        return solved.covariance * (len(cells) / independent) + np.diag(map_variance)

    def _direction_only(
        self, frame: Frame, keyframes: Sequence[Keyframe], matches: tuple[KeyframeMatch, ...]
    ) -> Localization:
        """No metres to be had: rotation and direction to each keyframe that allows them."""
        assert frame.camera is not None
        answers = []
        for match, keyframe in zip(matches, keyframes, strict=True):
            found = match.correspondences
            if len(found) >= self.min_inliers and keyframe.camera is not None:
                relative = estimate_relative_pose(
                    found.reference_pixels, found.query_pixels, keyframe.camera, frame.camera
                )
                if relative is not None and relative.inliers.sum() >= self.min_inliers:
                    match = KeyframeMatch(keyframe.id, found, relative.inliers, relative.pose)
            answers.append(match)
        best = max((int(m.inliers.sum()) for m in answers), default=0)
        if best:
            return _refusal(Reason.DIRECTION_ONLY, f"{best} inliers", _ranked(answers), best)
        most = max((len(m.correspondences) for m in answers), default=0)
        return _refusal(Reason.FEW_MATCHES, f"{most} at the most", matches, 0)


def _refusal(
    reason: Reason, figures: str, matches: tuple[KeyframeMatch, ...], inliers: int
) -> Localization:
    return Localization(reason, f"{reason.value} ({figures})", matches=matches, inliers=inliers)


def _relative(
    match: KeyframeMatch, keyframe: Keyframe, pose: transforms.Pose, covariance: NDArray[np.float64]
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
