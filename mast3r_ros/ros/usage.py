# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Counts which keyframes are of use, and writes it into the map's file from time to time."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.database import MapError
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization
from mast3r_ros.localization.usage import usage_of
from mast3r_ros.ros.host import Host


class UsageRecorder:
    """Belongs to the thread of the map. A file that cannot be written is named once."""

    def __init__(self, node: Host, relocalizer: Relocalizer) -> None:
        """Count for a map where the parameter `usage_period` asks for it."""
        self._node = node
        self._relocalizer = relocalizer
        self._written = time.monotonic()
        self._said = ""

    def take(self, answer: Localization, cameras: Sequence[Pose], stamp: int) -> None:
        """Count what an answer says; see `usage_of`."""
        period = self._node.options.usage_period
        if not period:
            return
        keyframes = self._relocalizer.map
        keyframes.count(usage_of(self._relocalizer, answer, cameras, stamp))
        if time.monotonic() - self._written >= period:
            self.write()

    def write(self) -> None:
        """Write what was counted and not written yet."""
        self._written = time.monotonic()
        if not self._node.options.usage_period:
            return
        try:
            self._relocalizer.map.write_usage()
        except MapError as error:
            if self._said != str(error):
                self._said = str(error)
                self._node.get_logger().warning(f"usage of keyframes is not written: {error}")
