# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What front ends of sparse local features share: their description and its matching."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import Depths, Description, no_query_points, require_array
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.matching.correspondences import Correspondences
from mast3r_ros.matching.nearest import Database
from mast3r_ros.matching.reciprocal import mutual_nearest

# Across a keypoint whose neighborhood spans more than this share of its depth, foreground and
# background cannot be told apart.
_DEPTH_EDGE = 0.1
_DEPTH_WINDOW = 2
# Rows of a table of scores that are made at a time.
_BLOCK = 256
# Features from whose cosines it is estimated how much alike the most alike pairs are.
_SAMPLED = 256
# Keypoints nearer than this are one corner found twice [pixels].
_SAME_PLACE = 4.0
# Standard deviation of a matched keypoint, and how far from its epipolar line it may lie [pixels].
_MATCH_SIGMA, _BAND = 1.5, 5.0
# No point of a camera's is further away [m].
_FAR = 1e6


@dataclass(frozen=True)
class FeatureDescription(Description):
    """Keypoints with descriptors.

    Attributes:
        keypoints: (N, 2) float32 [pixels of the original image].
        descriptors: (N, D) float16 of length 1.
        scores: (N,) float32 in [0, 1].
        points: (N, 3) float32 [m] in the camera's frame, NaN where unknown.
        depth_sigma: (N,) float32, relative standard deviation of the points' depth, NaN likewise.
        size: (2,) int64, (width, height) of the original image [pixels].
    """

    keypoints: NDArray[np.float32]
    descriptors: NDArray[np.float16]
    scores: NDArray[np.float32]
    points: NDArray[np.float32]
    depth_sigma: NDArray[np.float32]
    size: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.keypoints)
        if self.descriptors.ndim != 2:
            raise ValueError(f"descriptors of shape {self.descriptors.shape}: expected (N, D)")
        expected = {
            "keypoints": (count, 2),
            "descriptors": (count, self.descriptors.shape[1]),
            "scores": (count,),
            "points": (count, 3),
            "depth_sigma": (count,),
            "size": (2,),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} of shape {getattr(self, name).shape}: expected {shape}")

    def __len__(self) -> int:
        return len(self.keypoints)

    @cached_property
    def database(self) -> Database:
        """The descriptors, packed once for every search in them."""
        return Database(self.descriptors.astype(np.float32))

    def with_points(
        self, points: NDArray[np.float32], depth_sigma: NDArray[np.float32]
    ) -> FeatureDescription:
        """The same features with other metric points."""
        return replace(self, points=points, depth_sigma=depth_sigma)


