# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Front end `mast3r`: metric matches of two images by one network (arXiv 2406.09756).

A keyframe keeps the encoder's tokens, so its share of the work is done once; a query is encoded
once and decoded against all its candidates in one batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import (
    DecodedPair,
    Engine,
    EngineUnavailableError,
    MapsBothViews,
    to_numpy,
)
from mast3r_ros.engines.select import EngineChoice, open_engine
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import Depths, Description, FrontEndError
from mast3r_ros.frontends.features import second_order_descriptor
from mast3r_ros.frontends.mast3r import rays
from mast3r_ros.frontends.mast3r.description import Mast3rDescription
from mast3r_ros.frontends.mast3r.matching import (
    PixelMatches,
    gpu_matcher,
    match_features,
    match_points,
    require_finite,
)
from mast3r_ros.frontends.mast3r.options import Mast3rOptions, Traits, kind_of, traits
from mast3r_ros.frontends.mast3r.points import measured_points, predicted_points
from mast3r_ros.frontends.mast3r.rays import NO_POINTS, NO_SIGMA
from mast3r_ros.frontends.mast3r.rolling import Rolled
from mast3r_ros.frontends.mast3r.windows import NO_DETAIL, Windows, detail_of
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.focal import estimate_focal
from mast3r_ros.matching.correspondences import Correspondences
from mast3r_ros.network.preprocess import network_size, preprocess

_PROJECTED = 48  # channels of the global descriptor's second moments
# Where a smaller share of a keyframe's matches has a measured point, predicted ones take their
# place. Chosen with nano on the office between 0.03 and 0.1 (54 and 43 % of its images are right,
# none wrong), and confirmed on desk_turning.
_FEWEST_MEASURED = 0.03
# A patch of which a mask leaves less is not of the place.
_MOSTLY = 0.5
# A second look rolls the image by this to either side [rad]. Chosen with nano on half of the images
# that a sparse map of desk_turning refused, rolled by 0 to 65 degrees against their keyframes: of
# 13, 8 are localized by 45 degrees, 8 by 60 and 6 by 30.
_ROLL = np.deg2rad(45.0)

_Pair = tuple[Mast3rDescription, Mast3rDescription]


