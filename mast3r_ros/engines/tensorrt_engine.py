# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Built TensorRT engines, running: an encoder a size, a decoder with its heads a pair of sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.engines.base import (
    Batches,
    DeviceArray,
    Encoded,
    EngineError,
    EngineInfo,
    EngineUnavailableError,
    Latency,
    by_size,
    on_host,
    run_once,
    split_outputs,
    to_numpy,
)
from mast3r_ros.engines.cuda import Cuda, CudaMemoryError, DeviceBuffer
from mast3r_ros.engines.cuda import DeviceArray as CudaArray
from mast3r_ros.engines.graphs import (
    ENCODER_INPUT,
    ENCODER_OUTPUT,
    QUERY_TOKENS,
    REFERENCE_TOKENS,
    Graphs,
    Pair,
)
from mast3r_ros.engines.tensorrt_build import ENGINE_SUFFIX, Stamp
from mast3r_ros.network.config import ImageSize
from mast3r_ros.network.prediction import TwoViewPrediction


def import_tensorrt() -> Any:
    """The tensorrt module.

    Raises:
        EngineUnavailableError: it is missing or too old.
    """
    try:
        import tensorrt
    except ImportError as error:
        raise EngineUnavailableError(
            f"TensorRT is not installed ({error}): on a Jetson it comes with JetPack 6, "
            "elsewhere pip install tensorrt"
        ) from error
    major, minor = (int(part) for part in tensorrt.__version__.split(".")[:2])
    if (major, minor) < (10, 3):
        raise EngineUnavailableError(f"TensorRT {tensorrt.__version__} is too old: 10.3 is needed")
    return tensorrt


