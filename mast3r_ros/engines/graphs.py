# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A folder of exported graphs: which there are, for which sizes, made from which weights.

A graph holds one image size (encoder, point head) or one pair of sizes (decoder with the heads of
local features): its rotary tables and reshapes are constants, and only the number of pairs varies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import (
    PRECISIONS,
    EngineError,
    EngineUnavailableError,
    Precision,
)
from mast3r_ros.engines.batched import SizePair
from mast3r_ros.network.config import MAST3RConfig

MANIFEST = "graphs.json"
ENCODER_INPUT, ENCODER_OUTPUT = "images", "tokens"
REFERENCE_TOKENS, QUERY_TOKENS = "reference_tokens", "query_tokens"
POINTS_OUTPUTS = ("points", "point_confidence")
_FORMAT = 2  # of the folder: the third graph came with it


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
    """

    folder: Path
    config: MAST3RConfig
    precision: Precision
    checkpoint: str
    sizes: tuple[ImageSize, ...]
    pairs: tuple[SizePair, ...]

    @property
    def decoder_outputs(self) -> tuple[str, ...]:
        """Names of the decoder's outputs, in order."""
        features = ("descriptors", "confidence")
        views = ("reference", "query")
        return (*(f"{view}_{name}" for view in views for name in features), *self._levels)

    @property
    def points_inputs(self) -> tuple[str, ...]:
        """Names of the point head's inputs, in order."""
        tokens = (REFERENCE_TOKENS,) if 0 in self.config.point_levels else ()
        return (*tokens, *self._levels)

    @property
    def _levels(self) -> tuple[str, ...]:
        return tuple(f"level_{i}" for i in self.config.point_levels if i)

    def encoder(self, size: ImageSize, suffix: str = ".onnx") -> Path:
        """The encoder's file for a size."""
        self._require(size, self.sizes, str(size))
        return self.folder / f"encoder_{size}{suffix}"

    def decoder(self, pair: SizePair, suffix: str = ".onnx") -> Path:
        """The decoder's file for a pair of sizes."""
        self._require(pair, self.pairs, " with ".join(map(str, pair)))
        return self.folder / f"decoder_{pair[0]}_{pair[1]}{suffix}"

    def points(self, size: ImageSize, suffix: str = ".onnx") -> Path:
        """The point head's file for a size."""
        self._require(size, self.sizes, str(size))
        return self.folder / f"points_{size}{suffix}"

    def files(self, suffix: str = ".onnx") -> list[Path]:
        """All files, encoders first."""
        encoders = [self.encoder(size, suffix) for size in self.sizes]
        decoders = [self.decoder(pair, suffix) for pair in self.pairs]
        return encoders + decoders + [self.points(size, suffix) for size in self.sizes]

    def require_files(self, suffix: str = ".onnx") -> None:
        """Refuse a folder in which a file is missing.

        Raises:
            EngineUnavailableError: names the first one.
        """
        for path in self.files(suffix):
            if not path.is_file():
                verb = "export" if suffix == ".onnx" else "build-engine"
                raise EngineUnavailableError(
                    f"{path} is missing: make it again with\n    mast3r_ros {verb}"
                )

    def save(self) -> None:
        """Write the manifest."""
        content = asdict(self) | {
            "format": _FORMAT,
            "folder": ".",
            "sizes": [str(size) for size in self.sizes],
            "pairs": [[str(size) for size in pair] for pair in self.pairs],
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
            if content.get("format") != _FORMAT:
                raise EngineUnavailableError(
                    f"the graphs in {folder} were written by another version of this package: "
                    "export them again with\n    mast3r_ros export"
                )
            graphs = cls(
                folder=folder,
                config=MAST3RConfig.from_dict(content["config"]),
                precision=content["precision"],
                checkpoint=content["checkpoint"],
                sizes=tuple(ImageSize.parse(size) for size in content["sizes"]),
                pairs=tuple((ImageSize.parse(a), ImageSize.parse(b)) for a, b in content["pairs"]),
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
            pairs = ", ".join(f"{a} with {b}" for a, b in self.pairs)
            raise EngineError(
                f"no graph for images of {name}: {self.folder} holds "
                f"{', '.join(map(str, self.sizes))} (pairs: {pairs}). "
                f"Add it by exporting and building with --size"
            )


def pairs_of(sizes: Iterable[ImageSize], mixed: bool) -> tuple[SizePair, ...]:
    """Each size with itself, or (`mixed`) with every other too."""
    sizes = tuple(sizes)
    return tuple((a, b) for a in sizes for b in sizes if mixed or a == b)
