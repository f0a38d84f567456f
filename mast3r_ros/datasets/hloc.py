# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Lists that hloc (Sarlin et al., CVPR 2019, arXiv 1812.03506) and its data sets use.

Pairs       lines `query image`, names as in the data set, the best image of a query first
Queries     lines `name MODEL width height parameters...`, a camera model of COLMAP
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mast3r_ros.common.size import ImageSize
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.datasets.trajectory import parse_numbers, parse_size, read_lines


@dataclass(frozen=True)
class ListedQuery:
    """A query with its intrinsics.

    Attributes:
        name: path below the folder of the images.
        model: COLMAP's name of the camera model.
        size: of the image.
        parameters: of the model, pixel centers at halves.
    """

    name: str
    model: str
    size: ImageSize
    parameters: tuple[float, ...]


def read_queries(path: Path) -> list[ListedQuery]:
    """The queries of a list.

    Raises:
        RecordingError: the file cannot be read, or a line is not of this format.
    """
    found = []
    for number, words in read_lines(path):
        if len(words) < 4:
            raise RecordingError(
                f"{path}, line {number}: {len(words)} words, expected `name MODEL width height "
                "parameters...`"
            )
        name, model, *rest = words
        size = parse_size(path, number, rest[:2])
        parameters = parse_numbers(path, number, rest[2:], len(rest) - 2)
        found.append(ListedQuery(name, model, size, tuple(parameters)))
    return found


def read_pairs(path: Path) -> dict[str, list[str]]:
    """The images of each query, in the order of the file, each one once.

    Raises:
        RecordingError: the file cannot be read, holds no pair, or a line is none.
    """
    pairs: dict[str, dict[str, None]] = {}
    for number, words in read_lines(path):
        if len(words) != 2:
            raise RecordingError(
                f"{path}, line {number}: {len(words)} words, expected `query image`"
            )
        pairs.setdefault(words[0], {})[words[1]] = None
    if not pairs:
        raise RecordingError(f"{path} holds no lines `query image`")
    return {query: list(names) for query, names in pairs.items()}


def write_pairs(path: Path, pairs: Mapping[str, Sequence[str]]) -> None:
    """Write what `read_pairs` reads."""
    path.write_text(
        "".join(f"{query} {name}\n" for query, names in pairs.items() for name in names)
    )
