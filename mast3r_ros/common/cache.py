# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where downloads and compiled kernels and engines are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$MAST3R_ROS_CACHE, or mast3r_ros in the user's own cache ($XDG_CACHE_HOME or ~/.cache)."""
    own = os.environ.get("MAST3R_ROS_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mast3r_ros"
