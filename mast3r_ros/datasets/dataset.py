# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What every source of images offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from mast3r_ros.datasets.options import PairOptions, SourceOptions
from mast3r_ros.datasets.recording import PosedImage, PosedPair
from mast3r_ros.datasets.summary import WITHOUT_POSE, ReadSummary, RecordingError


class Dataset(ABC):
    """Images of one source, in the order of time, with poses where it knows them.

    Attributes:
        source: as the user named it.
        summary: what came of reading, complete once the images were read.
    """

    def __init__(self, source: str, options: SourceOptions) -> None:
        """Of a source, not read yet."""
        self.source = source
        self.summary = ReadSummary(options.strict)

    @abstractmethod
    def __len__(self) -> int:
        """Number of images, with and without a pose."""

    @abstractmethod
    def __iter__(self) -> Iterator[PosedImage]:
        """All images."""

    def posed(self) -> Iterator[PosedImage]:
        """Images with a true pose; the others are left out and counted.

        Raises:
            RecordingError: there is none.
        """
        found = False
        for image in self:
            if image.pose is not None:
                found = True
                yield image
        if not found:
            reasons = self.summary.reasons(WITHOUT_POSE)
            why = reasons[0][2] if reasons else "it has no images"
            raise RecordingError(f"{self.source}: no image with a known pose: {why}")

    def pairs(self, options: PairOptions) -> Iterator[PosedPair]:
        """Pairs of images, spread evenly over their overlap.

        Raises:
            RecordingError: images without pose or depth, or none overlap.
        """
        from mast3r_ros.datasets.pairs import recorded_pairs

        yield from recorded_pairs(
            list(self.posed()), options.count, options.seed, options.min_overlap
        )


class ImageList(Dataset):
    """A data set whose images are known as soon as it is opened."""

    def __init__(self, source: str, options: SourceOptions) -> None:
        """No images yet."""
        super().__init__(source, options)
        self.images: list[PosedImage] = []

    def __len__(self) -> int:
        """Number of images, with and without a pose."""
        return len(self.images)

    def __iter__(self) -> Iterator[PosedImage]:
        """All images."""
        return iter(self.images)

    def __getitem__(self, index: int) -> PosedImage:
        """One image."""
        return self.images[index]
