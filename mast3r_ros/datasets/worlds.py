# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rendered rooms that no training has seen, as pairs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mast3r_ros.common.size import ImageSize
from mast3r_ros.datasets.dataset import Dataset
from mast3r_ros.datasets.kinds import WORLDS
from mast3r_ros.datasets.options import PairOptions, SourceOptions
from mast3r_ros.datasets.recording import PosedImage, PosedPair
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms

if TYPE_CHECKING:
    from mast3r_ros.training.worlds import View


class Worlds(Dataset):
    """Rendered rooms and textures that were held out of training: pairs without end."""

    def __init__(self, options: SourceOptions) -> None:
        """Nothing is rendered yet."""
        super().__init__(WORLDS, options)

    def __len__(self) -> int:
        """It has no images but in pairs."""
        return 0

    def __iter__(self) -> Iterator[PosedImage]:
        """It has no images but in pairs.

        Raises:
            RecordingError: always.
        """
        raise RecordingError(f"`{WORLDS}` gives pairs of images only: use `evaluate pairs`")

    def pairs(self, options: PairOptions) -> Iterator[PosedPair]:
        """See `rendered_pairs`."""
        size = ImageSize.parse(options.size)
        pairs = rendered_pairs(options.seed, size, options.min_overlap)
        return itertools.islice(pairs, options.count)


def rendered_pairs(
    seed: int, size: tuple[int, int], min_overlap: float = 0.0, portrait: bool = False
) -> Iterator[PosedPair]:
    """Pairs of rendered rooms and textures that were held out of training, without end.

    Args:
        seed: of the rooms.
        size: (width, height) [pixels], in landscape.
        min_overlap: pairs that share less are left out.
        portrait: width and height change places.

    Raises:
        RecordingError: what renders them is not installed.
        NoOpenGL, TexturesMissing: it is, but cannot work here.
    """
    try:
        from mast3r_ros.training.worlds import PairSource
    except ImportError as error:
        raise RecordingError(
            f"rooms are rendered by packages that are not all here ({error}): "
            "pip install -r requirements/train.txt"
        ) from error
    source = PairSource(seed, split="held-out", size=ImageSize(*size))
    for index in itertools.count():
        pair = source.pair(index, portrait)
        if pair.overlap >= min_overlap:
            yield PosedPair(
                f"room {index}",
                _frame(pair.reference),
                _frame(pair.query),
                transforms.inverse(pair.reference.pose) @ pair.query.pose,
                pair.overlap,
            )


def _frame(view: View) -> Frame:
    return Frame(view.image, view.camera, depth=view.depth)
