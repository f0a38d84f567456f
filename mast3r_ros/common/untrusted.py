# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Values and files that nobody vouches for: checked for kind and size before they are used.

Every function raises ValueError with the name of the thing and what it may be; readers turn that
into their own `UserError` with the file's name.
"""

from __future__ import annotations

import contextlib
import os
import reprlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# The largest numbers of messages' fields.
MAX_UINT32 = 2**32 - 1
MAX_INT64 = 2**63 - 1
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2


def whole(value: Any, name: str, minimum: int, maximum: int) -> int:
    """A whole number within limits.

    Raises:
        ValueError: names it, and says what it may be.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise ValueError(
            f"{name} = {brief(value)}: must be a whole number in [{minimum}, {maximum}]"
        )
    return value


def text(value: Any, name: str, longest: int = 255) -> str:
    """A text of limited length.

    Raises:
        ValueError: names it, and says what it may be.
    """
    if not isinstance(value, str) or len(value) > longest:
        raise ValueError(f"{name} = {brief(value)}: must be a text of {longest} characters at most")
    return value


def brief(value: Any) -> str:
    """A value for a message: short, however large or deep it is."""
    if isinstance(value, int) and value.bit_length() > 100:
        return f"a number of {value.bit_length()} bits"
    return _SHORT.repr(value)


def load_yaml(content: str) -> Any:
    """Plain data of a YAML text; no objects are made of it.

    Raises:
        ValueError: in one line, why it is not YAML.
    """
    with _told():
        return yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def first_mapping(content: str, loader: Any) -> dict[Any, Any] | None:
    """The first document of a YAML text that is a mapping; those after it are not read.

    Args:
        content: the text.
        loader: of plain data, such as `yaml.SafeLoader`.

    Raises:
        ValueError: as `load_yaml`.
    """
    with _told():
        return next((d for d in yaml.load_all(content, loader) if isinstance(d, dict)), None)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    # Tags that do not fit their values make PyYAML's constructors fail in these ways, too.
    except (
        yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
        RecursionError,
    ) as error:  # fmt: skip
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def read_file(path: Path, most: int) -> bytes:
    """The bytes of a regular file: devices and pipes, which may never end, are refused.

    Args:
        path: the file; links are followed.
        most: of so many bytes at most.

    Raises:
        ValueError: it is larger, or not a regular file.
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        about = os.fstat(stream.fileno())
        if stat.S_ISDIR(about.st_mode):
            raise ValueError("is a folder, not a file")
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("is not a regular file")
        if about.st_size > most:
            raise ValueError(f"has {about.st_size} bytes: at most {most} are read")
        data = stream.read(most + 1)
        if len(data) > most:
            raise ValueError(f"has more than the {most} bytes that are read")
        return data
