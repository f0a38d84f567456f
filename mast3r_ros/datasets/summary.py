# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What came of reading a recording: how much was read, what was left out, and why."""

from __future__ import annotations

import re
from typing import Any

from mast3r_ros.common.errors import UserError

WITHOUT_POSE, WITHOUT_DEPTH, REFUSED, IGNORED = (
    "without pose",
    "without depth",
    "refused",
    "ignored",
)
_KINDS = (WITHOUT_POSE, WITHOUT_DEPTH, REFUSED, IGNORED)
_NUMBER = re.compile(r"[-+]?\d[\w.+-]*")


class RecordingError(UserError, ValueError):
    """A folder or bag that is not what it should be, with what is missing and where."""


class StrictError(RecordingError):
    """Something would be left out, but reading is strict."""


class ReadSummary:
    """Counts of one recording, by reason.

    The same thing noted twice counts once, so that a recording can be read several times. Reasons
    that differ in their numbers alone are one.

    Attributes:
        images: how many images the recording offers.
    """

    def __init__(self, strict: bool = False) -> None:
        """Nothing read yet; with `strict`, whatever would be left out is an error."""
        self.images = 0
        self._strict = strict
        self._read: set[str] = set()
        self._notes: dict[str, dict[str, str]] = {kind: {} for kind in _KINDS}

    @property
    def read(self) -> int:
        """How many images were read."""
        return len(self._read)

    def count_read(self, name: str) -> None:
        """Count an image that was read."""
        self._read.add(name)

    def note(self, kind: str, thing: str, reason: str) -> None:
        """Note that something was left out.

        Args:
            kind: one of this module's constants.
            thing: the image, line or message; noted twice, it counts once.
            reason: with the remedy, where there is one.

        Raises:
            StrictError: reading is strict.
        """
        if self._strict:
            raise _left_out(kind, thing, reason)
        self._notes[kind][thing] = reason

    def forget(self, kind: str) -> None:
        """Drop what was noted of a kind: the reader's user has no need of it."""
        self._notes[kind] = {}

    def require_whole(self) -> None:
        """Raise StrictError where anything was left out."""
        for kind in _KINDS:
            for thing, reason in self._notes[kind].items():
                raise _left_out(kind, thing, reason)

    def count(self, kind: str) -> int:
        """How many things of a kind were left out."""
        return len(self._notes[kind])

    def reasons(self, kind: str) -> list[tuple[int, str, str]]:
        """How often, the first thing and its reason, the most frequent reason first."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for thing, reason in self._notes[kind].items():
            groups.setdefault(_NUMBER.sub("#", reason), []).append((thing, reason))
        found = [(len(group), *group[0]) for group in groups.values()]
        return sorted(found, key=lambda entry: -entry[0])

    def lines(self) -> list[str]:
        """For people: one line of counts, and one for each reason."""
        counts = [f"{self.count(kind)} {kind}" for kind in _KINDS if self._notes[kind]]
        lines = [", ".join([f"{self.read} of {self.images} images read", *counts])]
        for kind in _KINDS:
            for count, thing, reason in self.reasons(kind):
                lines.append(f"{kind}, {count} times, first {thing}: {reason}")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """For JSON: counts, and the reasons by kind."""
        found: dict[str, Any] = {"images": self.images, "read": self.read}
        for kind in _KINDS:
            found[kind.replace(" ", "_")] = self.count(kind)
        found["reasons"] = [
            {"kind": kind, "count": count, "first": thing, "reason": reason}
            for kind in _KINDS
            for count, thing, reason in self.reasons(kind)
        ]
        return found


def _left_out(kind: str, thing: str, reason: str) -> StrictError:
    return StrictError(f"{thing}: {kind}: {reason} (strict: nothing may be left out)")
