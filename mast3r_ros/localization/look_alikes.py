# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keyframes elsewhere that look like those a pose rests on: what else could have been seen.

Retrieval fills all places with keyframes of one room where two look alike, and nothing contradicts
then. The map itself knows better: the keyframes that hold the pose have look-alikes elsewhere. Both
are asked, the image and the keyframes that hold its pose, since an image is often less like the
keyframe of the same view in the other room than that keyframe is like its own twin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.base import Description
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.overlap import shares_view
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.other_sides import other_sides
from mast3r_ros.localization.result import KeyframeMatch
from mast3r_ros.localization.view import MatchedView

# A keyframe looks as much like an image as another one up to this factor and this difference of
# 1 - cos of their descriptors, which is some 0.05 for the right keyframe and 0.1 for any other.
_AS_ALIKE = 1.5
_ALIKE = 0.03
# Keyframes that hold at least this part of the most inliers are asked for their look-alikes.
_HOLDS = 0.5
# Two cameras see a thing from the same side where one is less than this part of its distance aside
# of the other, and turned by less [rad]: features change little then.
_SAME_SIDE, _SAME_WAY = 0.2, np.deg2rad(15.0)
# One may be so many times nearer to it. On rendered cabinets without a tell-tale (xfeat, even
# scenes of seed 0), likelihood ratios of both sides are 16 at the most up to 1.4, but 81 with 1.6.
_NEARER = 1.3
# Keyframes that an image is matched with to say that it is not at a place: one may be blurred, or
# half hidden.
_FACING = 3
# Keyframes that are asked for at a time, and in all: beside a pose there may be many.
_FIRST, _MOST = 32, 512


def unlikeness(one: Description, other: Description) -> float:
    """1 - cos of the angle between two global descriptors."""
    return 1.0 - float(one.global_descriptor @ other.global_descriptor)


