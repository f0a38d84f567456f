# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Descriptors in, correspondences out."""

from mast3r_ros.matching.nearest import Database, nearest, nearest2
from mast3r_ros.matching.reciprocal import mutual_nearest

__all__ = ["Database", "mutual_nearest", "nearest", "nearest2"]
