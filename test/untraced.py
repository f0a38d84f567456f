# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Calls of other people's Python without coverage, which takes longer than they do."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest


def untraced(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, not traced while it runs in this thread."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            return function(*args, **kwargs)
        finally:
            sys.settrace(tracer)

    return call


def untraced_environment(**others: str) -> dict[str, str]:
    """The environment, with others, of a child process whose coverage says nothing new."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_PROCESS")}
    return kept | others


def leave_children_untraced(patch: pytest.MonkeyPatch) -> None:
    """Does not measure the processes that are started before the patch is undone."""
    for variable in os.environ.keys() - untraced_environment().keys():
        patch.delenv(variable)
