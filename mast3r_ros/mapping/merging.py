# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Another session's map in the frame of a first one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization
from mast3r_ros.mapping.edit import transform
from mast3r_ros.mapping.extra import MappingError
from mast3r_ros.mapping.options import RefineOptions
from mast3r_ros.mapping.refinement import Refinement

# Keyframes that agree on where the other map lies: one or two may be wrong alike by chance.
_FEWEST = 3
# Most of those that are localized must agree, or two places look alike.
_AGREEING = 0.6
# Poses of one alignment are no further apart than a right pose is from the truth [m, rad].
_SAME_POSITION, _SAME_ROTATION = 0.25, np.deg2rad(5.0)
# Pairs of keyframes of both maps that contradict the merged poses, at the most.
_CONTRADICTING = 0.3
_ROUNDS = 5
# Median length of a vector of three normal errors, in their standard deviation.
_MEDIAN_LENGTH = 1.538


@dataclass(frozen=True)
class Alignment:
    """Where another map lies in the first one.

    Attributes:
        pose: first map <- other map, (4, 4).
        keyframes, localized, agreeing: of the other map, how many there are, how many were
            localized in the first map, and how many of these agree with `pose`.
        position_m, rotation_rad: medians of how far the agreeing ones are from it.
    """

    pose: Pose
    keyframes: int
    localized: int
    agreeing: int
    position_m: float
    rotation_rad: float

    def as_dict(self) -> dict[str, Any]:
        """The figures, fit for JSON."""
        return {
            "keyframes": self.keyframes,
            "localized": self.localized,
            "agreeing": self.agreeing,
            "residual_median_m": self.position_m,
            "residual_median_deg": float(np.rad2deg(self.rotation_rad)),
            "first_other": self.pose.tolist(),
        }


def localize_keyframes(
    first: KeyframeMap, other: KeyframeMap, options: RelocalizerOptions | None = None
) -> Iterator[tuple[Pose, Localization]]:
    """Localize each keyframe of another map that has a camera in the first map.

    Yields:
        The keyframe's pose in the other map, and the answer without its matches.

    Raises:
        MappingError: the maps are not of one front end.
    """
    one, two = first.front_end, other.front_end
    if (one.name, one.fingerprint) != (two.name, two.fingerprint):
        raise MappingError(
            f"the maps are of front ends '{one.name}' ({one.fingerprint}) and '{two.name}' "
            f"({two.fingerprint}): build one of them again with the other's front end"
        )
    relocalizer = Relocalizer(first, options)
    for keyframe in other:
        if keyframe.camera is not None:
            answer = relocalizer.localize_description(keyframe.description, keyframe.camera)
            yield keyframe.pose, replace(answer, matches=())


def align_maps(found: Iterable[tuple[Pose, Localization]]) -> Alignment:
    """The alignment that most localized keyframes of the other map agree on.

    Args:
        found: poses of keyframes in the other map, and where they are in the first.

    Raises:
        MappingError: too few were localized, or they do not agree: the maps share no place, or
            several that look alike.
    """
    every = list(found)
    known = [(pose, answer) for pose, answer in every if answer.pose is not None]
    if len(known) < _FEWEST:
        raise MappingError(
            f"no overlap: {len(known)} of {len(every)} keyframes of the other map are localized in "
            f"the first, {_FEWEST} needed; map the way between the two, or more densely where they "
            "meet"
        )
    poses = [answer.pose for _, answer in known if answer.pose is not None]
    others = [other for other, _ in known]
    tries = [pose @ transforms.inverse(k) for pose, k in zip(poses, others, strict=True)]
    agreement = [_agree(t, poses, others) for t in tries]
    best = int(np.argmax([a.sum() for a in agreement]))
    agreeing = agreement[best]
    if agreeing.sum() < max(_FEWEST, _AGREEING * len(known)):
        raise MappingError(
            f"the maps do not fit together: {len(known)} of {len(every)} keyframes of the other "
            f"map are localized in the first, but only {agreeing.sum()} of them agree on where it "
            "lies; places that look alike may be taken for each other, or one map is bent: refine "
            "it"
        )
    pose = tries[best]
    for _ in range(_ROUNDS):
        pose = _averaged(pose, [known[i] for i in np.flatnonzero(agreeing)])
        agreeing = _agree(pose, poses, others)
    apart = [
        (transforms.distance(pose @ k, p), transforms.rotation_angle(pose @ k, p))
        for k, p, agrees in zip(others, poses, agreeing, strict=True)
        if agrees
    ]
    position, rotation = np.median(np.array(apart), axis=0)
    return Alignment(
        pose, len(every), len(known), int(agreeing.sum()), float(position), float(rotation)
    )


