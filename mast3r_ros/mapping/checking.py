# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where will this robot get lost? Each keyframe is localized in its map without itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.base import Description
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.joint_pose import Matches, agreeing
from mast3r_ros.geometry.overlap import shares_view
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.retrieval import PosePrior
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization, Reason
from mast3r_ros.mapping.extra import MappingError
from mast3r_ros.mapping.sightings import epipolar_inliers
from mast3r_ros.matching.correspondences import Correspondences

# Beyond these a pose is wrong [m, rad].
_WRONG_POSITION, _WRONG_ROTATION = 0.25, np.deg2rad(5.0)
# Keyframes that look most alike are asked whether they could be taken for one another.
_ALIKE = 10
# Of matches of one place, so many agree with the keyframes' poses, as far as a map's poses are
# exact: 20 pixels are some 2 degrees.
_ALLOWED_PX, _AGREEING = 20.0, 0.3
# How far a camera sees where no depth says so [m].
_VIEW_DISTANCE = 3.0


@dataclass(frozen=True)
class Place:
    """What a keyframe's own map says of its image.

    Attributes:
        keyframe_id: which one.
        pose: where it is, map <- camera.
        answer: of the relocalizer, the keyframe left out.
        position_m, rotation_rad: errors of the answer; infinite where there is none.
        neighbors: how many other keyframes stand beside it and look the same way.
        rivals: ids of keyframes that show another place, and how many of their matches with this
            image agree on an epipolar geometry all the same: enough to be taken for it.
    """

    keyframe_id: int
    pose: Pose
    answer: Localization
    position_m: float
    rotation_rad: float
    neighbors: int
    rivals: dict[int, int]

    @property
    def wrong(self) -> bool:
        """Whether the pose was accepted and is another one."""
        return self.answer.pose is not None and not same_place(self.answer.pose, self.pose)

    @property
    def strength(self) -> float:
        """How far from being lost: 0 where there is no right pose, else the confidence."""
        return self.answer.confidence if self.answer.localized and not self.wrong else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The figures, fit for JSON."""
        found = self.answer.localized
        return {
            "id": self.keyframe_id,
            "position": self.pose[:3, 3].tolist(),
            "reason": self.answer.reason.name,
            "strength": self.strength,
            "error_m": self.position_m if found else None,
            "error_deg": float(np.rad2deg(self.rotation_rad)) if found else None,
            "inliers": self.answer.inliers,
            "neighbors": self.neighbors,
            "rivals": {str(i): count for i, count in self.rivals.items()},
        }


def same_place(pose: Pose, truth: Pose) -> bool:
    """Whether a pose is right within 25 cm and 5 degrees."""
    return bool(
        transforms.distance(pose, truth) <= _WRONG_POSITION
        and transforms.rotation_angle(pose, truth) <= _WRONG_ROTATION
    )


class _WithoutOne(KeyframeMap):
    """A map in which one keyframe after the other is left out."""

    def __init__(self, whole: KeyframeMap) -> None:
        super().__init__(whole.front_end)
        self.whole = whole
        self.hidden: int | None = None

    def __len__(self) -> int:
        return len(self.whole) - 1

    def __iter__(self) -> Iterator[Keyframe]:
        return (keyframe for keyframe in self.whole if keyframe.id != self.hidden)

    def __getitem__(self, keyframe_id: int) -> Keyframe:
        return self.whole[keyframe_id]

    def near(
        self, center: NDArray[np.float64], radius: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        ids, poses = self.whole.near(center, radius)
        shown = ids != self.hidden
        return ids[shown], poses[shown]

    def alike(self, description: Description, k: int) -> list[tuple[float, Keyframe]]:
        found = self.whole.alike(description, k + 1)
        return [(score, other) for score, other in found if other.id != self.hidden][:k]

    def by_words(self, description: Description, k: int) -> list[tuple[float, Keyframe]]:
        found = self.whole.by_words(description, k + 1)
        return [(score, other) for score, other in found if other.id != self.hidden][:k]

    def nearest(
        self, description: Description, k: int, prior: PosePrior | None = None
    ) -> list[Keyframe]:
        found = self.whole.nearest(description, k + 1, prior)
        return [keyframe for keyframe in found if keyframe.id != self.hidden][:k]


def check(keyframes: KeyframeMap, options: RelocalizerOptions | None = None) -> Iterator[Place]:
    """Localize each keyframe in the map without itself.

    Points that were triangulated with the help of a keyframe stay: without depth, answers look a
    little better than they are.

    Raises:
        MappingError: there are fewer than two keyframes.
    """
    if len(keyframes) < 2:
        raise MappingError(f"{len(keyframes)} keyframes: a check leaves one out, two are needed")
    rest = _WithoutOne(keyframes)
    relocalizer = Relocalizer(rest, options)
    for keyframe in keyframes:
        if keyframe.camera is None:
            continue
        rest.hidden = keyframe.id
        answer = relocalizer.localize_description(keyframe.description, keyframe.camera)
        errors = (np.inf, np.inf)
        if answer.pose is not None:
            errors = (
                transforms.distance(answer.pose, keyframe.pose),
                transforms.rotation_angle(answer.pose, keyframe.pose),
            )
        reach = _reach(keyframe)
        beside = [
            int(other)
            for other, pose in zip(keyframes.ids, keyframes.poses, strict=True)
            if other != keyframe.id and shares_view(keyframe.pose, pose, reach)
        ]
        yield Place(
            keyframe.id,
            keyframe.pose,
            replace(answer, matches=()),
            *errors,
            len(beside),
            _rivals(keyframe, rest, beside),
        )


def _reach(keyframe: Keyframe) -> float:
    """Median distance of what a keyframe sees [m]."""
    points = getattr(keyframe.description, "points", None)
    if points is None or not np.isfinite(points).any():
        return _VIEW_DISTANCE
    return float(np.nanmedian(np.asarray(points).reshape(-1, 3)[:, 2]))


def _rivals(keyframe: Keyframe, rest: KeyframeMap, beside: Sequence[int]) -> dict[int, int]:
    """Keyframes elsewhere whose matches with an image agree as those of one place do."""
    front_end = rest.front_end
    alike = rest.nearest(keyframe.description, _ALIKE)
    away = [k for k in alike if k.id not in beside and k.camera is not None]
    if not away:
        return {}
    found = front_end.match([k.description for k in away], keyframe.description)
    rivals = {}
    for other, matches in zip(away, found, strict=True):
        assert other.camera is not None
        assert keyframe.camera is not None
        fitting = epipolar_inliers(matches, other.camera, keyframe.camera, front_end)
        if fitting is None:
            continue
        kept = matches.select(fitting)
        # Cameras that look at one thing from different sides do not fool each other.
        if _contradicts(other, keyframe, kept):
            rivals[other.id] = len(kept)
    return rivals


def _contradicts(reference: Keyframe, query: Keyframe, found: Correspondences) -> bool:
    """Whether matches of two keyframes cannot be where their poses are."""
    assert reference.camera is not None
    assert query.camera is not None
    count = len(found)
    rays = reference.camera.normalize(found.reference_pixels)
    matches = Matches(
        query.camera.normalize(found.query_pixels),
        transforms.apply(reference.pose, found.reference_points),
        np.broadcast_to(reference.pose[:3, 3], (count, 3)),
        np.column_stack([rays, np.ones(count)]) @ reference.pose[:3, :3].T,
        found.depth_sigma.astype(np.float64),
        np.zeros(count, np.int64),
        (query.camera.fx, query.camera.fy),
        _ALLOWED_PX,
    )
    return float(agreeing(query.pose, matches).mean()) < _AGREEING


def fooling_pairs(places: Sequence[Place]) -> list[tuple[int, int, int]]:
    """Pairs of ids of keyframes that could be taken for one another, and matches, most first."""
    pairs: dict[tuple[int, int], int] = {}
    for place in places:
        for other, count in place.rivals.items():
            key = min(place.keyframe_id, other), max(place.keyframe_id, other)
            pairs[key] = max(pairs.get(key, 0), count)
    return sorted(((a, b, n) for (a, b), n in pairs.items()), key=lambda pair: -pair[2])


def summary(places: Sequence[Place]) -> dict[str, Any]:
    """The figures of a check, fit for JSON."""
    found = [p for p in places if p.answer.localized]
    return {
        "checked": len(places),
        "localized": len(found),
        "wrong": sum(p.wrong for p in places),
        "refused": dict(Counter(p.answer.reason.name for p in places if not p.answer.localized)),
        "without_neighbor": sum(not p.neighbors for p in places),
        "median_error_m": float(np.median([p.position_m for p in found])) if found else None,
        "fooling_pairs": [list(pair) for pair in fooling_pairs(places)],
        "keyframes": [p.as_dict() for p in places],
    }


def advice(places: Sequence[Place]) -> list[str]:
    """What to do about the weak places, the most dangerous first."""
    lines = [
        f"Keyframe {p.keyframe_id} is localized {p.position_m:.2f} m away from where it stands: "
        "check its pose, or refine the map. Do not let a robot drive here before."
        for p in places
        if p.wrong
    ]
    lost = [p for p in places if not p.answer.localized]
    alone = [p for p in lost if not p.neighbors]
    if alone:
        lines.append(
            f"No neighbor stands beside {_ids(alone)} and looks the same way: add images between "
            f"there and the next keyframes, at {_positions(alone)}."
        )
    for reason, remedy in _REMEDIES.items():
        some = [p for p in lost if p.neighbors and p.answer.reason is reason]
        if some:
            lines.append(f"Refused ({reason.value}): {_ids(some)}. Remedy: {remedy}.")
    pairs = fooling_pairs(places)
    if pairs:
        named = ", ".join(f"{a} and {b}" for a, b, _ in pairs[:5])
        lines.append(
            f"Keyframes show different places that match, {named}: put something into one of them "
            "that the other has not, map both well, or give the node a prior."
        )
    return lines or ["Nothing: each keyframe is localized by the others, and none looks elsewhere."]


_REMEDIES = {
    Reason.FEW_MATCHES: "add images beside them; if they are dark, blurred or blank, remove them",
    Reason.FEW_INLIERS: "add images beside them, or refine the map if its poses are not exact",
    Reason.LOW_INLIER_RATIO: "add images beside them, or refine the map",
    Reason.POOR_SPREAD: "too little of the image is known: add images from beside, or mask what "
    "moves with the robot",
    Reason.UNCERTAIN: "add images from beside them, with depth where there is none",
    Reason.AMBIGUOUS: "they look like another place: make the places different, or give a prior",
    Reason.DIRECTION_ONLY: "their neighbors know no points: map with depth, or refine the map",
}


def _ids(places: Sequence[Place]) -> str:
    """Ids of places, a few of them."""
    named = ", ".join(str(p.keyframe_id) for p in places[:12])
    named = f"keyframe {named}" if len(places) == 1 else f"keyframes {named}"
    return named + (f" and {len(places) - 12} more" if len(places) > 12 else "")


def _positions(places: Sequence[Place]) -> str:
    """Where places are, a few of them."""
    return ", ".join(str(p.pose[:3, 3].round(1).tolist()) for p in places[:3])
