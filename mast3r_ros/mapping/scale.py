# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Meters of a model that images alone leave without any: from depth, a distance, or a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.features import correspondences
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping.colmap_model import model_pose, observations, registered
from mast3r_ros.mapping.extra import MappingError
from mast3r_ros.mapping.options import RefineOptions
from mast3r_ros.mapping.pairs import MatchedPair, feature_description
from mast3r_ros.mapping.refinement import refine
from mast3r_ros.mapping.sightings import SeenPair, thinned
from mast3r_ros.matching.correspondences import Correspondences

# Fewer points or images with depth say nothing of the meters.
_MIN_DEPTHS, MIN_IMAGES = 10, 3
# What a sensor's depth is wrong by as a whole: 1.4 % against the device's tracking in the office,
# 3.5 % corrected by the makers of another recording (Sturm et al., IROS 2012).
SENSOR_SCALE = 0.015
# A model's poses bend and its scale is off, so they hardly hold back what depth says [m, degrees].
_FITTED = RefineOptions(position_sigma=0.2, rotation_sigma=2.0)
# A model fits its depth if its poses keep their size up to this factor: the median over points is
# some percent off. Of 100 images of two rendered rooms, one of which looks the same from two sides,
# a part of the model was seven times too small for its depth.
_FITS = 1.25
# Normal deviations of a median absolute deviation.
_MAD = 1.4826
# Meters that are known less well do not do for navigation.
_SURE = 0.03
_UNSURE = " only: UNSURE, measure a distance and give --scale-from A B METERS"


@dataclass(frozen=True)
class Scale:
    """Meters of a model.

    Attributes:
        meters: of one unit.
        sigma: relative standard deviation; 0 where the distance was given.
        source: where they come from, for people.
    """

    meters: float
    sigma: float
    source: str

    def __str__(self) -> str:
        sure = f", known to {self.sigma:.2%}" if self.sigma else ""
        return f"meters from {self.source}{sure}{'' if self.sure else _UNSURE}"

    @property
    def sure(self) -> bool:
        """Whether a robot may rely on the meters."""
        return self.sigma <= _SURE


def check_meters(
    keyframes: KeyframeMap,
    ids: Mapping[str, int],
    scale_from: tuple[str, str, float] | None,
    predicted: bool = False,
) -> None:
    """Raise MappingError where nothing can give a map its meters, before the work is done.

    Args:
        keyframes: as `describe` added them.
        ids: of the keyframes, by the images' names.
        scale_from: names of two images and the distance between their cameras [m].
        predicted: a network's points give the scale where there is neither depth nor a distance.
    """
    if scale_from is None:
        if not predicted and not has_depth(keyframes):
            raise MappingError(
                "the images have no depth: give the meters by --scale-from A B METERS, two images "
                "and the distance between their cameras, or let --dense guess them"
            )
        return
    one, other, meters = scale_from
    for name in (one, other):
        if name not in ids:
            raise MappingError(f"no image {name}: they are called {', '.join([*ids][:3])}, ...")
    if one == other or not 0 < meters < np.inf:
        raise MappingError(
            f"--scale-from {one} {other} {meters:g}: give two images and a positive distance"
        )


def has_depth(keyframes: KeyframeMap) -> bool:
    """Whether enough keyframes have a sensor's depth to give a map its meters."""
    return sum(k.sensed for k in keyframes) >= MIN_IMAGES


def scale_from_depth(model: Any, keyframes: KeyframeMap) -> Scale:
    """Meters from the depth that a sensor gave the keyframes: the median over all points.

    The deviation is that of the images' medians; what all depth is wrong by does not show in it.

    Raises:
        MappingError: too few points of the model have depth.
    """
    ratios = []
    for keyframe, image in registered(model, keyframes):
        seen = observations(model, image)
        depth = feature_description(keyframe.description).points[seen.keypoint, 2]
        known = np.isfinite(depth) & keyframe.sensed
        if known.sum() >= _MIN_DEPTHS:
            ratios.append(depth[known] / seen.depth[known])
    if len(ratios) < MIN_IMAGES:
        raise MappingError(
            f"{len(ratios)} images of the model have depth at its points, {MIN_IMAGES} needed for "
            "meters: give --scale-from A B METERS"
        )
    together = np.concatenate(ratios)
    meters = float(np.median(together))
    apart = np.abs([np.median(of_image) / meters - 1.0 for of_image in ratios])
    return Scale(
        meters,
        float(_MAD * np.median(apart) / np.sqrt(len(ratios))),
        f"depth at {len(together)} points of {len(ratios)} images",
    )