class Mast3rFrontEnd:
    """Dense matches with metric points, even of far apart views.

    Args:
        options: how the network runs, and how its answers become matches.
        engine: a running engine; by default the one that `options` name is opened.

    Raises:
        FrontEndError: no engine can run here; says what to install or to fetch.
    """

    name: ClassVar[str] = "mast3r"
    description_type: ClassVar[type[Description]] = Mast3rDescription

    def __init__(
        self,
        options: Mast3rOptions | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.options = options or Mast3rOptions()
        self.network = engine or _open(self.options)
        self._windows = Windows(self.network)
        self._point_mapper = _point_mapper(self.network, self.options)
        # A fixed random projection keeps distances well enough (Johnson-Lindenstrauss).
        width = self.network.config.encoder_width
        self._projection = np.random.default_rng(0).standard_normal((width, _PROJECTED))

    @property
    def needs_camera(self) -> bool:
        """Whether the network takes rays: then it has no way of telling them."""
        return self.network.config.rays

    @property
    def min_inliers(self) -> int:
        """Fewest inliers of an answer, by this network."""
        return self._traits.min_inliers

    @property
    def min_inlier_ratio(self) -> float:
        """Smallest share of the matches with the best keyframe that must agree, likewise."""
        return self._traits.min_inlier_ratio

    def pixel_error_scale(self, size: tuple[int, int]) -> float:
        """How far its matches scatter, in images of (width, height)."""
        return self._traits.pixel_error_scale * max(size) / self.network.config.image_size

    @property
    def fingerprint(self) -> str:
        """Tokens fit as long as the weights and the image size that the network sees are the same,
        and the details of images are kept or not.

        Engines and precisions may change: their tokens differ by less than float16's own rounding
        matters.
        """
        size = self.network.config.image_size
        detail = "-fine" if self.options.coarse_to_fine else ""
        return f"mast3r-5-{size}-{self.network.info().checkpoint[:16] or 'unnamed'}{detail}"

    @property
    def engine(self) -> str:
        """What runs the network, in short: "torch:cpu:fp32"."""
        info = self.network.info()
        return f"{info.name}:{info.device}:{info.precision}"

    @property
    def details(self) -> dict[str, str]:
        """What runs the network, for diagnostics."""
        info = self.network.info()
        memory = "unknown" if info.memory is None else f"{info.memory / 1e9:.2f} GB"
        stages = {f"{name} [ms]": f"{1e3 * s:.1f}" for name, s in info.latency.items()}
        config = self.network.config
        return {
            "weights": f"{kind_of(config)}, images of {config.image_size} px, "
            f"{info.checkpoint[:16] or 'from no file'}",
            "precision": info.precision,
            "device": info.device,
            "memory": memory,
            "keyframes at once": str(info.batch),
            **stages,
            **({} if info.gpu is None else {"matching": gpu_matcher(info.gpu).runs_on}),
            **({"notes": "; ".join(info.notes)} if info.notes else {}),
        }

    def densely(self) -> Mast3rFrontEnd:
        """The same network with a seed of matching at each pixel, and one point map a query."""
        return Mast3rFrontEnd(replace(self.options, stride=1, point_maps=1), self.network)

    def warm_up(self) -> None:
        """Run the network once at each size that it has, or at that of a 4:3 image.

        Where pairs stay on a GPU, compile the kernels that match them there, too.
        """
        usual = network_size(ImageSize(640, 480), self.network.config)
        info = self.network.info()
        self.network.warm_up(info.sizes or [usual])
        if info.gpu is not None:
            gpu_matcher(info.gpu).prepare(self.network.config.descriptor_size)

    def batch_for(self, count: int) -> int:
        """How many keyframes are matched in the time that `count` take."""
        return self.network.batch_for(count)

    def describe(self, frame: Frame) -> Mast3rDescription:
        """Encode the image, once.

        Raises:
            FrontEndError: the network's answer is not finite, or it needs a camera and the frame
                has none.
        """
        if self.needs_camera and frame.camera is None:
            raise FrontEndError(
                "front end 'mast3r': this network sees the rays of the camera, but the frame has "
                "no camera: calibrate it, or use weights of a network without rays"
            )
        image = preprocess(frame.visible, self.network.config, frame.camera)
        tokens = self.network.encode(image.values[None])[0]
        require_finite(tokens, "tokens")
        back = image.to_original
        used = (
            np.zeros((0, 0), bool)
            if frame.mask is None
            else rays.used(frame.mask, back, image.size)
        )
        measured, depth_sigma = NO_POINTS, NO_SIGMA
        if frame.depth is not None and frame.camera is not None:
            measured, depth_sigma = rays.sensed(frame.depth, frame.camera, back, image.size)
        return Mast3rDescription(
            global_descriptor=self._global_descriptor(tokens, used),
            tokens=tokens.astype(np.float16),
            size=np.array(image.size, np.int64),
            to_original=np.array([*back.scale, *back.offset], np.float64),
            measured=measured,
            depth_sigma=depth_sigma,
            camera=np.array("" if frame.camera is None else json.dumps(asdict(frame.camera))),
            detail=(
                detail_of(frame.visible, back, image.size)
                if self.options.coarse_to_fine
                else NO_DETAIL
            ),
            used=used,
        )

    def check_description(self, description: Description, size: tuple[int, int]) -> None:
        """Raise ValueError where a description is not one of this network's images."""
        assert isinstance(description, Mast3rDescription)
        description.check(self.network.config, size)

    def local_features(self, description: Description) -> NDArray[np.float16]:
        """(N, C) tokens of length 1, of the patches that the mask leaves for the most part."""
        assert isinstance(description, Mast3rDescription)
        tokens = description.tokens.astype(np.float32)
        tokens /= np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-12)
        if description.used.size:
            tokens = tokens[self._used_share(description.used) > _MOSTLY]
        return tokens.astype(np.float16)

    def match(
        self,
        references: Sequence[Description],
        query: Description,
        *,
        query_points: bool = False,
    ) -> list[Correspondences]:
        """Decode and match one query against all its candidates.

        Points are computed for the `point_maps` best candidates alone; the matches with the others
        have none.

        Args:
            references: of keyframes.
            query: of the image to localize.
            query_points: give matches the query's points too, in its own frame (pose method
                procrustes): one more decoding for each of those candidates, with the two images'
                roles exchanged.

        Raises:
            FrontEndError: the network's answer is not finite: this frame has none.
        """
        return self._match_pairs([_pair(r, query) for r in references], query_points)

    @property
    def second_matcher(self) -> str:
        """The network again, with rolled images."""
        return "rolled images"

    @property
    def second_sees_image(self) -> bool:
        """It is the image that is rolled."""
        return True

    def match_again(
        self, references: Sequence[Description], query: Description, frame: Frame | None
    ) -> Iterator[Correspondences]:
        """Match the image as it is and rolled to either side: each reference with the surest one.

        The surest has the largest sum of confidences, several times that of the others where the
        roll was what was wrong.
        """
        rolled = [] if frame is None else [Rolled.of(frame, turn) for turn in (-_ROLL, _ROLL)]
        queries = [query, *(self.describe(one.frame) for one in rolled)]
        for reference in references:
            upright, *others = self._match_pairs([_pair(reference, q) for q in queries])
            unrolled = [one.unroll(found) for one, found in zip(rolled, others, strict=True)]
            yield max((upright, *unrolled), key=lambda found: float(found.confidence.sum()))

    def _match_pairs(
        self, pairs: Sequence[_Pair], query_points: bool = False
    ) -> list[Correspondences]:
        """Decode and match pairs of a reference and a query, in one batch."""
        decoded = self.network.decode([(r.encoded, q.encoded) for r, q in pairs])
        matches = self._matches(pairs, decoded)
        best = self._best(matches)
        references, queries = [r for r, _ in pairs], [q for _, q in pairs]
        points = self._points(references, decoded, [m.reference for m in matches], best)
        own: list[_Points] | None = None
        if query_points:
            swapped = self._swapped(pairs, best)
            own = self._points(queries, swapped, [m.query for m in matches], best)
        return [
            self._judged(
                _correspondences(r, q, matches[i], points[i], None if own is None else own[i]),
                points[i].predicted,
            )
            for i, (r, q) in enumerate(pairs)
        ]

    @property
    def uses_triangulation(self) -> bool:
        """Unless measured depth changes nothing."""
        return self._use_of_depth != "off"

    def match_errors(self, size: ImageSize) -> tuple[float, float]:
        """See `Triangulates`."""
        sigma = self.pixel_error_scale(size)
        return sigma, rays.MOST_OFF * sigma

    def ray_pixels(self, description: Description) -> NDArray[np.float64]:
        """(N, 2), the network's pixels in the original image, row by row."""
        assert isinstance(description, Mast3rDescription)
        return rays.ray_pixels(description)

    def known_depths(self, description: Description) -> list[Depths]:
        """What the network predicts of the image, decoded with itself, and what was measured."""
        assert isinstance(description, Mast3rDescription)
        return [
            rays.predicted_depths(self.network, description),
            *rays.measured_depths(description),
        ]

    def with_depths(
        self,
        description: Description,
        camera: Camera,
        depth: NDArray[np.float64],
        relative_sigma: NDArray[np.float64],
    ) -> Mast3rDescription:
        """See `Triangulates`."""
        assert isinstance(description, Mast3rDescription)
        return rays.with_depths(description, camera, depth, relative_sigma)

    def matched_rays(
        self, one: Description, other: Description, lines: NDArray[np.float64]
    ) -> list[NDArray[np.int64]]:
        """The pixels that match, from a seed at each.

        The list is empty where too few of them lie near their lines: then those that do are there
        by chance, as for two images of different places.
        """
        assert isinstance(one, Mast3rDescription)
        assert isinstance(other, Mast3rDescription)
        assert other.intrinsics is not None
        _, border = self.options.in_pixels(self.network.config.image_size)
        rows = rays.matched_rays(self.network, one, other, border)
        pixels = np.column_stack([rays.ray_pixels(other)[rows[:, 1]], np.ones(len(rows))])
        off = np.abs((lines[rows[:, 0]] * pixels).sum(1))
        _, band = self.match_errors(ImageSize(other.intrinsics.width, other.intrinsics.height))
        return [rows] if (off < band).sum() >= self.min_inlier_ratio * len(rows) else []

    def estimate_camera(self, description: Description, size: tuple[int, int]) -> Camera:
        """The intrinsics of an image whose own are unknown, from its point map.

        The image is decoded with itself; its principal point is taken to be the middle.

        Args:
            description: the image's.
            size: (width, height) of the original image [pixels].

        Raises:
            FrontEndError: the point map tells no focal length.
        """
        assert isinstance(description, Mast3rDescription)
        encoded = description.encoded
        (point_map,) = self.network.points(self.network.decode([(encoded, encoded)]))
        points = to_numpy(point_map.points)
        require_finite(points, "points")
        to_original = description.transform
        width, height = size
        center = to_original.inverse().apply(np.array([(width - 1) / 2, (height - 1) / 2]))
        try:
            focal = estimate_focal(points, to_numpy(point_map.confidence), (center[0], center[1]))
        except ValueError as error:
            raise FrontEndError(f"front end 'mast3r': {error}") from error
        fx, fy = (focal * scale for scale in to_original.scale)
        return Camera(width, height, fx, fy, (width - 1) / 2, (height - 1) / 2)

    @property
    def _traits(self) -> Traits:
        return traits(self.network.config)

    @property
    def _use_of_depth(self) -> str:
        chosen = self.options.scale_from_depth
        return self._traits.scale_from_depth if chosen == "auto" else chosen

    def _judged(self, matches: Correspondences, predicted: bool) -> Correspondences:
        """The matches with how far they can be trusted: those with predicted points, less."""
        known = self._traits
        if not predicted:
            return replace(
                matches, correlation=known.correlation, min_inlier_ratio=known.min_inlier_ratio
            )
        return replace(
            matches,
            correlation=known.predicted_correlation,
            min_inlier_ratio=known.predicted_share,
            predicted=True,
        )

    def _matches(
        self, pairs: Sequence[_Pair], decoded: Sequence[DecodedPair]
    ) -> list[PixelMatches]:
        stride, border = self.options.in_pixels(self.network.config.image_size)
        if self._point_mapper is None:
            matches = match_features(decoded, stride, border)
        else:
            encoded = [(r.encoded, q.encoded) for r, q in pairs]
            matches = match_points(self._point_mapper.both_point_maps(encoded), stride, border)
        if self.options.coarse_to_fine:
            limit = self.options.window_pairs
            matches = [
                self._windows.match(r, q, coarse, stride=stride, border=border, limit=limit)
                for (r, q), coarse in zip(pairs, matches, strict=True)
            ]
        return [
            some.select(r.uses(some.reference) & q.uses(some.query))
            for (r, q), some in zip(pairs, matches, strict=True)
        ]

    def _best(self, matches: Sequence[PixelMatches]) -> list[int]:
        """The candidates that are worth a point map: those with the surest matches."""
        sure = [float(_probability(m.confidence).sum()) for m in matches]
        order = sorted(range(len(matches)), key=lambda i: -sure[i])
        return [i for i in order[: self.options.point_maps] if len(matches[i].confidence)]

    def _swapped(self, pairs: Sequence[_Pair], best: Sequence[int]) -> dict[int, DecodedPair]:
        """The query as the reference of the best pairs: its points come in its own frame."""
        decoded = self.network.decode([(q.encoded, r.encoded) for r, q in (pairs[i] for i in best)])
        return dict(zip(best, decoded, strict=True))

    def _points(
        self,
        views: Sequence[Mast3rDescription],
        decoded: Sequence[DecodedPair] | Mapping[int, DecodedPair],
        pixels: Sequence[NDArray[np.float32]],
        best: Sequence[int],
    ) -> list[_Points]:
        """Points at pixels of each view in its own camera's frame.

        Measured ones where they take the place of predicted ones, which need no point map then.
        """
        measured = {i: self._measured(v, pixels[i]) for i, v in enumerate(views)}
        guessed = [i for i in best if measured[i] is None]
        maps = self.network.points([decoded[i] for i in guessed])
        predicted = {}
        for i, point_map in zip(guessed, maps, strict=True):
            rescale = self._use_of_depth == "rescale"
            scaled_by = views[i].measured if rescale else NO_POINTS
            predicted[i] = predicted_points(point_map, pixels[i], scaled_by)
        return [
            measured[i] or self._predicted(predicted.get(i), len(some))
            for i, some in enumerate(pixels)
        ]

    def _predicted(self, points: NDArray[np.float32] | None, count: int) -> _Points:
        """Points of the network, NaN where there was no time for a point map."""
        if points is None:
            points = np.full((count, 3), np.nan, np.float32)
        sigma = np.full(count, self._traits.predicted_depth_error, np.float32)
        return _Points(points, sigma, True)

    def _measured(self, view: Mast3rDescription, pixels: NDArray[np.float32]) -> _Points | None:
        """A view's measured points at pixels, None where they do not replace predicted ones."""
        if not view.measured.size or self._use_of_depth != "replace":
            return None
        points = measured_points(view.measured, pixels)
        if np.isfinite(points[:, 2]).sum() < _FEWEST_MEASURED * len(points):
            return None
        column, row = np.rint(pixels).astype(int).T
        height, width = view.depth_sigma.shape
        sigma = view.depth_sigma[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
        return _Points(points, np.maximum(sigma, rays.LEAST_SIGMA).astype(np.float32), False)

    def _global_descriptor(
        self, tokens: NDArray[Any], used: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        values = tokens.astype(np.float32)
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
        weights = self._used_share(used) if used.size else None
        return second_order_descriptor(values @ self._projection.astype(np.float32), weights)

    def _used_share(self, used: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(N,) the share of each token's patch that a mask leaves."""
        patch = self.network.config.patch_size
        size = [used.shape[1] // patch, used.shape[0] // patch]
        share = cv2.resize(used.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        return np.asarray(share, np.float32).ravel()


@dataclass(frozen=True)
class _Points:
    """Points of a view at the pixels of its matches.

    Attributes:
        points: (N, 3) [m] in the camera's frame, NaN where unknown.
        depth_sigma: (N,) relative deviation of their depths.
        predicted: by the network, not measured.
    """

    points: NDArray[np.float32]
    depth_sigma: NDArray[np.float32]
    predicted: bool


def _pair(reference: Description, query: Description) -> _Pair:
    assert isinstance(reference, Mast3rDescription)
    assert isinstance(query, Mast3rDescription)
    return reference, query


def _open(options: Mast3rOptions) -> Engine:
    try:
        return open_engine(
            EngineChoice(
                options.engine,
                options.checkpoint,
                options.graphs,
                options.device,
                options.precision,
                options.batch,
                options.cuda_graphs,
            )
        )
    except EngineUnavailableError as error:
        raise FrontEndError(f"front end 'mast3r': {error}") from error


def _point_mapper(engine: Engine, options: Mast3rOptions) -> MapsBothViews | None:
    """What predicts the points of both views, where pixels are matched by these."""
    if options.match_by == "descriptors":
        return None
    if not isinstance(engine, MapsBothViews):
        raise FrontEndError(
            f"front end 'mast3r', match_by points: engine {engine.info().name} predicts the points "
            "of references alone; choose engine torch"
        )
    return engine


def _correspondences(
    reference: Mast3rDescription,
    query: Mast3rDescription,
    matches: PixelMatches,
    reference_points: _Points,
    query_points: _Points | None,
) -> Correspondences:
    """Matches in the original images, with the points (P, 3) of either view at them."""
    pixels = [
        view.transform.apply(some)
        for view, some in ((reference, matches.reference), (query, matches.query))
    ]
    return Correspondences(
        reference_pixels=pixels[0].astype(np.float32),
        query_pixels=pixels[1].astype(np.float32),
        confidence=_probability(matches.confidence),
        reference_points=_on_rays(reference_points.points, pixels[0], reference.intrinsics),
        depth_sigma=reference_points.depth_sigma,
        metric=True,
        query_points=(
            None
            if query_points is None
            else _on_rays(query_points.points, pixels[1], query.intrinsics)
        ),
    )


def _probability(confidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """The head's exponential undone, and a logistic in its place: e^x -> 1 / (1 + e^-x)."""
    return (confidence / (1 + confidence)).astype(np.float32)


def _on_rays(
    points: NDArray[np.float32], pixels: NDArray[np.float64], camera: Camera | None
) -> NDArray[np.float32]:
    """Points (N, 3) of a view, moved onto their own pixels' rays where its camera is known.

    The network guesses all three coordinates, but given the depth a calibrated camera leaves no
    choice of the other two. What is not in front of the camera becomes unknown, NaN.
    """
    if camera is None:
        return points
    return camera.unproject(pixels, points[:, 2]).astype(np.float32)
