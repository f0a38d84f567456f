# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""MASt3R in PyTorch, written from the papers: sizes, network, checkpoints, preprocessing.

Importing this package imports no torch: `network.mast3r` and `network.checkpoint` do.
"""

from mast3r_ros.network.config import PUBLISHED, ImageSize, MAST3RConfig, named_config
from mast3r_ros.network.prediction import TwoViewPrediction, ViewPrediction

__all__ = [
    "PUBLISHED",
    "ImageSize",
    "MAST3RConfig",
    "TwoViewPrediction",
    "ViewPrediction",
    "named_config",
]
