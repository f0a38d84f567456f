# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The contract of a front end: describe an image once, match it many times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.errors import UserError
from mast3r_ros.common.size import ImageSize
from mast3r_ros.frame import Frame
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.matching.correspondences import Correspondences


class FrontEndError(UserError, RuntimeError):
    """A front end that cannot run, with what to install."""


@dataclass(frozen=True)
class Description:
    """What a keyframe stores of an image. Every field is an array, so that storage needs no more.

    Attributes:
        global_descriptor: (G,) float32 of length 1; similar images have a large dot product.
    """

    global_descriptor: NDArray[np.float32]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The fields by name; the constructor takes them back."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class FrontEnd(Protocol):
    """Turns images into descriptions, and pairs of descriptions into correspondences."""

    name: ClassVar[str]
    description_type: ClassVar[type[Description]]

    @property
    def min_inliers(self) -> int:
        """Fewer inliers than this may be chance: it depends on how pure the matches are."""
        ...

    @property
    def min_inlier_ratio(self) -> float:
        """A smaller share of the matches with the best keyframe may be chance, likewise."""
        ...

    def pixel_error_scale(self, size: tuple[int, int]) -> float:
        """How far its matches scatter, in images of (width, height).

        1 for features found in the image itself; a network that sees a small copy of the image has
        its errors enlarged. Errors in pixels are judged by it.
        """
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when stored descriptions no longer fit: weights' hash and what shapes them."""
        ...

    def describe(self, frame: Frame) -> Description:
        """Describe an image, once. What `frame.mask` covers yields no features."""
        ...

    def match(
        self,
        references: Sequence[Description],
        query: Description,
        *,
        query_points: bool = False,
    ) -> list[Correspondences]:
        """Match one query against all its candidates in one call, in their order.

        Args:
            query_points: give the matches the query's points too, in its own camera's frame (pose
                method procrustes).

        Raises:
            FrontEndError: the front end knows no points of a query.
        """
        ...


@runtime_checkable
class ChecksDescriptions(Protocol):
    """A front end that knows its own descriptions again: those of maps come from files."""

    def check_description(self, description: Description, size: tuple[int, int]) -> None:
        """Raise ValueError where it cannot be that of an image of (width, height) pixels."""
        ...


def checks_descriptions(front_end: FrontEnd) -> TypeGuard[ChecksDescriptions]:
    """Whether a front end knows its own descriptions again."""
    return isinstance(front_end, ChecksDescriptions)


def require_array(array: NDArray[Any], name: str, kind: Any, shape: tuple[int, ...]) -> None:
    """Raise ValueError where a description's array is not of a type and shape."""
    if array.dtype != kind or array.shape != shape:
        raise ValueError(
            f"{name} of shape {array.shape} and type {array.dtype}: expected {shape}, "
            f"{np.dtype(kind)}"
        )


@runtime_checkable
class MatchesInBatches(Protocol):
    """A front end that takes no longer for a few keyframes more than are asked for."""

    def batch_for(self, count: int) -> int:
        """How many keyframes are matched in the time that `count` take: at least as many."""
        ...


def batch_for(front_end: FrontEnd, count: int) -> int:
    """How many keyframes to match at once where `count` are enough."""
    return front_end.batch_for(count) if isinstance(front_end, MatchesInBatches) else count


def no_query_points(name: str) -> FrontEndError:
    """The error of a front end that is asked for a query's points, which its pixels do not give."""
    return FrontEndError(
        f"front end '{name}' gives a query no points of its own: pose method procrustes needs "
        "front end mast3r; choose pnp"
    )


@runtime_checkable
class EstimatesCamera(Protocol):
    """A front end that can do without known intrinsics."""

    @property
    def needs_camera(self) -> bool:
        """True where what runs in it cannot after all."""
        ...

    def estimate_camera(self, description: Description, size: tuple[int, int]) -> Camera:
        """The intrinsics of a described image of (width, height) pixels."""
        ...


def estimates_camera(front_end: FrontEnd) -> TypeGuard[EstimatesCamera]:
    """Whether a front end can do without known intrinsics, as it runs now."""
    return isinstance(front_end, EstimatesCamera) and not front_end.needs_camera


