# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A map that goes on knowing a place that changes: images where it was weak become keyframes.

Their poses rest on the map as it was, never on a keyframe that was added by the way: errors do not
add up along a drive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.rig import move_covariance
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization
from mast3r_ros.mapping.options import OdometryMapOptions, UpdateOptions

# The poses of a refused image by the sure ones before and after it differ by less [m, rad].
_SAME_POSITION, _SAME_ROTATION = 0.1, np.deg2rad(2.0)


class Outcome(Enum):
    """What became of an image."""

    KNOWN = "localized well"
    WEAK = "localized weakly, but surely"
    UNSURE = "localized, but not surely enough"
    BRIDGED = "refused, between two sure images"
    LOST = "refused"
    FULL = "weak, but its place holds enough keyframes"


@dataclass(frozen=True)
class NewKeyframe:
    """An image that the map should hold.

    Attributes:
        frame: the image.
        pose: map <- camera, (4, 4).
        covariance: (6, 6) of `pose`, in the sense of `transforms.perturb`.
    """

    frame: Frame
    pose: Pose
    covariance: NDArray[np.float64]


class _Sure(NamedTuple):
    """An image whose pose is sure: in the source's frame, which drifts, and in the map."""

    driven: Pose
    pose: Pose
    covariance: NDArray[np.float64]


class Update:
    """Looks through a recording for images that a map should hold.

    Attributes:
        outcomes: how many images there were of each outcome.
        chosen: the images to add, in their order.
    """

    def __init__(self, relocalizer: Relocalizer, options: UpdateOptions) -> None:
        """For the relocalizer's map, which does not change before `apply`."""
        self._relocalizer = relocalizer
        self._options = options
        self._before: _Sure | None = None
        self._waiting: list[tuple[Pose, Frame]] = []
        self.outcomes: Counter[Outcome] = Counter()
        self.chosen: list[NewKeyframe] = []

    def look_through(self, images: Iterable[tuple[PosedImage, Frame]]) -> Iterator[None]:
        """Localize the images in their order, one a step."""
        for image, frame in images:
            self._look_at(image.pose, frame)
            yield
        if self._waiting:
            self.outcomes[Outcome.LOST] += len(self._waiting)
            self._waiting = []

    def apply(self) -> None:
        """Add what was chosen to the map."""
        for new in self.chosen:
            self._relocalizer.map.add(new.frame, new.pose, covariance=new.covariance)

    def _look_at(self, driven: Pose | None, frame: Frame) -> None:
        answer = self._relocalizer.localize(frame)
        if answer.pose is None or answer.covariance is None:
            if self._can_wait(driven):
                assert driven is not None
                self._waiting.append((driven, frame))
            else:
                self.outcomes[Outcome.LOST] += 1
            return
        if not self._is_sure(answer):
            self.outcomes[Outcome.UNSURE] += 1
            return
        if driven is not None:
            sure = _Sure(driven, answer.pose, answer.covariance)
            self._bridge(sure)
            self._before = sure
        needed = self._options.weak * self._relocalizer.min_inliers
        if answer.inliers >= needed:
            self.outcomes[Outcome.KNOWN] += 1
        else:
            self._choose(NewKeyframe(frame, answer.pose, answer.covariance), Outcome.WEAK)

    def _is_sure(self, answer: Localization) -> bool:
        return (
            answer.protection_position <= self._options.sure_position
            and np.rad2deg(answer.protection_rotation) <= self._options.sure_rotation
        )

    def _can_wait(self, driven: Pose | None) -> bool:
        """Whether the next sure image may tell where a refused one was taken."""
        before = self._before
        return (
            driven is not None
            and before is not None
            and transforms.distance(before.driven, driven) <= self._options.bridge
        )

    def _bridge(self, after: _Sure) -> None:
        """Choose the images that were refused between two sure ones."""
        waiting, self._waiting = self._waiting, []
        for driven, frame in waiting:
            assert self._before is not None
            new = _between(self._before, after, driven, frame, self._options.bridge)
            if new is None:
                self.outcomes[Outcome.LOST] += 1
            else:
                self._choose(new, Outcome.BRIDGED)

    def _choose(self, new: NewKeyframe, outcome: Outcome) -> None:
        """Add an image to those chosen, unless its place is full."""
        options = self._options
        _, poses = self._relocalizer.map.near(new.pose[:3, 3], options.place_radius)
        near = [*poses, *(c.pose for c in self.chosen)]
        like = sum(
            transforms.distance(pose, new.pose) <= options.place_radius
            and np.rad2deg(transforms.rotation_angle(pose, new.pose)) <= options.place_angle
            for pose in near
        )
        if like >= options.per_place:
            self.outcomes[Outcome.FULL] += 1
            return
        self.outcomes[outcome] += 1
        self.chosen.append(new)


def _between(
    before: _Sure, after: _Sure, driven: Pose, frame: Frame, bridge: float
) -> NewKeyframe | None:
    """A refused image with its pose by the nearer of two sure ones, None where they contradict."""
    if max(transforms.distance(s.driven, driven) for s in (before, after)) > bridge:
        return None
    one, other = (s.pose @ transforms.inverse(s.driven) @ driven for s in (before, after))
    if (
        transforms.distance(one, other) > _SAME_POSITION
        or transforms.rotation_angle(one, other) > _SAME_ROTATION
    ):
        return None
    near = min((before, after), key=lambda s: transforms.distance(s.driven, driven))
    way = transforms.inverse(near.driven) @ driven
    gone = float(np.linalg.norm(way[:3, 3]))
    drift = OdometryMapOptions()
    sigma = [drift.drift * gone, np.deg2rad(drift.drift_rotation) * np.sqrt(gone)]
    covariance = move_covariance(near.covariance, near.pose, way)
    return NewKeyframe(frame, near.pose @ way, covariance + np.diag(np.repeat(sigma, 3) ** 2))
