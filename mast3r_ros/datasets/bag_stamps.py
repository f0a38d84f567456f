# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images of a bag whose stamp is not their own: drivers leave it at zero, or repeat an old one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mast3r_ros.datasets.bag_index import Stamped
from mast3r_ros.datasets.summary import REFUSED, ReadSummary, RecordingError

_OTHERWISE = "--use-record-times takes the times of recording"
# A message that was recorded twice comes within so much [ns].
_TOGETHER = 20_000_000


class ImageStamps:
    """Which images cannot be used.

    Attributes:
        refused: their numbers.
        twins: images that have time and stamp of another one, and are used.
    """

    def __init__(
        self,
        topic: str,
        images: Sequence[Stamped],
        run_of: Callable[[int], int],
        summary: ReadSummary,
    ) -> None:
        """Note images without a stamp, and those with the stamp of an image long before.

        Args:
            topic: of the images.
            images: in the order of recording.
            run_of: the run of an image by its time of recording [ns].
            summary: where they are noted.

        Raises:
            RecordingError: there is no image, or none has a stamp of its own.
        """
        if not images:
            raise RecordingError(f"{topic} has no messages")
        self.refused: set[int] = set()
        first: dict[tuple[int, int], int] = {}
        notes: dict[int, str] = {}
        for number, entry in enumerate(images):
            if entry.stamp == 0:
                notes[number] = (
                    f"on {topic} with stamp 0, which is no time of exposure; {_OTHERWISE}"
                )
                continue
            run = run_of(entry.record)
            apart = entry.record - first.setdefault((run, entry.stamp), entry.record)
            if apart > _TOGETHER:
                notes[number] = (
                    f"on {topic} with the stamp of an image that was recorded {apart / 1e9:.3f} s "
                    f"before; {_OTHERWISE}"
                )
        if len(notes) == len(images):
            raise RecordingError(f"all {len(images)} images are {notes[0]}")
        if len(notes) == len(images) - 1 > 1 and len(first) == 1:
            raise RecordingError(f"all {len(images)} images but one are {max(notes.items())[1]}")
        for number, reason in notes.items():
            summary.note(REFUSED, f"image {number}", f"it is {reason}")
        self.refused = set(notes)
        self.twins = len(images) - len(notes) - len(first)
