# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Recordings: folders, bags and rendered pairs, behind one door: `open_dataset`.

Nothing else reads recordings.
"""

from mast3r_ros.datasets.options import PairOptions, SourceOptions
from mast3r_ros.datasets.registry import FORMATS, Format, open_dataset
from mast3r_ros.datasets.summary import RecordingError

__all__ = [
    "FORMATS",
    "Format",
    "PairOptions",
    "RecordingError",
    "SourceOptions",
    "open_dataset",
]