@runtime_checkable
class SecondMatcher(Protocol):
    """A front end with a second matcher, slower than `match`, that finds what `match` misses.

    `match` is the first look at an image. Where the answer is a refusal and time is left, the
    relocalizer may look again:

        if has_second_matcher(front_end):
            found = front_end.match_again(references, query, frame)
            for keyframe, matches in zip(keyframes, found):
                ...  # stop as soon as the budget is spent

    and says `front_end.second_matcher` in its status. Matches of the second look replace those of
    the first; they carry their own `min_inlier_ratio`.
    """

    @property
    def second_matcher(self) -> str:
        """Its name, for people; empty where the options leave no second look."""
        ...

    @property
    def second_sees_image(self) -> bool:
        """Whether it needs the image itself; otherwise, the description is enough."""
        ...

    def match_again(
        self, references: Sequence[Description], query: Description, frame: Frame | None
    ) -> Iterator[Correspondences]:
        """Match one query against its candidates, in their order, best first.

        Each candidate is matched when the iterator is asked for it, so that the caller can stop
        between two of them.

        Args:
            references: of keyframes.
            query: of the image.
            frame: the image itself; None where it is not known any more.
        """
        ...


def has_second_matcher(front_end: FrontEnd) -> TypeGuard[SecondMatcher]:
    """Whether a front end offers a second look, as it runs now."""
    return isinstance(front_end, SecondMatcher) and bool(front_end.second_matcher)


@runtime_checkable
class RanksPairs(Protocol):
    """A front end that finds the features of two images that are most alike, matches or not.

    Where an image's pose is about known, the right ones among them are those that are where they
    should be.
    """

    def known_points(self, description: Description) -> NDArray[np.float32]:
        """(N, 3) points in the camera's frame [m], of the features that have one."""
        ...

    def most_alike(
        self, reference: Description, query: Description, part: float
    ) -> Correspondences:
        """The most alike of all pairs of features.

        Args:
            reference: of a keyframe; features without a point are left out.
            query: of an image.
            part: of all pairs, about so many are returned.

        Returns:
            Pairs, each feature in as many as it may be; `confidence` is how much alike they are.
        """
        ...


Depths = NDArray[np.float64]
"""(2, N) depth along each ray of a description [m] and its standard deviation [m]; NaN unknown."""


@runtime_checkable
class Triangulates(Protocol):
    """A front end whose keyframes without depth get points from neighbors with known poses.

    The depths of a description are those of N rays, through pixels that do not change.
    """

    @property
    def uses_triangulation(self) -> bool:
        """Whether points by triangulation would be of use, as it runs now."""
        ...

    def match_errors(self, size: ImageSize) -> tuple[float, float]:
        """Standard deviation of a matched pixel, and the most that its match may be off its line.

        Args:
            size: of the original image.
        """
        ...

    def ray_pixels(self, description: Description) -> NDArray[np.float64]:
        """(N, 2) pixels of the original image that the rays go through."""
        ...

    def known_depths(self, description: Description) -> list[Depths]:
        """What is known of the rays' depths before another neighbor is matched."""
        ...

    def with_depths(
        self,
        description: Description,
        camera: Camera,
        depth: NDArray[np.float64],
        relative_sigma: NDArray[np.float64],
    ) -> Description:
        """The description with points at depths (N,) [m] of relative deviations (N,).

        Args:
            description: the image's.
            camera: its camera.
            depth: along the optical axis, NaN where unknown, as its deviation.
        """
        ...

    def matched_rays(
        self, one: Description, other: Description, lines: NDArray[np.float64]
    ) -> list[NDArray[np.int64]]:
        """Numbers (M, 2) of rays of two images that meet: a list of matches, the surest last.

        Args:
            one, other: of the two images.
            lines: (N, 3) a line (a, b, c) of the other image for each ray of the one, a u + b v +
                c = 0 in pixels with a^2 + b^2 = 1. Matches may be looked for along them.
        """
        ...


def triangulates(front_end: FrontEnd) -> TypeGuard[Triangulates]:
    """Whether keyframes without depth get points from their neighbors."""
    return isinstance(front_end, Triangulates) and front_end.uses_triangulation


@runtime_checkable
class HasLocalFeatures(Protocol):
    """A front end whose descriptions hold a vector for each of many places of an image."""

    def local_features(self, description: Description) -> NDArray[np.floating[Any]]:
        """(N, D), by which images can be told to show the same things (`WordIndex`)."""
        ...


@runtime_checkable
class MatchesDensely(Protocol):
    """A front end that can match every pixel, at a price: for surfaces, not for poses."""

    def densely(self) -> FrontEnd:
        """The same front end, on the same descriptions, with as many matches as it can find."""
        ...


def densely(front_end: FrontEnd) -> FrontEnd:
    """The front end that finds the most matches: itself, where it knows no denser ones."""
    return front_end.densely() if isinstance(front_end, MatchesDensely) else front_end
