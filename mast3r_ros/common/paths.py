# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path


def expand(path: str | Path) -> Path:
    """A path with `~` and environment variables replaced, as a shell does."""
    return Path(os.path.expandvars(os.path.expanduser(path)))
