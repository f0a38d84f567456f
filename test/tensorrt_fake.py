# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for TensorRT and the CUDA runtime: host memory for the GPU's, ONNX Runtime for kernels.

What they check is our use of the two: which buffers are filled, which shapes are set, what is
refused. They say nothing of TensorRT's own numbers or speed.
"""

from __future__ import annotations

import ctypes
import math
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

VERSION = "10.3.0"
_NUMPY = {1: np.float32, 10: np.float16}


class FakeRuntime:
    """What `cuda.bindings.runtime` offers to one process."""

    class cudaError_t(Enum):
        cudaSuccess = 0
        cudaErrorMemoryAllocation = 2
        cudaErrorUnknown = 999

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self) -> None:
        self.memory: dict[int, np.ndarray] = {}
        self.capacity = 1 << 40
        self.name = "Fake Orin"
        self.recording: list[Any] | None = None
        self.launches = 0

    def cudaSetDevice(self, device: int) -> tuple:
        error = self.cudaError_t.cudaSuccess if device == 0 else self.cudaError_t.cudaErrorUnknown
        return (error,)

    def cudaGetDeviceProperties(self, device: int) -> tuple:
        return self.cudaError_t.cudaSuccess, SimpleNamespace(
            name=self.name.encode(), major=8, minor=7
        )

    def cudaStreamCreate(self) -> tuple:
        return self.cudaError_t.cudaSuccess, 77

    def cudaStreamSynchronize(self, stream: int) -> tuple:
        assert self.recording is None, "a wait inside a capture"
        return (self.cudaError_t.cudaSuccess,)

    def cudaMalloc(self, size: int) -> tuple:
        assert self.recording is None, "an allocation inside a capture"
        if size + sum(block.nbytes for block in self.memory.values()) > self.capacity:
            return self.cudaError_t.cudaErrorMemoryAllocation, 0
        block = np.zeros(size, np.uint8)
        self.memory[block.ctypes.data] = block
        return self.cudaError_t.cudaSuccess, block.ctypes.data

    def cudaFree(self, pointer: int) -> tuple:
        del self.memory[pointer]
        return (self.cudaError_t.cudaSuccess,)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, _: int) -> tuple:
        device = target if kind == 1 else source
        held = [p for p, block in self.memory.items() if p <= device < p + block.nbytes]
        assert held, "not the GPU's memory"
        assert device + size <= held[0] + self.memory[held[0]].nbytes, "past the buffer's end"
        ctypes.memmove(target, source, size)
        return (self.cudaError_t.cudaSuccess,)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple:
        self.recording = []
        return (self.cudaError_t.cudaSuccess,)

    def cudaStreamEndCapture(self, stream: int) -> tuple:
        graph, self.recording = self.recording, None
        return self.cudaError_t.cudaSuccess, graph

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple:
        return self.cudaError_t.cudaSuccess, graph

    def cudaGraphLaunch(self, graph: Any, stream: int) -> tuple:
        self.launches += 1
        for work in graph:
            work()
        return (self.cudaError_t.cudaSuccess,)


class FakeContext:
    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return True

    def execute_async_v3(self, stream: int) -> bool:
        if any(shape[0] > self.engine.batch for shape in self.shapes.values()):
            return False
        runtime = self.engine.runtime
        shapes = dict(self.shapes)
        if runtime.recording is not None:
            runtime.recording.append(lambda: self._compute(shapes))
        else:
            self._compute(shapes)
        return True

    def _compute(self, shapes: dict[str, tuple[int, ...]]) -> None:
        inputs = {
            name: self._view(name, shape, self.engine.types[name]) for name, shape in shapes.items()
        }
        for name, value in zip(
            self.engine.outputs, self.engine.session.run(self.engine.outputs, inputs), strict=True
        ):
            self._view(name, value.shape, self.engine.types[name])[:] = value

    def _view(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        bytes_ = (ctypes.c_byte * size).from_address(self.addresses[name])
        return np.frombuffer(bytes_, dtype).reshape(shape)


class FakeEngine:
    device_memory_size_v2 = 1000

    def __init__(self, plan: bytes, runtime: FakeRuntime) -> None:
        batch, _, path = plan.partition(b"|")
        self.batch = int(batch)
        self.runtime = runtime
        self.session = onnxruntime.InferenceSession(path.decode())
        graph = onnx.load(path.decode()).graph
        self.outputs = [value.name for value in graph.output]
        values = [*graph.input, *graph.output]
        self.types = {v.name: _NUMPY[v.type.tensor_type.elem_type] for v in values}
        self.shapes = {
            v.name: tuple(d.dim_value or -1 for d in v.type.tensor_type.shape.dim) for v in values
        }
        self.names = list(self.shapes)
        self.num_io_tensors = len(self.names)

    def get_tensor_name(self, i: int) -> str:
        return self.names[i]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def get_tensor_dtype(self, name: str) -> type:
        return self.types[name]

    def get_tensor_mode(self, name: str) -> str:
        return "output" if name in self.outputs else "input"

    def create_execution_context(self) -> FakeContext:
        return FakeContext(self)


def tensorrt(runtime: FakeRuntime) -> ModuleType:
    """A module that builds by remembering the ONNX file, and runs it in ONNX Runtime."""

    class Logger:
        WARNING = 2

        def __init__(self, level: int) -> None: ...

    class Config:
        def __init__(self) -> None:
            self.batch = 1
            self.cache = b""
            self.cleared: list[str] = []

        def clear_flag(self, flag: str) -> None:
            self.cleared.append(flag)

        def add_optimization_profile(self, profile: Any) -> None:
            self.batch = profile.batch

        def create_timing_cache(self, cache: bytes) -> Any:
            return SimpleNamespace(serialize=lambda: cache + b"+")

        def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> None: ...

    class Profile:
        batch = 1

        def set_shape(self, name: str, least: tuple, best: tuple, most: tuple) -> None:
            assert least[1:] == best[1:] == most[1:]
            self.batch = most[0]

    class Builder:
        def __init__(self, logger: Logger) -> None: ...

        def create_network(self, flags: int) -> Any:
            assert flags == 1 << 1, "strongly typed"
            return SimpleNamespace()

        def create_builder_config(self) -> Config:
            return Config()

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: Any, config: Config) -> bytes | None:
            if network.path.endswith("unbuildable.onnx"):
                return None
            return f"{config.batch}|{network.path}".encode()

    class OnnxParser:
        num_errors = 1

        def __init__(self, network: Any, logger: Logger) -> None:
            self.network = network

        def parse_from_file(self, path: str) -> bool:
            try:
                graph = onnx.load(path).graph
            except Exception:
                return False
            self.network.path = path
            self.network.num_inputs = len(graph.input)
            self.network.get_input = lambda i: SimpleNamespace(
                name=graph.input[i].name,
                shape=[d.dim_value or -1 for d in graph.input[i].type.tensor_type.shape.dim],
            )
            return True

        def get_error(self, i: int) -> str:
            return "no such operator"

    class Runtime:
        def __init__(self, logger: Logger) -> None: ...

        def deserialize_cuda_engine(self, plan: bytes) -> FakeEngine | None:
            return (
                FakeEngine(plan, runtime)
                if Path(plan.partition(b"|")[2].decode()).is_file()
                else None
            )

    module = ModuleType("tensorrt")
    vars(module).update(
        __version__=VERSION,
        Logger=Logger,
        Builder=Builder,
        OnnxParser=OnnxParser,
        Runtime=Runtime,
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
        BuilderFlag=SimpleNamespace(TF32="tf32"),
        TensorIOMode=SimpleNamespace(INPUT="input", OUTPUT="output"),
        nptype=lambda dtype: dtype,
    )
    return module


def install(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    """Put the stand-ins where the engine imports from."""
    runtime = FakeRuntime()
    bindings = ModuleType("cuda.bindings")
    bindings.runtime = runtime  # type: ignore[attr-defined]
    cuda = ModuleType("cuda")
    cuda.bindings = bindings  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", cuda)
    monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt(runtime))
    return runtime
