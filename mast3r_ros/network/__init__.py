# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""MASt3R in PyTorch, written from the papers: sizes, network, checkpoints, preprocessing.

Importing this package imports no torch: `network.mast3r` and `network.checkpoint` do.
"""

from mast3r_ros.network.config import PUBLISHED, MAST3RConfig, named_config
from mast3r_ros.network.prediction import LocalFeatures, PointMap

__all__ = [
    "PUBLISHED",
    "LocalFeatures",
    "MAST3RConfig",
    "PointMap",
    "named_config",
]
