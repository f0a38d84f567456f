# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Paths as users write them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mast3r_ros.common.errors import UserError


class PathError(UserError, ValueError):
    """A path that cannot be expanded."""


def expand(path: str | Path) -> Path:
    """A path with `~` and environment variables replaced, as a shell does.

    Raises:
        PathError: it names an environment variable that is not set.
    """
    if os.path.exists(path):  # `$` and `~` are allowed in the names of files
        return Path(path)
    expanded = os.path.expandvars(os.path.expanduser(path))
    missing = re.search(r"\$(\w+|\{\w+\})", expanded)
    if missing:
        name = missing[1].strip("{}")
        raise PathError(f"path {path}: the environment variable {name} is not set")
    return Path(expanded)
