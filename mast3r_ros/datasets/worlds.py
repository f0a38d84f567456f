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
from mast3r_ros.geometry.transforms import Pose

if TYPE_CHECKING:
    from mast3r_ros.training.worlds import Pair, PairSource, View


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
        pairs = rendered_pairs(
            options.seed, size, options.min_overlap, version=options.worlds_version
        )
        return itertools.islice(pairs, options.count)


def rendered_pairs(
    seed: int,
    size: tuple[int, int],
    min_overlap: float = 0.0,
    portrait: bool = False,
    version: int = 1,
) -> Iterator[PosedPair]:
    """Pairs of rendered rooms and textures that were held out of training, without end.

    Args:
        seed: of the rooms.
        size: (width, height) [pixels], in landscape.
        min_overlap: pairs that share less are left out.
        portrait: width and height change places.
        version: of the worlds.

    Raises:
        RecordingError: what renders them is not installed.
        NoOpenGL, TexturesMissing: it is, but cannot work here.
    """
    for index, pair, _ in _held_out(seed, size, min_overlap, portrait, version):
        yield _posed(index, pair)


def rendered_approaches(
    seed: int, size: tuple[int, int], min_overlap: float, portrait: bool, count: int
) -> Iterator[tuple[PosedPair, list[tuple[Frame, Pose]]]]:
    """The pairs of `rendered_pairs`, and what a hand-held camera saw on its way to each query.

    Args:
        seed, size, min_overlap, portrait: as of `rendered_pairs`.
        count: of the images before the query, which come the oldest first, each with reference
            camera <- camera.

    Raises:
        RecordingError, NoOpenGL, TexturesMissing: as of `rendered_pairs`.
    """
    for index, pair, source in _held_out(seed, size, min_overlap, portrait):
        reference_world = transforms.inverse(pair.reference.pose)
        before = source.approach(index, pair.query, count)
        yield _posed(index, pair), [(_frame(v), reference_world @ v.pose) for v in before]


def _held_out(
    seed: int, size: tuple[int, int], min_overlap: float, portrait: bool, version: int = 1
) -> Iterator[tuple[int, Pair, PairSource]]:
    """Numbers and pairs without end, and what renders them."""
    try:
        from mast3r_ros.training.worlds import PairSource
    except ImportError as error:
        raise RecordingError(
            f"rooms are rendered by packages that are not all here ({error}): "
            "pip install -r requirements/train.txt"
        ) from error
    source = PairSource(seed, split="held-out", size=ImageSize(*size), version=version)
    for index in itertools.count():
        pair = source.pair(index, portrait)
        if pair.overlap >= min_overlap:
            yield index, pair, source


def _posed(index: int, pair: Pair) -> PosedPair:
    return PosedPair(
        f"room {index}",
        _frame(pair.reference),
        _frame(pair.query),
        transforms.inverse(pair.reference.pose) @ pair.query.pose,
        pair.overlap,
    )


def _frame(view: View) -> Frame:
    return Frame(view.image, view.camera, depth=view.depth)
