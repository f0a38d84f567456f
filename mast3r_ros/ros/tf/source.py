# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the node needs of TF."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from geometry_msgs.msg import TransformStamped
from std_msgs.msg import Header

from mast3r_ros.geometry.frame_tree import TransformError as TransformError
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.messages import conversions

_POLL = 0.005
NO_STAMP = "an image with stamp 0 has no time of exposure: let the camera's driver stamp it"


class Tf(ABC):
    """Listens to TF, and sends transforms."""

    @abstractmethod
    def find(self, target: str, source: str, stamp: int) -> Pose:
        """T_target_source, (4, 4), at a stamp [ns]; 0 asks for the latest.

        Raises:
            TransformError: it is not known (yet).
        """

    @abstractmethod
    def latest(self, target: str, source: str) -> tuple[Pose, int]:
        """T_target_source, (4, 4), at the latest time that TF knows, and that time [ns].

        Raises:
            TransformError: it is not known (yet).
        """

    @abstractmethod
    def send_message(self, message: TransformStamped) -> None:
        """Publish on /tf."""

    @abstractmethod
    def restart(self) -> None:
        """Time was set back: forget the transforms received so far but the static ones."""

    @abstractmethod
    def close(self) -> None:
        """Stop listening."""

    def wait_for(self, target: str, source: str, stamp: int, timeout: float) -> Pose:
        """As `find`, and waits; not to be called by the executor's only thread."""
        if stamp == 0:
            # As a time to look up, 0 means the latest, which is not that of the image.
            raise TransformError(NO_STAMP)
        return self._poll(target, source, stamp, timeout)

    def wait_for_latest(self, target: str, source: str, timeout: float) -> Pose:
        """As `wait_for`, the latest: for transforms that do not change, or seldom."""
        return self._poll(target, source, 0, timeout)

    def _poll(self, target: str, source: str, stamp: int, timeout: float) -> Pose:
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self.find(target, source, stamp)
            except TransformError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_POLL)

    def send(self, parent: str, child: str, pose: Pose, stamp: int) -> None:
        """Publish T_parent_child at a stamp [ns]."""
        header = Header(stamp=conversions.to_stamp(stamp), frame_id=parent)
        transform = conversions.to_transform(pose)
        self.send_message(
            TransformStamped(header=header, child_frame_id=child, transform=transform)
        )