def scale_fitted_to_depth(
    keyframes: KeyframeMap, described: KeyframeMap, matches: Iterable[MatchedPair], scale: Scale
) -> Scale:
    """The scale at which depth fits how the images move, in place of the median over points.

    A model's points that few or near images see lie too near or too far, and with them the median
    of `scale_from_depth`: how depth moves across images, over all pairs, is what binds the scale.
    The adjusted poses themselves are not kept: an error of the depth's registration turns them,
    3 degrees in the office, where the model's are 0.7 degrees from the truth.

    Args:
        keyframes: of `posed`.
        described: those that the matches are numbered by.
        matches: verified.
        scale: of `scale_from_depth`.

    Raises:
        MappingError: the model and its depth do not fit: its poses are wrong.
    """
    at = {k.id: i for i, k in enumerate(keyframes)}
    every = list(described)
    seen = [
        SeenPair(
            at[every[pair.one].id],
            at[every[pair.other].id],
            *_both_ways(every[pair.one], every[pair.other], thinned(pair.rows)),
        )
        for pair in matches
        if every[pair.one].id in at and every[pair.other].id in at
    ]
    before = np.array([k.pose[:3, 3] for k in keyframes])
    fitted = refine(keyframes, seen, _FITTED).keyframes
    after = np.array([k.pose[:3, 3] for k in fitted])
    factor = float(np.linalg.norm(after - after.mean(0)) / np.linalg.norm(before - before.mean(0)))
    if not 1.0 / _FITS < factor < _FITS:
        raise MappingError(
            f"the model is bent: adjusted to the depth of its images, its size changes by a factor "
            f"of {factor:.2f}; take images that overlap more, from places that are farther apart"
        )
    sigma = float(np.hypot(scale.sigma, SENSOR_SCALE))
    return replace(scale, meters=scale.meters * factor, sigma=sigma)


def _both_ways(
    one: Keyframe, other: Keyframe, rows: NDArray[np.int64]
) -> tuple[Correspondences, Correspondences]:
    """A pair's matches, each keyframe once as the reference."""
    first, second = (feature_description(k.description) for k in (one, other))
    sure = np.ones(len(rows), np.float32)
    return (
        correspondences(first, second, rows, sure),
        correspondences(second, first, rows[:, ::-1], sure),
    )


def scale_from_distance(
    model: Any, keyframes: KeyframeMap, ids: Mapping[str, int], one: str, other: str, meters: float
) -> Scale:
    """Meters from the distance between the cameras of two images, given by their names.

    Raises:
        MappingError: an image is not in the model.
    """
    poses = {k.id: model_pose(image) for k, image in registered(model, keyframes)}
    for name in (one, other):
        if ids[name] not in poses:
            raise MappingError(
                f"image {name} could not be registered: give --scale-from two other images"
            )
    distance = transforms.distance(poses[ids[one]], poses[ids[other]])
    return Scale(meters / distance, 0.0, f"the distance between {one} and {other}")


def scale_from_network(meters: Sequence[tuple[float, float]]) -> Scale:
    """Meters by points that a network predicted, of many pairs of images.

    What all its predictions are wrong by does not show in how they differ: the deviation that the
    front end states for a point holds for the scale, too.

    Args:
        meters: of the model's unit, and the stated deviation, by each pair; see `DensePoints`.

    Raises:
        MappingError: there are too few.
    """
    if len(meters) < MIN_IMAGES:
        raise MappingError(
            f"points were predicted for {len(meters)} images, {MIN_IMAGES} needed for meters: "
            "give --scale-from A B METERS"
        )
    figures, stated = np.array(meters).T
    middle = float(np.median(figures))
    apart = np.abs(figures / middle - 1.0)
    random = _MAD * np.median(apart) / np.sqrt(len(figures))
    return Scale(
        middle,
        float(np.hypot(random, np.median(stated))),
        f"points that a network predicted for {len(figures)} pairs of images",
    )
