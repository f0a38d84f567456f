# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rooms made by the project itself, rendered in pairs of views with metric truth."""

from mast3r_ros.training.worlds.pairs import PairSource
from mast3r_ros.training.worlds.views import Pair, View

__all__ = ["Pair", "PairSource", "View"]
