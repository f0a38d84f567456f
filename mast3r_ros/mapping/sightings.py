# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which keyframes of a map see the same things, as the adjustment of their poses takes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.base import FrontEnd
from mast3r_ros.frontends.features import FeatureDescription, FeatureFrontEnd, correspondences
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.relative_pose import estimate_relative_pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.mapping.adjustment import Sightings
from mast3r_ros.matching.correspondences import Correspondences

# Cells of an image in which errors of matches are alike, as the relocalizer takes them.
_GRID = np.array([8, 8])
# Largest epipolar error of a verified match [pixels of the front end].
_EPIPOLAR_PX = 2.0
# Fewest samples of an epipolar geometry that are drawn. Of 80 pairs of a rendered drive, 1,000
# find no more inliers in the median, and take four times as long.
_SAMPLES = 100
# Matches of a pair that are kept: more of a cell count no more than one. 400 gave 80 keyframes of a
# rendered drive no better poses.
_MOST = 200
# Matches among which an epipolar geometry is looked for. All 1,800 of each of 42 pairs of a drive
# rendered in VGA give no better inliers (90 % within 2 pixels of the true geometry either way), and
# take 2.6 times as long.
_SAMPLED = 600


@dataclass(frozen=True)
class SeenPair:
    """Matches of two keyframes, one < other, in both directions.

    Attributes:
        one, other: numbers of the keyframes.
        forth: the one's features as the reference, the other's as the query.
        back: the other's as the reference; the same matches where the front end keeps features.
    """

    one: int
    other: int
    forth: Correspondences
    back: Correspondences


def match_keyframes(
    keyframes: Sequence[Keyframe], pairs: Iterable[tuple[int, int]], front_end: FrontEnd
) -> Iterator[SeenPair]:
    """Match pairs of keyframes one by one; of features once, of a network in both directions."""
    for one, other in pairs:
        first, second = keyframes[one].description, keyframes[other].description
        if isinstance(front_end, FeatureFrontEnd):
            assert isinstance(first, FeatureDescription)
            assert isinstance(second, FeatureDescription)
            rows, sure = front_end.match_indices(first, second)
            forth = correspondences(first, second, rows, sure)
            back = correspondences(second, first, rows[:, ::-1], sure)
        else:
            (forth,) = front_end.match([first], second)
            (back,) = front_end.match([second], first)
        yield SeenPair(one, other, forth, back)


def verify_pairs(
    keyframes: Sequence[Keyframe], pairs: Iterable[SeenPair], front_end: FrontEnd
) -> Iterator[SeenPair]:
    """The pairs whose matches agree on an epipolar geometry, with those matches alone.

    What fewer or a smaller part of the matches agree on than the front end's limits may be chance:
    these pairs are left out.
    """
    for pair in pairs:
        one, other = keyframes[pair.one], keyframes[pair.other]
        if one.camera is None or other.camera is None:
            continue
        forth = epipolar_inliers(pair.forth, one.camera, other.camera, front_end)
        back = (
            forth
            if isinstance(front_end, FeatureFrontEnd)
            else epipolar_inliers(pair.back, other.camera, one.camera, front_end)
        )
        if forth is not None and back is not None:
            yield SeenPair(pair.one, pair.other, pair.forth.select(forth), pair.back.select(back))


def epipolar_inliers(
    found: Correspondences, reference: Camera, query: Camera, front_end: FrontEnd
) -> NDArray[np.bool_] | None:
    """(N,) which matches agree on an epipolar geometry; None where that may be chance."""
    if len(found) < front_end.min_inliers:
        return None
    scale = front_end.pixel_error_scale((query.width, query.height))
    some = thinned(np.arange(len(found)), _SAMPLED)
    relative = estimate_relative_pose(
        found.reference_pixels[some],
        found.query_pixels[some],
        reference,
        query,
        _EPIPOLAR_PX * scale,
        min_iterations=_SAMPLES,
    )
    least = max(front_end.min_inliers, front_end.min_inlier_ratio * len(some))
    if relative is None or relative.inliers.sum() < least:
        return None
    kept = np.zeros(len(found), np.bool_)
    kept[thinned(some[relative.inliers])] = True
    return kept


def thinned(rows: NDArray[np.int64], most: int = _MOST) -> NDArray[np.int64]:
    """At most so many of a pair's matches, evenly chosen; more than 200 add no information."""
    if len(rows) <= most:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, most).astype(int)])


def sightings_of(
    keyframes: Sequence[Keyframe],
    pair: SeenPair,
    depth_noise: float,
    readout: float,
    same: bool,
) -> list[Sightings]:
    """A pair's matches as residuals, each match once, in the direction that knows more.

    Args:
        keyframes: with cameras.
        pair: of them.
        depth_noise: standard deviation of their depth sensor at 1 m [m]; it grows with the square.
        readout: standard deviation of a camera's turn during the readout of its image [rad].
        same: both directions hold the same matches.
    """
    one, other = keyframes[pair.one], keyframes[pair.other]
    parts = []
    for owner, seer, numbers, found, reverse in (
        (one, other, (pair.one, pair.other), pair.forth, pair.back),
        (other, one, (pair.other, pair.one), pair.back, pair.forth),
    ):
        points, sigmas = _points(owner, found, depth_noise)
        known = np.isfinite(points).all(1)
        weights = np.full(len(found), 0.5)
        if same:
            theirs = np.isfinite(_points(seer, reverse, depth_noise)[0]).all(1)
            first = owner is one
            weights = np.where(known & theirs, 0.5, np.where(known | (~theirs & first), 1.0, 0.0))
        kept = weights > 0
        if not kept.any():
            continue
        assert owner.camera is not None
        assert seer.camera is not None
        pixels = found.query_pixels[kept].astype(np.float64)
        own = found.reference_pixels[kept].astype(np.float64)
        cell = np.clip((pixels + 0.5) * _GRID / seer.size, 0, _GRID - 1).astype(np.int64)
        parts.append(
            Sightings(
                *numbers,
                owner.camera.normalize(own),
                points[kept],
                sigmas[kept],
                pixels,
                readout * ((own[:, 1] + 0.5) / owner.size[1] - 0.5),
                readout * ((pixels[:, 1] + 0.5) / seer.size[1] - 0.5),
                cell[:, 0] + _GRID[0] * cell[:, 1],
                weights[kept],
            )
        )
    return parts


def _points(
    keyframe: Keyframe, found: Correspondences, depth_noise: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points that a keyframe's own sensor or network gave: triangulated ones repeat the poses."""
    if not keyframe.sensed and isinstance(keyframe.description, FeatureDescription):
        return np.full((len(found), 3), np.nan), np.full(len(found), np.nan)
    points = found.reference_points.astype(np.float64)
    noise = depth_noise * points[:, 2] if keyframe.sensed else 0.0
    return points, np.hypot(found.depth_sigma, noise)
