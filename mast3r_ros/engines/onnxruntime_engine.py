# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The exported graphs in ONNX Runtime: on a CPU, with CUDA, or through its TensorRT provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import DecodedPair, EngineInfo, EngineUnavailableError, Pair
from mast3r_ros.engines.batched import BatchedEngine, SizePair, as_pairs, as_point_maps
from mast3r_ros.engines.graphs import ENCODER_INPUT, QUERY_TOKENS, REFERENCE_TOKENS, Graphs
from mast3r_ros.network.prediction import PointMap

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class OnnxRuntimeEngine(BatchedEngine):
    """The exported graphs in ONNX Runtime; arrays come back to the host.

    A graph is loaded when it is first needed.

    Args:
        folder: what `mast3r_ros export` wrote.
        provider: cpu, cuda or tensorrt.
        batch: most pairs decoded at once.
        device: number of the GPU.

    Raises:
        EngineUnavailableError: the library, the provider or a file is missing.
    """

    def __init__(
        self,
        folder: str | Path,
        provider: Literal["cpu", "cuda", "tensorrt"] = "cpu",
        batch: int = 8,
        device: int = 0,
    ) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineUnavailableError(
                "engine onnxruntime: pip install 'mast3r_ros[onnx]'"
                " (onnxruntime-gpu in its place on a GPU)"
            ) from error
        self.graphs = Graphs.load(folder)
        super().__init__(self.graphs.config, batch, _out_of_memory)
        self._provider = _PROVIDERS[provider]
        if self._provider not in onnxruntime.get_available_providers():
            raise EngineUnavailableError(
                f"engine onnxruntime: its {provider} provider is not in this build of ONNX Runtime "
                f"{onnxruntime.__version__}; install onnxruntime-gpu, or use device: cpu"
            )
        self._options = {} if provider == "cpu" else {"device_id": str(device)}
        if provider == "cuda":  # float32 products, as in the other engines
            self._options["use_tf32"] = "0"
        self.graphs.require_files()
        self._sessions: dict[Path, Any] = {}
        # Now, so that a provider that does not start is known before the first image.
        self._session(self.graphs.encoder(self.graphs.sizes[0]))

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

    def _encode(self, images: NDArray[np.float32]) -> NDArray[Any]:
        path = self.graphs.encoder(ImageSize.of(images.shape[2:]))
        return np.concatenate(
            [self._run(path, {ENCODER_INPUT: image[None]})[0] for image in images]
        )

    def _decode(self, sizes: SizePair, pairs: Sequence[Pair]) -> list[DecodedPair]:
        inputs = {
            name: np.stack([pair[side].tokens for pair in pairs])
            for side, name in enumerate((REFERENCE_TOKENS, QUERY_TOKENS))
        }
        return as_pairs(self._run(self.graphs.decoder(sizes), inputs), pairs)

    def _points(
        self, size: ImageSize, decoded: Sequence[DecodedPair]
    ) -> list[PointMap[NDArray[np.float32]]]:
        levels = [np.stack(level) for level in zip(*(d.levels for d in decoded), strict=True)]
        if 0 in self.config.point_levels:
            levels.insert(0, np.stack([d.encoded.tokens for d in decoded]))
        inputs = dict(zip(self.graphs.points_inputs, levels, strict=True))
        return as_point_maps(self._run(self.graphs.points(size), inputs), len(decoded))

    def _run(self, path: Path, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        half = self.graphs.precision != "fp32"
        tokens = np.float16 if half else np.float32
        converted = {
            name: array.astype(tokens, copy=False) if name.endswith("_tokens") else array
            for name, array in inputs.items()
        }
        outputs: list[NDArray[Any]] = self._session(path).run(None, converted)
        return outputs

    def _session(self, path: Path) -> Any:
        if path not in self._sessions:
            self._sessions[path] = self._open(path)
        return self._sessions[path]

    def _open(self, path: Path) -> Any:
        import onnxruntime

        try:
            session = onnxruntime.InferenceSession(
                path, providers=[(self._provider, self._options)]
            )
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


def _out_of_memory(error: Exception) -> bool:
    return "Failed to allocate memory" in str(error)
