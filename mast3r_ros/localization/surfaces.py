# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Does the map have, at another place, the surfaces that an image sees?

A wallpaper or a tiled floor looks alike at many places, and each of them explains a part of an
image. Features can be compared only where keyframes see both places from the same sides; shapes can
be compared from any side. Where only one of two poses explains matches, their points are moved to
the other place. There, keyframes have seen a surface as far away, or they have seen through the
point, or a surface hides it: then the image was not taken there. Rooms that are alike have the same
shape, and are never distinguished by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.overlap import seen_from
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.ambiguity import CELLS, Explanation, cells_of

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Surfaces are compared with what lies within this part of the image's width, the nearest few.
_BESIDE, _NEIGHBORS = 0.03, 5
# Depths differ where they do so by more than this part, this distance [m], which poses of keyframes
# and the other pose may be off by, and so many deviations of the points.
_PART, _DISTANCE, _DEVIATIONS = 0.15, 0.2, 3.0
# Part of the cells that contradict the right pose (things that were moved, edges of depth), and a
# wrong one.
_BY_CHANCE, _ELSEWHERE = 0.1, 0.5
# What a cell that contradicts a pose says against it, and one that does not.
_DIFFERS = float(np.log(_ELSEWHERE / _BY_CHANCE))
_ALIKE = float(np.log((1.0 - _ELSEWHERE) / (1.0 - _BY_CHANCE)))
# What is needed, a log-likelihood ratio. For wrong poses against the right one in rendered twin
# rooms, mapped from the same places or from others (`xfeat`, seed 0, some 190 comparisons), it was
# above 5 four times, 11.3 at the most; with seed 1, not used for the limit, below 1 in 66.
_MIN_EVIDENCE = 15.0


@dataclass(frozen=True)
class Surfaces:
    """What the matched keyframes know of a map's shape.

    Attributes:
        points: (S, 3) in the map [m].
        sigmas: (S,) relative standard deviation of their depth.
        owners: (S,) number of the keyframe that knows each.
        views: (map <- camera, camera) of the keyframes, by number.
    """

    points: Array
    sigmas: Array
    owners: NDArray[np.int64]
    views: Sequence[tuple[Pose, Camera | None]]


def lacks_surfaces(right: Explanation, other: Explanation, known: Surfaces, camera: Camera) -> bool:
    """Whether a place has not the shape that the image shows, if another pose is to be believed.

    Args:
        right: the pose that is to be believed, with all its matches.
        other: a pose elsewhere that explains many matches too.
        known: the shape of the map at both places.
        camera: of the image.
    """
    size = (camera.width, camera.height)
    cells = cells_of(right.pixels[_alone(right, other, size)], size)
    if len(np.unique(cells)) * _DIFFERS < _MIN_EVIDENCE:
        return False  # too few, whatever they show
    evidence = _evidence(right, other, known, camera)
    if evidence < _MIN_EVIDENCE:
        return False
    # A place of the same shape may be the right one, but does not speak against another.
    against_right = max(_evidence(other, right, known, camera), 0.0)
    return evidence - against_right >= _MIN_EVIDENCE


def _alone(one: Explanation, other: Explanation, size: tuple[int, int]) -> Mask:
    """(N,) which matches of a pose know their point and lie where the other explains nothing."""
    elsewhere = np.isin(cells_of(one.pixels, size), cells_of(other.near, size))
    return np.asarray(~elsewhere & np.isfinite(one.points).all(1))


def _evidence(one: Explanation, other: Explanation, known: Surfaces, camera: Camera) -> float:
    """What the cells that only one pose explains say against the other: a log-likelihood ratio."""
    size = (camera.width, camera.height)
    alone = _alone(one, other, size)
    if not alone.any():
        return 0.0
    moved = transforms.apply(other.pose @ transforms.inverse(one.pose), one.points[alone])
    agree, contradict = _compare(moved, one.sigmas[alone], other.pose, known, camera)
    cell = cells_of(one.pixels[alone], size)
    hits = np.bincount(cell, agree, minlength=CELLS)
    misses = np.bincount(cell, contradict & ~agree, minlength=CELLS)
    differing = int((misses > hits).sum())
    alike = int((hits >= np.maximum(misses, 1)).sum())
    return differing * _DIFFERS + alike * _ALIKE


def _compare(
    points: Array, sigmas: Array, pose: Pose, known: Surfaces, camera: Camera
) -> tuple[Mask, Mask]:
    """(N,) which points lie on a surface of the map, and which ones it contradicts.

    Args:
        points: (N, 3) in the map [m], where they would be if `pose` were right.
        sigmas: (N,) relative standard deviation of their depth.
        pose: map <- camera of the image.
        known: of the map.
        camera: of the image.
    """
    # Surfaces before a point hide it from the image's camera.
    on, hidden, _ = _against(points, sigmas, known.points, known.sigmas, pose, camera)
    contradicted = hidden
    for number, (keyframe, its_camera) in enumerate(known.views):
        own = known.owners == number
        if its_camera is None or not own.any():
            continue
        also_on, _, seen_through = _against(
            points, sigmas, known.points[own], known.sigmas[own], keyframe, its_camera
        )
        on |= also_on
        contradicted |= seen_through
    return on, contradicted


def _against(
    points: Array,
    sigmas: Array,
    surfaces: Array,
    surface_sigmas: Array,
    pose: Pose,
    camera: Camera,
) -> tuple[Mask, Mask, Mask]:
    """(N,) which points a camera sees on a surface, behind one, and before all of them."""
    pixels, depths, inside = seen_from(pose, camera, points)
    on_pixels, on_depths, there = seen_from(pose, camera, surfaces)
    none = np.zeros(len(points), bool)
    if not inside.any() or not there.any():
        return none, none.copy(), none.copy()
    beside = _BESIDE * camera.width
    nearest = KDTree(on_pixels[there]).query(
        pixels[inside], np.arange(1, _NEIGHBORS + 1), distance_upper_bound=beside
    )[1]
    gaps = np.append(on_depths[there], np.nan)[nearest] - depths[inside, None]
    deviations = np.hypot(np.append(surface_sigmas[there], 0.0)[nearest], sigmas[inside, None])
    part = np.maximum(_PART, _DEVIATIONS * deviations) * depths[inside, None]
    limits = np.maximum(part, _DISTANCE)
    with np.errstate(invalid="ignore"):
        on, nearer, farther = np.abs(gaps) <= limits, gaps < -limits, gaps > limits
    found = (on.any(1), nearer.any(1), farther.any(1) & ~on.any(1) & ~nearer.any(1))
    outcome = [none.copy() for _ in found]
    for whole, part_of in zip(outcome, found, strict=True):
        whole[inside] = part_of
    return outcome[0], outcome[1], outcome[2]