class FeatureFrontEnd(ABC):
    """Mutual nearest neighbors between the descriptors of two images."""

    name: ClassVar[str]
    description_type: ClassVar[type[Description]] = FeatureDescription

    min_inliers: ClassVar[int]
    min_inlier_ratio: ClassVar[float]
    # Keep a match of at least this cosine, and under this ratio to the second nearest.
    min_score: ClassVar[float]
    ratio: ClassVar[float | None] = None
    # The same along an epipolar line, where few others compete.
    guided_min_score: ClassVar[float]
    guided_ratio: ClassVar[float]
    # Numbers of a descriptor.
    channels: ClassVar[int]

    def local_features(self, description: Description) -> NDArray[np.float16]:
        """(N, D) descriptors of the keypoints."""
        assert isinstance(description, FeatureDescription)
        return description.descriptors

    def check_description(self, description: Description, size: tuple[int, int]) -> None:
        """Raise ValueError where a description is not one of this front end's images."""
        assert isinstance(description, FeatureDescription)
        count = len(description)
        for name, kind, shape in (
            ("keypoints", np.float32, (count, 2)),
            ("descriptors", np.float16, (count, self.channels)),
            ("scores", np.float32, (count,)),
            ("points", np.float32, (count, 3)),
            ("depth_sigma", np.float32, (count,)),
            ("size", np.int64, (2,)),
        ):
            require_array(getattr(description, name), name, kind, shape)
        if tuple(description.size) != size:
            raise ValueError(f"features of an image of {description.size}, the keyframe's: {size}")
        for name in ("keypoints", "descriptors", "scores"):
            if not np.isfinite(getattr(description, name)).all():
                raise ValueError(f"{name}: all must be finite")
        for name in ("points", "depth_sigma"):
            if np.isinf(getattr(description, name)).any():
                raise ValueError(f"{name}: must be finite, or NaN where unknown")
        if (np.abs(description.keypoints) > 2 * max(size)).any():
            raise ValueError(f"keypoints: some are far outside of an image of {size}")
        if (np.abs(description.points) > _FAR).any():
            raise ValueError(f"points: some are further away than {_FAR:g} m")
        known = np.isfinite(description.points).all(1)
        if not (description.depth_sigma[known] > 0).all():
            raise ValueError("depth_sigma: a point that is known needs a deviation above 0")

    def pixel_error_scale(self, size: tuple[int, int]) -> float:
        """1: features are found in the image itself."""
        return 1.0

    @abstractmethod
    def describe(self, frame: Frame) -> FeatureDescription:
        """Describe an image, once."""

    @property
    def uses_triangulation(self) -> bool:
        """Always: nothing else gives features points."""
        return True

    def match_errors(self, size: ImageSize) -> tuple[float, float]:
        """See `Triangulates`."""
        return _MATCH_SIGMA, _BAND

    def ray_pixels(self, description: Description) -> NDArray[np.float64]:
        """(N, 2) keypoints."""
        assert isinstance(description, FeatureDescription)
        return description.keypoints.astype(np.float64)

    def known_depths(self, description: Description) -> list[Depths]:
        """Those of the points."""
        assert isinstance(description, FeatureDescription)
        depth = description.points[:, 2].astype(np.float64)
        return [np.stack([depth, depth * description.depth_sigma])]

    def with_depths(
        self,
        description: Description,
        camera: Camera,
        depth: NDArray[np.float64],
        relative_sigma: NDArray[np.float64],
    ) -> FeatureDescription:
        """The same features with other metric points."""
        assert isinstance(description, FeatureDescription)
        points = camera.unproject(description.keypoints, depth).astype(np.float32)
        sigma = relative_sigma.astype(np.float32)
        return description.with_points(points, sigma)

    def matched_rays(
        self, one: Description, other: Description, lines: NDArray[np.float64]
    ) -> list[NDArray[np.int64]]:
        """Matches along epipolar lines, and, surer, those in the whole image."""
        assert isinstance(one, FeatureDescription)
        assert isinstance(other, FeatureDescription)
        guided = self.match_along_lines(one, other, lines, _BAND)
        return [guided, self.match_indices(one, other)[0]]

    def match_indices(
        self, reference: FeatureDescription, query: FeatureDescription
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(N, 2) rows of reference and query keypoints that match, and confidences in [0, 1]."""
        pairs, scores = mutual_nearest(
            reference.database, query.database, min_score=self.min_score, ratio=self.ratio
        )
        # SIFT describes a corner once for each of its orientations: one place is one match.
        places = np.hstack([reference.keypoints[pairs[:, 0]], query.keypoints[pairs[:, 1]]])
        _, once = np.unique(places, axis=0, return_index=True)
        once.sort()
        confidence = (scores[once] - self.min_score) / (1.0 - self.min_score)
        return pairs[once], np.clip(confidence, 0.0, 1.0).astype(np.float32)

    def match_along_lines(
        self,
        reference: FeatureDescription,
        query: FeatureDescription,
        lines: NDArray[np.float64],
        band: float,
    ) -> NDArray[np.int64]:
        """(N, 2) rows that match within a band about the references' epipolar lines.

        Args:
            lines: (N, 3) a line (a, b, c) of the query image for each reference keypoint, a u +
                b v + c = 0 in pixels with a^2 + b^2 = 1.
            band: largest distance from the line [pixels].
        """
        if not len(reference) or not len(query):
            return np.zeros((0, 2), np.int64)
        homogeneous = np.column_stack([query.keypoints, np.ones(len(query))]).astype(np.float32)
        u, v = query.keypoints.T
        theirs = query.descriptors.astype(np.float32)
        best, top, second = (np.empty(len(reference), kind) for kind in (np.int64, "f4", "f4"))
        # The best of each query keypoint so far, and whose it is.
        most, owner = np.full(len(query), -1.0, np.float32), np.zeros(len(query), np.int64)
        # In blocks: all scores at once would take 64 MB, and what is made of them twice as much.
        for start in range(0, len(reference), _BLOCK):
            rows = slice(start, start + _BLOCK)
            scores = reference.descriptors[rows].astype(np.float32) @ theirs.T
            # Not `> band`: a line of NaN matches nothing.
            distance = np.abs(lines[rows].astype(np.float32) @ homogeneous.T)
            scores[~(distance <= band)] = -1.0
            column_best = scores.argmax(0)
            column_top = scores[column_best, np.arange(len(query))]
            better = column_top > most
            most[better], owner[better] = column_top[better], start + column_best[better]
            best[rows] = scores.argmax(1)
            top[rows] = scores[np.arange(len(scores)), best[rows]]
            # The second best must be another place, not the same corner found twice.
            same = np.abs(u - u[best[rows], None]) < _SAME_PLACE
            same &= np.abs(v - v[best[rows], None]) < _SAME_PLACE
            scores[same] = -1.0
            second[rows] = scores.max(1)
        mutual = owner[best] == np.arange(len(best))
        # |a - b|^2 = 2 - 2 a.b for unit vectors.
        distinct = 1.0 - top < self.guided_ratio**2 * (1.0 - second)
        keep = np.flatnonzero(mutual & distinct & (top > self.guided_min_score))
        return np.column_stack([keep, best[keep]])

    def known_points(self, description: Description) -> NDArray[np.float32]:
        """See `RanksPairs`."""
        assert isinstance(description, FeatureDescription)
        return description.points[np.isfinite(description.points).all(1)]

    def most_alike(
        self, reference: Description, query: Description, part: float
    ) -> Correspondences:
        """See `RanksPairs`; the confidence is the cosine of two descriptors."""
        assert isinstance(reference, FeatureDescription)
        assert isinstance(query, FeatureDescription)
        known = np.flatnonzero(np.isfinite(reference.points).all(1))
        ours, theirs = reference.database.rows[known], query.database.rows
        limit, pairs, scores = np.inf, [np.zeros((0, 2), np.int64)], [np.zeros(0, np.float32)]
        if len(ours) and len(theirs):
            some = ours[:: max(len(ours) // _SAMPLED, 1)]
            limit = float(np.quantile(some @ theirs.T, 1.0 - part))
        for start in range(0, len(ours), _BLOCK):
            cosines = ours[start : start + _BLOCK] @ theirs.T
            rows, columns = np.nonzero(cosines > limit)
            pairs.append(np.column_stack([known[start + rows], columns]))
            scores.append(cosines[rows, columns])
        confidence = np.clip(np.concatenate(scores), 0.0, 1.0)
        return correspondences(reference, query, np.concatenate(pairs), confidence)

    def match(
        self,
        references: Sequence[Description],
        query: Description,
        *,
        query_points: bool = False,
    ) -> list[Correspondences]:
        """Match one query against all references; the query's descriptors are packed once.

        Raises:
            FrontEndError: the query's points are asked for, which its pixels do not give.
        """
        assert isinstance(query, FeatureDescription)
        if query_points:
            raise no_query_points(self.name)
        return [self._matched(reference, query) for reference in references]

    def _matched(self, reference: Description, query: FeatureDescription) -> Correspondences:
        assert isinstance(reference, FeatureDescription)
        return correspondences(reference, query, *self.match_indices(reference, query))


def correspondences(
    reference: FeatureDescription,
    query: FeatureDescription,
    pairs: NDArray[np.int64],
    confidence: NDArray[np.float32],
    min_inlier_ratio: float | None = None,
) -> Correspondences:
    """What matching rows (N, 2) of two descriptions' keypoints say of their images."""
    points = reference.points[pairs[:, 0]]
    return Correspondences(
        reference.keypoints[pairs[:, 0]],
        query.keypoints[pairs[:, 1]],
        confidence,
        points,
        reference.depth_sigma[pairs[:, 0]],
        metric=bool(np.isfinite(points).any()),
        min_inlier_ratio=min_inlier_ratio,
    )


def points_from_depth(
    frame: Frame, keypoints: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Metric points of keypoints, (N, 3) [m] and relative depth deviation (N,), NaN where unknown.

    A point needs a camera and known depth, and none at a depth edge: which side of it the feature
    belongs to is not knowable.
    """
    points = np.full((len(keypoints), 3), np.nan, np.float32)
    sigma = np.full(len(keypoints), np.nan, np.float32)
    if frame.depth is None or frame.camera is None or not len(keypoints):
        return points, sigma
    height, width = frame.depth.shape
    reach = np.arange(-_DEPTH_WINDOW, _DEPTH_WINDOW + 1)
    column = np.clip(np.rint(keypoints[:, 0]).astype(int)[:, None, None] + reach, 0, width - 1)
    row = np.clip(
        np.rint(keypoints[:, 1]).astype(int)[:, None, None] + reach[:, None], 0, height - 1
    )
    window = frame.depth[row, column].reshape(len(keypoints), -1).astype(np.float64)
    window[~(np.isfinite(window) & (window > 0))] = np.nan
    known = np.isfinite(window).sum(1) > window.shape[1] // 2
    if not known.any():
        return points, sigma
    window = window[known]
    near, depth, far = _quantiles(window, (0.1, 0.5, 0.9))
    spread = (far - near) / depth
    smooth = spread < _DEPTH_EDGE
    chosen = np.flatnonzero(known)[smooth]
    points[chosen] = frame.camera.unproject(keypoints[chosen], depth[smooth])
    sigma[chosen] = np.maximum(spread[smooth] / 2.56, 0.005)
    return points, sigma


def _quantiles(values: NDArray[np.float64], parts: tuple[float, ...]) -> NDArray[np.float64]:
    """(Q, N) quantiles of the known values of each row of (N, M), of which one at least is known.

    As `np.nanquantile`, which takes one Python call for each row.
    """
    ordered = np.sort(values, axis=1)  # NaN last
    last = np.isfinite(ordered).sum(1) - 1
    place = np.outer(parts, last)
    below = np.floor(place).astype(np.int64)
    rows = np.arange(len(values))
    low, high = ordered[rows, below], ordered[rows, np.minimum(below + 1, last)]
    return np.asarray(low + (place - below) * (high - low))


def second_order_descriptor(
    features: NDArray[np.floating], weights: NDArray[np.floating] | None = None
) -> NDArray[np.float32]:
    """A global descriptor: mean and covariance of local features, (D + D (D + 1) / 2,), length 1.

    Second-order pooling (Carreira et al., ECCV 2012) with signed square root, which needs no
    codebook and so no training.
    """
    channels = features.shape[1]
    upper = np.triu_indices(channels)
    if not len(features):
        return np.zeros(channels + len(upper[0]), np.float32)
    values = np.asarray(features, np.float64)
    w = np.full(len(values), 1.0) if weights is None else np.asarray(weights, np.float64)
    w = w / max(w.sum(), 1e-12)
    mean = w @ values
    centered = values - mean
    moments = [mean, ((centered * w[:, None]).T @ centered)[upper]]
    # Each order counts the same, whatever its scale.
    parts = [np.sign(m) * np.sqrt(np.abs(m)) for m in moments]
    joined = np.concatenate([p / max(np.linalg.norm(p), 1e-12) for p in parts])
    return np.asarray(joined / max(np.linalg.norm(joined), 1e-12), np.float32)