def _agree(first_other: Pose, poses: Sequence[Pose], others: Sequence[Pose]) -> Any:
    """(N,) which keyframes stand where an alignment puts them."""
    return np.array(
        [
            transforms.distance(first_other @ k, pose) < _SAME_POSITION
            and transforms.rotation_angle(first_other @ k, pose) < _SAME_ROTATION
            for k, pose in zip(others, poses, strict=True)
        ]
    )


def _averaged(first_other: Pose, known: Sequence[tuple[Pose, Localization]]) -> Pose:
    """The alignment moved to the mean of its keyframes' poses, weighed by their covariances."""
    information, gradient = np.zeros((6, 6)), np.zeros(6)
    for other, answer in known:
        assert answer.pose is not None
        assert answer.covariance is not None
        placed = first_other @ other
        error = transforms.difference(answer.pose, placed)
        # How the keyframe moves with the map it belongs to, turned about the first map's origin.
        by_map = np.eye(6)
        by_map[:3, 3:] = -transforms.skew(placed[:3, 3])
        weight = np.linalg.inv(answer.covariance)
        information += by_map.T @ weight @ by_map
        gradient += by_map.T @ weight @ error
    delta = np.linalg.solve(information, gradient)
    turn = transforms.make(transforms.rotation_from_vector(delta[3:]), delta[:3])
    return np.asarray(turn @ first_other)


def refining_together(alignment: Alignment, options: RefineOptions) -> RefineOptions:
    """How the keyframes of two aligned maps are adjusted: they move no further than they disagree.

    Each map was made with care of its own, so that merging must not bend it. What calibration and
    depth have wrong about all keyframes bends a map whose poses are let loose (`map refine`); how
    far the poses of both maps are from agreeing, their alignment shows.

    Args:
        alignment: of the maps.
        options: the stated deviations of given poses, which are not exceeded. Nor are the poses
            taken to be better known than the relocalizer takes those of any map to be.
    """
    shown = alignment.position_m / _MEDIAN_LENGTH, alignment.rotation_rad / _MEDIAN_LENGTH
    position = max(shown[0], RelocalizerOptions.keyframe_position_sigma)
    rotation = np.rad2deg(max(shown[1], RelocalizerOptions.keyframe_rotation_sigma))
    return replace(
        options,
        position_sigma=min(position, options.position_sigma),
        rotation_sigma=min(float(rotation), options.rotation_sigma),
    )


def joined(first: KeyframeMap, other: KeyframeMap, first_other: Pose) -> KeyframeMap:
    """The keyframes of both maps in the frame of the first; the other's get new ids.

    Args:
        first_other: first map <- other map.
    """
    moved = transform(other, first_other)
    renamed = (k.renamed(first.next_id + i) for i, k in enumerate(moved))
    return first.derive(itertools.chain(first, renamed))


def check_merged(refined: Refinement, first: KeyframeMap) -> None:
    """Raise MappingError where matches between the two maps contradict their merged poses."""
    border = first.next_id

    def crossing(pairs: Iterable[tuple[int, int]]) -> int:
        return sum((a < border) != (b < border) for a, b in pairs)

    bad, good = crossing(refined.contradicting), crossing(refined.agreeing)
    if good < _FEWEST or bad > _CONTRADICTING * (good + bad):
        raise MappingError(
            f"the maps do not fit together: of {good + bad} pairs of keyframes of both maps that "
            f"match, {bad} contradict the merged poses; places that look alike may be taken for "
            "each other"
        )
