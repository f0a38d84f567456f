# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A folder of exported graphs: which there are, for which sizes, made from which weights.

A graph holds one image size (the encoder) or one pair of sizes (the decoder with its heads): its
rotary tables and reshapes are constants, and only the number of references varies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mast3r_ros.engines.base import (
    PRECISIONS,
    EngineError,
    EngineUnavailableError,
    Precision,
    parse_size,
    size_name,
)
from mast3r_ros.network.config import ImageSize, MAST3RConfig

MANIFEST = "graphs.json"
ENCODER_INPUT, ENCODER_OUTPUT = "images", "tokens"
REFERENCE_TOKENS, QUERY_TOKENS = "reference_tokens", "query_tokens"
_VIEW_OUTPUTS = ("points", "confidence", "descriptors", "descriptor_confidence")

Pair = tuple[ImageSize, ImageSize]
"""(reference size, query size)."""


@dataclass(frozen=True)
class Graphs:
    """What a folder of graphs holds.

    Attributes:
        folder: where they are.
        config: the network's sizes.
        precision: of the backbone.
        checkpoint: SHA-256 of the weights' file.
        sizes: image sizes of the encoders.
        pairs: (reference size, query size) of the decoders.
        query_points: whether the decoders make the query's point map.
    """

    folder: Path
    config: MAST3RConfig
    precision: Precision
    checkpoint: str
    sizes: tuple[ImageSize, ...]
    pairs: tuple[Pair, ...]
    query_points: bool

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the decoder's outputs, in order."""
        query = _VIEW_OUTPUTS if self.query_points else _VIEW_OUTPUTS[2:]
        return tuple(f"reference_{name}" for name in _VIEW_OUTPUTS) + tuple(
            f"query_{name}" for name in query
        )

    def encoder(self, size: ImageSize, suffix: str = ".onnx") -> Path:
        """The encoder's file for a size."""
        self._require(size, self.sizes, size_name(size))
        return self.folder / f"encoder_{size_name(size)}{suffix}"

    def decoder(self, pair: Pair, suffix: str = ".onnx") -> Path:
        """The decoder's file for a pair of sizes."""
        self._require(pair, self.pairs, " with ".join(map(size_name, pair)))
        return self.folder / f"decoder_{size_name(pair[0])}_{size_name(pair[1])}{suffix}"

    def files(self, suffix: str = ".onnx") -> list[Path]:
        """All files, encoders first."""
        encoders = [self.encoder(size, suffix) for size in self.sizes]
        return encoders + [self.decoder(pair, suffix) for pair in self.pairs]

    def require_query_points(self, wanted: bool) -> None:
        """Refuse a query's point map that the graphs do not make."""
        if wanted and not self.query_points:
            raise EngineError(
                f"the graphs in {self.folder} make no point map of the query: export them with "
                "--query-points, or use a pose method that needs none (pnp, essential)"
            )

    def save(self) -> None:
        """Write the manifest."""
        content = asdict(self) | {
            "folder": ".",
            "sizes": [size_name(size) for size in self.sizes],
            "pairs": [[size_name(size) for size in pair] for pair in self.pairs],
        }
        (self.folder / MANIFEST).write_text(json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> Graphs:
        """Read a folder's manifest.

        Raises:
            EngineUnavailableError: there is none, or it is damaged.
        """
        folder = Path(folder)
        try:
            content: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
            graphs = cls(
                folder=folder,
                config=MAST3RConfig.from_dict(content["config"]),
                precision=content["precision"],
                checkpoint=content["checkpoint"],
                sizes=tuple(parse_size(size) for size in content["sizes"]),
                pairs=tuple((parse_size(a), parse_size(b)) for a, b in content["pairs"]),
                query_points=bool(content["query_points"]),
            )
        except FileNotFoundError as error:
            raise EngineUnavailableError(
                f"no exported graphs in {folder}: make them with\n    mast3r_ros export"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineUnavailableError(
                f"{folder / MANIFEST} is damaged ({error}): export the graphs again"
            ) from error
        if graphs.precision not in PRECISIONS:
            raise EngineUnavailableError(
                f"{folder / MANIFEST}: precision {graphs.precision!r} is unknown"
            )
        return graphs

    def _require(self, wanted: Any, held: Iterable[Any], name: str) -> None:
        if wanted not in held:
            pairs = ", ".join(f"{size_name(a)} with {size_name(b)}" for a, b in self.pairs)
            raise EngineError(
                f"no graph for images of {name}: {self.folder} holds "
                f"{', '.join(map(size_name, self.sizes))} (pairs: {pairs}). "
                f"Add it by exporting and building with --size"
            )


def pairs_of(sizes: Iterable[ImageSize], mixed: bool) -> tuple[Pair, ...]:
    """Each size with itself, or (`mixed`) with every other too."""
    sizes = tuple(sizes)
    return tuple((a, b) for a in sizes for b in sizes if mixed or a == b)
