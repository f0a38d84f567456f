# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Localizes images of a recording in a map of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np

from mast3r_ros.datasets.recording import PosedImage, read_frames
from mast3r_ros.evaluation.beside import Beside
from mast3r_ros.evaluation.filtered import Tracked
from mast3r_ros.evaluation.odometry import Odometry
from mast3r_ros.evaluation.outcome import Outcome
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.map_odom import MapOdomFilter
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization
from mast3r_ros.localization.view import View
from mast3r_ros.localization.window import Window, WindowOptions

_T = TypeVar("_T")


@dataclass(frozen=True)
class Attempt:
    """A query with everything that belongs to it.

    Attributes:
        outcome: what came of it.
        query: the image.
        answer: the relocalizer's.
        keyframes: the map.
        tracked: what the map -> odom filter says after it; None without odometry.
    """

    outcome: Outcome
    query: Frame
    answer: Localization
    keyframes: KeyframeMap
    tracked: Tracked | None = None


def every_nth(images: Iterable[_T], every: int, offset: int = 0) -> Iterator[_T]:
    """The keyframes of a recording: images `offset`, `offset` + `every`, ..."""
    return islice(images, offset, None, every)


def the_others(images: Iterable[_T], every: int, offset: int = 0) -> Iterator[_T]:
    """The queries of a recording: all images that `every_nth` leaves out."""
    return (image for i, image in enumerate(images) if i < offset or (i - offset) % every)


def localize(
    relocalizer: Relocalizer, queries: Iterable[PosedImage], beside: Beside | None = None
) -> Iterator[Attempt]:
    """Localize images without their depth and without the images before them.

    Args:
        relocalizer: with the map.
        queries: the images.
        beside: further cameras of the robot, whose images of the same instant are used, too.

    Raises:
        RecordingError: none of the images can be read.
    """
    for query, frame in read_frames(queries, with_depth=False):
        answer = relocalizer.localize([View(frame), *(beside.views(query) if beside else ())])
        outcome = Outcome.of(query.name, query.true_pose, answer, frame.stamp)
        yield Attempt(outcome, frame, answer, relocalizer.map)


def localize_windows(
    window: Window,
    odometry: Odometry,
    queries: Iterable[PosedImage],
    beside: Beside | None = None,
) -> Iterator[Attempt]:
    """Localize images together with the queries before them, never with a mapped image.

    An image without odometry is localized by itself, and the window is reset. A map -> odom filter
    that is told of the same noise follows the poses. See `localize`.

    Raises:
        RecordingError: none of the images can be read.
    """
    tracker, before = MapOdomFilter(), None
    for query, frame in read_frames(queries, with_depth=False):
        odom_camera = odometry.at(frame.stamp, query.true_pose)
        if odom_camera is None:
            window.reset()
        views = [View(frame), *(beside.views(query) if beside else ())]
        answer = window.localize(views, np.eye(4) if odom_camera is None else odom_camera)
        tracked = None
        if odom_camera is None:
            window.reset()
        else:
            here = frame.stamp, odom_camera
            believed = _follow(tracker, window.options, before, here, answer)
            tracked, before = Tracked.of(frame.stamp, query.true_pose, believed, tracker), here
        outcome = Outcome.of(query.name, query.true_pose, answer, frame.stamp, window.history)
        yield Attempt(outcome, frame, answer, window.relocalizer.map, tracked)


def _follow(
    tracker: MapOdomFilter,
    options: WindowOptions,
    before: tuple[int, Pose] | None,
    here: tuple[int, Pose],
    answer: Localization,
) -> bool:
    """Tell a filter of the way since the image before, and of an answer; whether it believed it."""
    stamp, odom_camera = here
    noise = None
    if before is not None:
        moved = transforms.inverse(before[1]) @ odom_camera
        noise = options.covariance_over(moved, (stamp - before[0]) / 1e9)
    return tracker.follow(answer, odom_camera, stamp, noise)
