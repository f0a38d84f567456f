# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The exported graphs in ONNX Runtime: on a CPU, with CUDA, or through its TensorRT provider."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.engines.base import (
    Batches,
    Encoded,
    EngineInfo,
    EngineUnavailableError,
    Latency,
    by_size,
    run_once,
    split_outputs,
)
from mast3r_ros.engines.graphs import ENCODER_INPUT, QUERY_TOKENS, REFERENCE_TOKENS, Graphs, Pair
from mast3r_ros.network.config import ImageSize
from mast3r_ros.network.prediction import TwoViewPrediction

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class OnnxRuntimeEngine:
    """The exported graphs in ONNX Runtime; arrays come back to the host.

    Args:
        folder: what `mast3r_ros export` wrote.
        provider: cpu, cuda or tensorrt.
        batch: most references decoded at once.

    Raises:
        EngineUnavailableError: the library, the provider or a file is missing or damaged.
    """

    def __init__(
        self,
        folder: str | Path,
        provider: Literal["cpu", "cuda", "tensorrt"] = "cpu",
        batch: int = 8,
    ) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineUnavailableError(
                "engine onnxruntime: pip install 'mast3r_ros[onnx]'"
                " (onnxruntime-gpu in its place on a GPU)"
            ) from error
        self.graphs = Graphs.load(folder)
        self.config = self.graphs.config
        self._provider = _PROVIDERS[provider]
        if self._provider not in onnxruntime.get_available_providers():
            raise EngineUnavailableError(
                f"engine onnxruntime: its {provider} provider is not in this build of ONNX Runtime "
                f"{onnxruntime.__version__}; install onnxruntime-gpu, or use device: cpu"
            )
        self._encoders = {size: self._open(self.graphs.encoder(size)) for size in self.graphs.sizes}
        self._decoders = {pair: self._open(self.graphs.decoder(pair)) for pair in self.graphs.pairs}
        self.notes: list[str] = []
        self._batches = Batches(batch, _out_of_memory, self.notes)
        self._latency = Latency()

    def encode(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """(B, C, H, W) -> tokens (B, N, encoder width)."""
        size = (images.shape[2], images.shape[3])
        self.graphs.encoder(size)  # refuses sizes that are not there
        with self._latency.stage("encode"):
            session = self._encoders[size]
            return np.concatenate(
                [session.run(None, {ENCODER_INPUT: image[None]})[0] for image in images]
            )

    def decode(
        self, references: Sequence[Encoded], query: Encoded, query_points: bool = False
    ) -> list[TwoViewPrediction[NDArray[np.float32]]]:
        """One query against its references, in their order."""
        self.graphs.require_query_points(query_points)
        results: dict[int, TwoViewPrediction[NDArray[np.float32]]] = {}
        with self._latency.stage("decode"):
            for size, indices in by_size(references).items():
                pair = (size, query.size)
                self.graphs.decoder(pair)
                predictions = self._batches.run(
                    [references[i].tokens for i in indices],
                    partial(self._decode, pair, query.tokens),
                )
                results |= zip(indices, predictions, strict=True)
        return [results[i] for i in range(len(references))]

    def warm_up(self, sizes: Sequence[ImageSize]) -> None:
        """Encode and decode at each size."""
        run_once(self, sizes, {1})

    def info(self) -> EngineInfo:
        """What runs now."""
        return EngineInfo(
            name="onnxruntime",
            precision=self.graphs.precision,
            device=self._provider,
            checkpoint=self.graphs.checkpoint,
            sizes=self.graphs.sizes,
            batch=self._batches.size,
            memory=None,
            notes=tuple(self.notes),
            latency=dict(self._latency.seconds),
        )

    def _open(self, path: Path) -> Any:
        import onnxruntime

        try:
            session = onnxruntime.InferenceSession(path, providers=[self._provider])
        # Its exceptions have no common base but Exception.
        except Exception as error:
            raise EngineUnavailableError(
                f"engine onnxruntime cannot load {path}: {error}"
            ) from error
        # A provider whose libraries do not load is dropped with a log line alone.
        if session.get_providers()[0] != self._provider:
            raise EngineUnavailableError(
                f"engine onnxruntime: {self._provider} did not start for {path.name} (are CUDA, "
                f"cuDNN or TensorRT installed?); got {session.get_providers()[0]}"
            )
        return session

    def _decode(
        self, pair: Pair, query: NDArray[Any], references: Sequence[NDArray[Any]]
    ) -> list[TwoViewPrediction[NDArray[np.float32]]]:
        session = self._decoders[pair]
        dtype = np.float32 if self.graphs.precision == "fp32" else np.float16
        stacked = np.stack(references).astype(dtype, copy=False)
        queries = np.repeat(query[None].astype(dtype, copy=False), len(references), axis=0)
        outputs = session.run(None, {REFERENCE_TOKENS: stacked, QUERY_TOKENS: queries})
        return split_outputs(dict(zip(self.graphs.outputs, outputs, strict=True)))


def _out_of_memory(error: Exception) -> bool:
    return "Failed to allocate memory" in str(error)
