# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The libraries of the extra `mapping`, imported when they are needed."""

from __future__ import annotations

import importlib
import platform
from typing import Any

from mast3r_ros.common.errors import UserError

# Where the publishers have no wheel, for the error's remedy.
_WITHOUT_WHEEL = {
    "pycolmap": "; pycolmap has no wheel for Linux on aarch64: build it from source",
    "gtsam": "; gtsam has no wheel for Python 3.10 that works with numpy 2: use a newer Python",
}


class MappingError(UserError, ValueError):
    """A map or model that a tool of maps cannot work with, with the remedy."""


class MissingExtraError(UserError, ImportError):
    """A library of the extra `mapping` is not installed."""


def library(name: str) -> Any:
    """A library of the extra `mapping`.

    Raises:
        MissingExtraError: it is not installed; the message names the extra and this platform.
    """
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingExtraError(
            f"{name} is not installed: python3 -m pip install 'mast3r_ros[mapping]'; "
            f"this is Python {platform.python_version()} on {platform.system()} "
            f"{platform.machine()}{_WITHOUT_WHEEL.get(name, '')}"
        ) from error
    if name == "pycolmap":
        # It writes each step to standard error, between the lines of progress.
        module.logging.minloglevel = module.logging.ERROR
    return module