class TensorRtEngine:
    """Engines that `mast3r_ros build-engine` made; arrays stay on the GPU until the next call.

    Args:
        folder: graphs and engines.
        device: number of the GPU.
        batch: most references decoded at once, within what the engines were built for.
        cuda_graphs: capture each decoder and batch as a CUDA graph.
        stream: handle of the CUDA stream to work on; a new one where it is not given.

    Raises:
        EngineUnavailableError: a library, the GPU or a file is missing or does not fit.
    """

    def __init__(
        self,
        folder: str | Path,
        device: int = 0,
        batch: int = 8,
        cuda_graphs: bool = False,
        stream: int | None = None,
    ) -> None:
        trt = import_tensorrt()
        self.graphs = Graphs.load(folder)
        self.config = self.graphs.config
        self._cuda = Cuda(device, stream)
        self._version = trt.__version__
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._logger)
        self.notes: list[str] = []
        self._batches = Batches(batch, lambda e: isinstance(e, CudaMemoryError), self.notes)
        self._cuda_graphs = cuda_graphs
        self._latency = Latency()
        self._encoders = {
            size: self._load(trt, self.graphs.encoder(size, ENGINE_SUFFIX))
            for size in self.graphs.sizes
        }
        self._decoders = {
            pair: self._load(trt, self.graphs.decoder(pair, ENGINE_SUFFIX))
            for pair in self.graphs.pairs
        }

    def encode(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """(B, C, H, W) -> tokens (B, N, encoder width)."""
        size = (images.shape[2], images.shape[3])
        self.graphs.encoder(size)  # refuses sizes that are not there
        with self._latency.stage("encode"):
            tokens = []
            for image in images:
                self._encoders[size].upload(ENCODER_INPUT, image[None])
                outputs = self._encoders[size].run(1)
                tokens.append(to_numpy(outputs[ENCODER_OUTPUT]))
            return np.concatenate(tokens)

    def decode(
        self, references: Sequence[Encoded], query: Encoded, query_points: bool = False
    ) -> list[TwoViewPrediction[DeviceArray]]:
        """One query against its references, in their order; arrays are valid until the next call.

        Only the last batch stays on the GPU, whose buffers hold one; earlier ones come to the host.
        """
        self.graphs.require_query_points(query_points)
        results: dict[int, TwoViewPrediction[DeviceArray]] = {}
        with self._latency.stage("decode"):
            for size, indices in by_size(references).items():
                pair = (size, query.size)
                self.graphs.decoder(pair)
                alone = len(indices) == len(references) <= self._batches.size
                predictions = self._batches.run(
                    [references[i].tokens for i in indices],
                    partial(self._decode, pair, query.tokens, alone),
                )
                results |= zip(indices, predictions, strict=True)
            self._cuda.synchronize()
        return [results[i] for i in range(len(references))]

    def warm_up(self, sizes: Sequence[ImageSize]) -> None:
        """Encode and decode at each size, with one reference and with a full batch."""
        run_once(self, sizes, {1, self._batches.size})

    def info(self) -> EngineInfo:
        """What runs now."""
        programs = (*self._encoders.values(), *self._decoders.values())
        return EngineInfo(
            name=f"tensorrt {self._version}",
            precision=self.graphs.precision,
            device=self._cuda.gpu,
            checkpoint=self.graphs.checkpoint,
            sizes=self.graphs.sizes,
            batch=self._batches.size,
            memory=sum(program.memory for program in programs),
            notes=tuple(self.notes),
            latency=dict(self._latency.seconds),
        )

    def _load(self, trt: Any, path: Path) -> _Program:
        stamp = Stamp.load(path)
        stamp.require(self.graphs, self._cuda.gpu, self._version, path)
        self._batches.size = min(self._batches.size, stamp.batch)
        try:
            plan = path.read_bytes()
        except FileNotFoundError as error:
            raise EngineUnavailableError(f"{path} is missing: build it again") from error
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineUnavailableError(
                f"TensorRT {self._version} does not load {path}: it is damaged; build it again"
            )
        while True:
            try:
                return _Program(trt, engine, self._cuda, self._batches.size, self._cuda_graphs)
            except CudaMemoryError as error:
                if self._batches.size == 1:
                    raise EngineUnavailableError(
                        f"the GPU's memory does not hold {path.name}: use fewer sizes"
                    ) from error
            self._batches.halve()

    def _decode(
        self, pair: Pair, query: NDArray[Any], stay: bool, references: Sequence[NDArray[Any]]
    ) -> list[TwoViewPrediction[DeviceArray]]:
        program = self._decoders[pair]
        count = len(references)
        program.upload(REFERENCE_TOKENS, np.stack(references))
        program.upload(QUERY_TOKENS, np.repeat(query[None], count, axis=0))
        predictions = split_outputs(program.run(count))
        return predictions if stay else [on_host(prediction) for prediction in predictions]


class _Program:
    """One engine with its context and buffers, all allocated once."""

    def __init__(self, trt: Any, engine: Any, cuda: Cuda, batch: int, cuda_graphs: bool) -> None:
        self._engine = engine
        self._cuda = cuda
        self._replays: dict[int, Callable[[], None]] | None = {} if cuda_graphs else None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._types: dict[str, np.dtype[Any]] = {}
        self._buffers: dict[str, DeviceBuffer] = {}
        self._inputs: list[str] = []
        for i in range(engine.num_io_tensors):
            name = engine.get_tensor_name(i)
            shape = tuple(engine.get_tensor_shape(name))
            self._shapes[name] = shape
            self._types[name] = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
            size = math.prod(self._shape(name, batch)) * self._types[name].itemsize
            self._buffers[name] = cuda.allocate(size)
            if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
                self._inputs.append(name)
        context = engine.create_execution_context()
        if context is None:
            raise CudaMemoryError("no memory for TensorRT's execution context")
        self._context = context
        for name, buffer in self._buffers.items():
            context.set_tensor_address(name, buffer.pointer)

    @property
    def memory(self) -> int:
        """Bytes of the buffers, and of what the context works in."""
        own: int = sum(buffer.size for buffer in self._buffers.values())
        return own + int(self._engine.device_memory_size_v2)

    def upload(self, name: str, array: NDArray[Any]) -> None:
        """Copy an input to the GPU, in the type that the engine takes."""
        self._buffers[name].upload(array.astype(self._types[name], copy=False))

    def run(self, count: int) -> dict[str, CudaArray]:
        """Run for a batch of `count`; the outputs by name."""
        if self._replays is None:
            self._execute(count)
        else:
            if count not in self._replays:
                self._execute(count)  # the first run may allocate, which a capture must not
                self._cuda.synchronize()
                self._replays[count] = self._cuda.capture(partial(self._execute, count))
            self._replays[count]()
        return {
            name: CudaArray(self._buffers[name], self._shape(name, count), self._types[name])
            for name in self._shapes
            if name not in self._inputs
        }

    def _shape(self, name: str, count: int) -> tuple[int, ...]:
        leading, *rest = self._shapes[name]
        return (count if leading == -1 else leading, *rest)

    def _execute(self, count: int) -> None:
        for name in self._inputs:
            self._context.set_input_shape(name, self._shape(name, count))
        if not self._context.execute_async_v3(self._cuda.stream):
            raise EngineError("TensorRT refused to run: see its messages above")
