# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The size of an image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from mast3r_ros.common.errors import UserError


class SizeError(UserError, ValueError):
    """A text that is not an image size."""


class ImageSize(NamedTuple):
    """The size of an image [pixels].

    Prints as WIDTHxHEIGHT, which `parse` reads.
    """

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), the order of arrays."""
        return self.height, self.width

    @staticmethod
    def of(shape: Sequence[int]) -> ImageSize:
        """The size of an array whose shape begins with (height, width)."""
        return ImageSize(int(shape[1]), int(shape[0]))

    @staticmethod
    def parse(text: str) -> ImageSize:
        """Read WIDTHxHEIGHT.

        Raises:
            SizeError: the text is not of that form, or a side is 0.
        """
        match = re.fullmatch(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", text.strip())
        if match is None:
            raise SizeError(f"size {text!r}: give WIDTHxHEIGHT in pixels, for example 640x480")
        return ImageSize(int(match[1]), int(match[2]))
