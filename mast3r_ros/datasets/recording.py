# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A recording: images, and where it knows them their poses, whatever they are stored in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from mast3r_ros.common.errors import UserError
from mast3r_ros.datasets.summary import REFUSED, ReadSummary, RecordingError, StrictError
from mast3r_ros.frame import Frame
from mast3r_ros.geometry.transforms import Pose


@dataclass(frozen=True)
class PosedImage:
    """One image of a recording.

    Attributes:
        name: for people; no other image of the recording has it.
        pose: map <- camera, (4, 4), the truth; None where it is not known.
        load: reads the image; with its depth, where there is some and the argument is true.
        stamp: time of exposure [ns]; 0 where it is not known.
        recorded: time of recording in a bag [ns], else 0.
        summary: where `read_frames` counts.
    """

    name: str
    pose: Pose | None
    load: Callable[[bool], Frame]
    stamp: int = 0
    recorded: int = 0
    summary: ReadSummary = field(default_factory=ReadSummary, repr=False, compare=False)

    @property
    def true_pose(self) -> Pose:
        """The pose.

        Raises:
            RecordingError: it is not known.
        """
        if self.pose is None:
            raise RecordingError(f"image {self.name} has no true pose")
        return self.pose


@dataclass(frozen=True)
class PosedPair:
    """Two views of one place, and the truth.

    Attributes:
        name: for people.
        reference: with its true depth, where there is some.
        query: the other view.
        motion: reference camera <- query camera, (4, 4).
        overlap: fraction of their images that both see, in [0, 1]; NaN where it is not known.
    """

    name: str
    reference: Frame
    query: Frame
    motion: Pose
    overlap: float


def read_frames(
    images: Iterable[PosedImage], with_depth: bool
) -> Iterator[tuple[PosedImage, Frame]]:
    """Load images one by one; those that cannot be used are left out and counted.

    Raises:
        RecordingError: none of the images can be used; or one cannot, and reading is strict.
    """
    read, first = 0, ""
    for image in images:
        try:
            frame = image.load(with_depth)
        except StrictError:
            raise
        except UserError as error:
            first = first or f"{image.name}: {error}"
            image.summary.note(REFUSED, image.name, str(error))
            continue
        read += 1
        image.summary.count_read(image.name)
        yield image, frame
    if first and not read:
        raise RecordingError(f"no image can be used; the first is {first}")
