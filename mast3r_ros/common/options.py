# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Options: dataclasses whose fields carry a description and limits.

Each option carries its own description and limits, from which the node declares its parameters and
the command line its options; no second place holds a default.
"""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any


def option(
    default: Any,
    text: str,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    read_only: bool = False,
    fixed: bool = False,
    path: bool = False,
) -> Any:
    """A dataclass field with its description and limits.

    Args:
        default: its value unless one is given.
        text: one line for help texts, parameter descriptions and docs.
        minimum, maximum: limits of a number, inclusive.
        choices: the values of an enumeration.
        read_only: a node reads it once, when it starts.
        fixed: a node reads it when it is configured; it cannot change before cleanup.
        path: a file or folder; `~` and environment variables are expanded.
    """
    about = {
        "text": text,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "read_only": read_only,
        "fixed": fixed,
        "path": path,
    }
    return field(default=default, metadata=about)


def check(options: Any) -> None:
    """Check a dataclass of options against their limits.

    Raises:
        ValueError: names the option, its value and what it may be.
    """
    for entry in fields(options):
        value, about = getattr(options, entry.name), entry.metadata
        if value is None:  # an option that may be left out
            continue
        if about["choices"] and value not in about["choices"]:
            raise ValueError(
                f"{entry.name} = {value!r}: choose one of {', '.join(about['choices'])}"
            )
        low, high = about["minimum"], about["maximum"]
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            raise ValueError(f"{entry.name} = {value!r}: must lie in [{low}, {high}]")
