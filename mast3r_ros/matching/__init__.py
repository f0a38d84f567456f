# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Descriptors in, correspondences out."""

import pkgutil

# The compiled kernels are installed apart from a source checkout, as the messages are. Before the
# imports: those look for them.
__path__ = pkgutil.extend_path(__path__, __name__)

from mast3r_ros.matching.coarse_to_fine import coarse_to_fine, window_pairs
from mast3r_ros.matching.nearest import Database, Searchable, nearest, nearest2
from mast3r_ros.matching.reciprocal import (
    grid_seeds,
    mutual_nearest,
    reciprocal,
    reciprocal_both_ways,
    returning_seeds,
)

__all__ = [
    "Database",
    "Searchable",
    "coarse_to_fine",
    "grid_seeds",
    "mutual_nearest",
    "nearest",
    "nearest2",
    "reciprocal",
    "reciprocal_both_ways",
    "returning_seeds",
    "window_pairs",
]
