# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The images of a query, and how they are tied together: extrinsics and odometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import Description
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.rig import Rig, make_rig, move_covariance
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.retrieval import PosePrior
from mast3r_ros.matching.correspondences import Correspondences


@dataclass(frozen=True)
class View:
    """One image of a query.

    Attributes:
        frame: the image.
        T_body_camera: where the camera sits on the robot, (4, 4); identity where the camera is the
            body.
        T_now_then: body now <- body when this image was taken, by odometry, (4, 4).
        motion_covariance: (6, 6) of `T_now_then` [m, rad], in the sense of `transforms.perturb`;
            None where it is exact, as for the images of this instant.
    """

    frame: Frame
    T_body_camera: Pose = field(default_factory=lambda: np.eye(4))
    T_now_then: Pose = field(default_factory=lambda: np.eye(4))
    motion_covariance: NDArray[np.float64] | None = None

    def prior(self, body: PosePrior | None) -> PosePrior | None:
        """Where this view's camera is believed to be, from where the body is."""
        lever = self.T_now_then @ self.T_body_camera
        if body is None or np.array_equal(lever, np.eye(4)):
            return body
        covariance = move_covariance(body.covariance, body.pose, lever)
        return PosePrior(body.pose @ lever, covariance, body.reach)


@dataclass(frozen=True)
class MatchedView:
    """A view that was compared with the map: all that solving needs of it.

    Attributes:
        camera: the intrinsics, of `size`.
        keyframes: those retrieved, best first.
        found: the matches with each of them.
        T_body_camera, T_now_then, motion_covariance: see `View`.
        camera_estimated: the intrinsics were unknown and come from the front end.
        query: the image's description, for a second look; None where none is wanted.
        frame: the image itself, likewise.
        sure_pose: map <- camera, where all these matches are sure of one to begin with.
        unmatched: further keyframes that were retrieved, best first, and left out since the others
            were sure of a pose.
    """

    camera: Camera
    keyframes: tuple[Keyframe, ...]
    found: tuple[Correspondences, ...]
    T_body_camera: Pose = field(default_factory=lambda: np.eye(4))
    T_now_then: Pose = field(default_factory=lambda: np.eye(4))
    motion_covariance: NDArray[np.float64] | None = None
    camera_estimated: bool = False
    query: Description | None = None
    frame: Frame | None = None
    sure_pose: Pose | None = None
    unmatched: tuple[Keyframe, ...] = ()

    @property
    def missing(self) -> list[Keyframe]:
        """Keyframes that were retrieved and can still be matched."""
        known = {k.id for k in self.keyframes}
        return [] if self.query is None else [k for k in self.unmatched if k.id not in known]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height [pixels]."""
        return self.camera.width, self.camera.height

    def with_matches(self, found: Sequence[Correspondences]) -> MatchedView:
        """The same with other matches of its keyframes."""
        return replace(self, found=tuple(found), sure_pose=None)

    @property
    def body_camera(self) -> Pose:
        """body now <- camera when the image was taken."""
        return self.T_now_then @ self.T_body_camera


def tie(views: Sequence[MatchedView], thresholds: Sequence[float]) -> Rig | None:
    """The views as one generalized camera; None where the query is one image and its own body.

    Args:
        views: of the query.
        thresholds: largest reprojection error of an inlier in each view [pixels]. Focal lengths are
            scaled to the pixels of the first view, in which one threshold is right for all.
    """
    if len(views) == 1 and not _moved(views[0]):
        return None
    scales = [thresholds[0] / threshold for threshold in thresholds]
    return make_rig(
        [v.T_body_camera for v in views],
        [v.T_now_then for v in views],
        [v.motion_covariance for v in views],
        [(v.camera.fx * s, v.camera.fy * s) for v, s in zip(views, scales, strict=True)],
    )


def _moved(view: MatchedView) -> bool:
    placed = all(np.array_equal(p, np.eye(4)) for p in (view.T_body_camera, view.T_now_then))
    return not placed or view.motion_covariance is not None


def distinct_keyframes(views: Sequence[MatchedView]) -> list[Keyframe]:
    """The keyframes of all views, each one once, in the order in which they come."""
    return list({k.id: k for view in views for k in view.keyframes}.values())


def pairs(views: Sequence[MatchedView]) -> list[tuple[int, Keyframe, Correspondences]]:
    """Each view's number with each of its keyframes and their matches, in the views' order."""
    return [
        (number, keyframe, found)
        for number, view in enumerate(views)
        for keyframe, found in zip(view.keyframes, view.found, strict=True)
    ]


def same_cameras(views: Sequence[MatchedView]) -> list[int]:
    """The number of each view's camera on the body: images of one camera have one number."""
    return _numbered([view.T_body_camera for view in views])


def same_instants(views: Sequence[MatchedView]) -> NDArray[np.int64]:
    """(V,) the number of each view's instant: images that were taken at once have one number.

    They share one motion and its errors. Those of a robot that stands have one motion, too, but
    errors that have grown in between.
    """
    errors = (
        np.zeros((6, 6)) if v.motion_covariance is None else v.motion_covariance for v in views
    )
    motions = [
        np.concatenate([v.T_now_then.ravel(), e.ravel()])
        for v, e in zip(views, errors, strict=True)
    ]
    return np.array(_numbered(motions))


def _numbered(values: Sequence[NDArray[np.float64]]) -> list[int]:
    """Equal arrays have equal numbers, from 0 in the order in which they come."""
    distinct: list[NDArray[np.float64]] = []
    numbers = []
    for value in values:
        known = (i for i, other in enumerate(distinct) if np.allclose(value, other, atol=1e-12))
        number = next(known, len(distinct))
        if number == len(distinct):
            distinct.append(value)
        numbers.append(number)
    return numbers


def as_views(query: Frame | Sequence[View]) -> list[View]:
    """The views of a query, checked; of one image, the camera is the body.

    Raises:
        ValueError: there is no view, or a pose or a covariance of the wrong kind.
    """
    views = [View(query)] if isinstance(query, Frame) else list(query)
    if not views:
        raise ValueError("a query of no views: give at least one image")
    for view in views:
        for name in ("T_body_camera", "T_now_then"):
            pose = getattr(view, name)
            if not transforms.is_rigid(pose):
                raise ValueError(f"{name} {pose.tolist()} is not a rigid transform")
        covariance = view.motion_covariance
        if covariance is not None and (
            covariance.shape != (6, 6) or not np.isfinite(covariance).all()
        ):
            raise ValueError(f"motion_covariance {covariance.tolist()} is not a finite (6, 6)")
    return views
