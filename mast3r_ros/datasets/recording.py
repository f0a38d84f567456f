# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A recording: images whose poses are known, whatever they are stored in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mast3r_ros.common.errors import UserError
from mast3r_ros.frame import Frame
from mast3r_ros.geometry.transforms import Pose


class RecordingError(UserError, ValueError):
    """A folder or bag that is not what it should be, with what is missing and where."""


@dataclass(frozen=True)
class PosedImage:
    """One image of a recording.

    Attributes:
        name: for people.
        pose: map <- camera, (4, 4), the truth.
        load: reads the image; with its depth, where there is some and the argument is true.
    """

    name: str
    pose: Pose
    load: Callable[[bool], Frame]
