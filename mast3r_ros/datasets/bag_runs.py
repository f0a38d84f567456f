# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Runs of a bag: where a simulation was reset, stamps begin again, and times mean other places.

Stamps that go back and stay behind are a reset; a single one is late. Each stream (a topic, or a
frame of TF) shows a reset at its own message, so the breaks of all streams are brought together by
the times of recording.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# Clocks that are synchronized are set back by less than this [ns].
_JITTER = 100_000_000
# So many messages in a row behind the newest are not late.
_CONFIRMATIONS = 3
_RECORD, _STAMP = 0, 1

# (time of recording, stamp) [ns], in the order of recording.
Stream = Sequence[tuple[int, int]]


@dataclass
class _Break:
    """A reset, as the streams show it.

    Attributes:
        first: the earliest message after it [ns of recording].
        latest: of all streams' first messages after it.
        back: how far stamps went back [ns].
        streams: the first message after it, by stream.
    """

    first: int
    latest: int
    back: int
    streams: dict[str, int] = field(default_factory=dict)


class Runs:
    """Tells which run a message belongs to."""

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        """Find the breaks of all streams."""
        shown = sorted(
            (after, before, back, name)
            for name, stream in streams.items()
            for before, after, back in _breaks(stream)
        )
        self._breaks: list[_Break] = []
        for after, before, back, name in shown:
            last = self._breaks[-1] if self._breaks else None
            if last is None or name in last.streams or before > last.latest:
                last = _Break(after, after, back)
                self._breaks.append(last)
            last.latest = max(last.latest, after)
            last.streams[name] = after
        self._times: dict[str, list[int]] = {}

    def __len__(self) -> int:
        """Number of runs."""
        return len(self._breaks) + 1

    def of(self, stream: str, record: int) -> int:
        """The number of the run of a message, by its time of recording [ns]."""
        if stream not in self._times:
            self._times[stream] = [b.streams.get(stream, b.first) for b in self._breaks]
        return bisect_right(self._times[stream], record)

    def breaks(self) -> list[tuple[int, int]]:
        """Time of recording and how far stamps went back, of each reset [ns]."""
        return [(b.first, b.back) for b in self._breaks]


def _breaks(stream: Stream) -> list[tuple[int, int, int]]:
    """(recorded before, recorded after, how far back) of each reset of one stream."""
    found: list[tuple[int, int, int]] = []
    newest: tuple[int, int] | None = None
    for at, (record, stamp) in enumerate(stream):
        if newest is not None and stamp < newest[_STAMP] - _JITTER:
            if not _stays_behind(stream, at, newest):
                continue
            found.append((stream[at - 1][_RECORD], record, newest[_STAMP] - stamp))
            newest = None
        if newest is None or stamp > newest[_STAMP]:
            newest = record, stamp
    return found


def _stays_behind(stream: Stream, at: int, newest: tuple[int, int]) -> bool:
    """Whether stamps from `at` on are of a new run.

    They are if several are behind the newest one, or if what follows differs from its time of
    recording by more than what came before: after a late message, the difference is as before.
    """
    delay, back = newest[_RECORD] - newest[_STAMP], newest[_STAMP] - stream[at][_STAMP]
    for record, stamp in stream[at + 1 : at + _CONFIRMATIONS]:
        if stamp >= newest[_STAMP]:
            return abs(record - stamp - delay) > back / 2
    return True