def look_alikes(
    keyframes: KeyframeMap,
    query: Description,
    pose: Pose,
    matches: Sequence[KeyframeMatch],
    count: int,
    sure: bool,
) -> list[Keyframe]:
    """Keyframes elsewhere that were not matched and look as much alike as those that were.

    Args:
        keyframes: the map.
        query: of the image.
        pose: map <- camera of the image.
        matches: its matches with keyframes, most inliers first.
        count: at most so many keyframes.
        sure: the pose has many inliers; otherwise, keyframes elsewhere need not look as much alike.

    Returns:
        Up to half of them from `other_sides`, the others by their looks as a whole; of each, the
        most alike first.
    """
    matched = {m.keyframe_id for m in matches}
    if len(matched) == len(keyframes):
        return []
    most = matches[0].inliers.sum()
    holding = [m for m in matches if m.inliers.sum() >= max(_HOLDS * most, 1)]
    distance = _distance_from_camera(holding)
    held = [keyframes[m.keyframe_id].description for m in holding]
    bound = _AS_ALIKE * min(unlikeness(query, d) for d in held) + _ALIKE if sure else np.inf
    found: dict[int, tuple[float, Keyframe]] = {}
    for look in (query, *held):
        for unlike, keyframe in _nearest(keyframes, look, bound):
            best = found.get(keyframe.id, (np.inf, keyframe))[0]
            if keyframe.id not in matched and not shares_view(pose, keyframe.pose, distance):
                found[keyframe.id] = (min(best, unlike), keyframe)
    as_a_whole = [k for _, k in sorted(found.values(), key=lambda pair: pair[0])]
    across = other_sides(keyframes, query, pose, holding, matched, sure)
    both = across[: (count + 1) // 2] + as_a_whole
    return list({k.id: k for k in both}.values())[:count]


def counterparts(
    keyframes: KeyframeMap, one: Pose, other: Pose, matched: Sequence[Keyframe], distance: float
) -> list[Keyframe]:
    """Keyframes that see from one of two poses what matched ones see from the other.

    Of two places that look alike, the one whose keyframes stand nearer to the image matches better
    everywhere. The two can be compared only where both are seen from the same sides.

    Args:
        keyframes: the map.
        one, other: map <- camera: two poses of an image.
        matched: keyframes that the image was matched with.
        distance: of what it sees [m].

    Returns:
        Those that are not matched yet.
    """
    known, found = {k.id for k in matched}, list[int]()
    reach = float(np.hypot(_SAME_SIDE, _NEARER - 1.0)) * distance
    for here, there in ((one, other), (other, one)):
        moved = there @ transforms.inverse(here)
        for keyframe in matched:
            if not shares_view(here, keyframe.pose, distance):
                continue
            expected = moved @ keyframe.pose
            ids, poses = keyframes.near(expected[:3, 3], reach)
            beside = [i for i, pose in enumerate(poses) if same_side(expected, pose, distance)]
            if beside:
                nearest = min(beside, key=lambda i: transforms.distance(expected, poses[i]))
                found.append(int(ids[nearest]))
    return [keyframes[i] for i in dict.fromkeys(found) if i not in known]


def facing(
    keyframes: KeyframeMap, places: Sequence[Pose], views: Sequence[MatchedView], distance: float
) -> list[list[Keyframe]] | None:
    """Keyframes that look at what images would show, were they taken at some places.

    Args:
        keyframes: the map.
        places: map <- body of each.
        views: the images.
        distance: of what they see [m].

    Returns:
        Those of each view that it was not matched with yet, for each place the few nearest ones;
        None where there is no place, or one that no keyframe faces.
    """
    found: list[dict[int, Keyframe]] = [{} for _ in views]
    for place in places:
        seen = [_beside(keyframes, place @ view.body_camera, distance) for view in views]
        if not any(seen):
            return None
        for of_view, beside in zip(found, seen, strict=True):
            of_view.update({k.id: k for k in beside})
    if not places:
        return None
    return [
        [k for k in of_view.values() if k.id not in {known.id for known in view.keyframes}]
        for view, of_view in zip(views, found, strict=True)
    ]


def _beside(keyframes: KeyframeMap, pose: Pose, distance: float) -> list[Keyframe]:
    """The few keyframes nearest to a camera's pose that look at what it would see."""
    ids, poses = keyframes.near(pose[:3, 3], distance)
    beside = [i for i, other in enumerate(poses) if shares_view(pose, other, distance)]
    beside.sort(key=lambda i: transforms.distance(pose, poses[i]))
    return [keyframes[int(ids[i])] for i in beside[:_FACING]]


def pair_sides(
    ones: Sequence[Pose], others: Sequence[Pose], distance: float
) -> tuple[list[int], list[int]]:
    """Numbers of cameras of two sets that see a thing from the same side, each other's nearest."""
    if not ones or not others:
        return [], []
    apart = np.array([[transforms.distance(one, other) for other in others] for one in ones])
    pairs = [
        (i, int(j))
        for i, j in enumerate(apart.argmin(1))
        if apart[:, j].argmin() == i and same_side(ones[i], others[j], distance)
    ]
    return [i for i, _ in pairs], [j for _, j in pairs]


def same_side(one: Pose, other: Pose, distance: float) -> bool:
    """Whether two cameras see a thing at a distance [m] from nearly the same side."""
    aside_x, aside_y, ahead = one[:3, :3].T @ (other[:3, 3] - one[:3, 3])
    beside = np.hypot(aside_x, aside_y) < _SAME_SIDE * distance
    as_near = 1.0 / _NEARER < 1.0 - ahead / max(distance, 1e-9) < _NEARER
    return bool(beside and as_near) and transforms.rotation_angle(one, other) < _SAME_WAY


def _nearest(
    keyframes: KeyframeMap, look: Description, bound: float
) -> Iterator[tuple[float, Keyframe]]:
    """Keyframes that look alike up to a bound, with how much they do."""
    done, count = 0, _FIRST
    while done < min(len(keyframes), _MOST):
        for alike, keyframe in keyframes.alike(look, count)[done:]:
            if 1.0 - alike > bound:
                return
            yield 1.0 - alike, keyframe
        done, count = count, 4 * count


def distance_from_keyframes(matches: Sequence[KeyframeMatch]) -> float:
    """Median distance of the inliers' points from their keyframes [m]; 0 where none is known."""
    return _median_length([m.correspondences.reference_points[m.inliers] for m in matches])


def _distance_from_camera(matches: Sequence[KeyframeMatch]) -> float:
    """The same from the camera of the image, by the matches that have a pose."""
    return _median_length(
        [
            transforms.apply(
                transforms.inverse(m.pose), m.correspondences.reference_points[m.inliers]
            )
            for m in matches
            if m.pose is not None
        ]
    )


def _median_length(vectors: Sequence[NDArray[np.floating]]) -> float:
    """Median length of (N, 3) vectors, 0 where none is known."""
    lengths = np.linalg.norm(np.concatenate(vectors), axis=1)
    known = lengths[np.isfinite(lengths)]
    return float(np.median(known)) if len(known) else 0.0
