# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for TensorRT and the CUDA runtime: host memory for the GPU's, ONNX Runtime for kernels.

What they check is our use of the two: which buffers are filled, which shapes are set, what is
refused. They say nothing of TensorRT's own numbers or speed.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import sys
import threading
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
    """What `cuda.bindings.runtime` offers to one process.

    Stricter than the real one: what NVIDIA's guides leave undefined is an error here. The current
    device is of each thread; streams, memory and graphs belong to the device that was current.
    """

    class cudaError_t(Enum):
        cudaSuccess = 0
        cudaErrorMemoryAllocation = 2
        cudaErrorUnknown = 999

    cudaMemcpyKind = SimpleNamespace(
        cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2, cudaMemcpyDeviceToDevice=3
    )
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, devices: int = 1) -> None:
        self.devices = devices
        self.memory: dict[int, np.ndarray] = {}
        self.pinned: dict[int, np.ndarray] = {}
        self.owners: dict[int, int] = {}  # pointers and streams -> device
        self.graphs: set[int] = set()  # instantiated, not destroyed
        self.capacity = 1 << 40
        self.name = "Fake Orin"
        self.recording: list[Any] | None = None
        self.launches = 0
        self.driver_version = 13000
        self.copied = {1: 0, 2: 0, 3: 0}  # bytes by kind
        self._current = threading.local()
        self._handles = itertools.count(77)

    @property
    def device(self) -> int:
        """The current device of this thread."""
        return getattr(self._current, "device", 0)

    def cudaSetDevice(self, device: int) -> tuple:
        if device >= self.devices:
            return (self.cudaError_t.cudaErrorUnknown,)
        self._current.device = device
        return (self.cudaError_t.cudaSuccess,)

    def cudaGetDevice(self) -> tuple:
        return self.cudaError_t.cudaSuccess, self.device

    def cudaGetDeviceProperties(self, device: int) -> tuple:
        if device >= self.devices:
            return self.cudaError_t.cudaErrorUnknown, None
        return self.cudaError_t.cudaSuccess, SimpleNamespace(
            name=self.name.encode(), major=8, minor=7
        )

    def cudaMemGetInfo(self) -> tuple:
        free = self.capacity - sum(block.nbytes for block in self.memory.values())
        return self.cudaError_t.cudaSuccess, free, self.capacity

    cudaStreamNonBlocking = 1

    def cudaDriverGetVersion(self) -> tuple:
        return self.cudaError_t.cudaSuccess, self.driver_version

    def cudaRuntimeGetVersion(self) -> tuple:
        return self.cudaError_t.cudaSuccess, 13000

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple:
        assert flags == self.cudaStreamNonBlocking, "other libraries would break a capture"
        stream = next(self._handles)
        self.owners[stream] = self.device
        return self.cudaError_t.cudaSuccess, stream

    def cudaStreamSynchronize(self, stream: int) -> tuple:
        assert self.recording is None, "a wait inside a capture"
        return (self.cudaError_t.cudaSuccess,)

    def cudaMalloc(self, size: int) -> tuple:
        assert self.recording is None, "an allocation inside a capture"
        if size + sum(block.nbytes for block in self.memory.values()) > self.capacity:
            return self.cudaError_t.cudaErrorMemoryAllocation, 0
        # What was there before is noise, not zeros.
        block = np.full(size, 0x3A, np.uint8)
        self.memory[block.ctypes.data] = block
        self.owners[block.ctypes.data] = self.device
        return self.cudaError_t.cudaSuccess, block.ctypes.data

    def cudaFree(self, pointer: int) -> tuple:
        del self.memory[pointer]
        return (self.cudaError_t.cudaSuccess,)

    def cudaMallocHost(self, size: int) -> tuple:
        assert self.recording is None, "an allocation inside a capture"
        block = np.full(size, 0x3A, np.uint8)
        self.pinned[block.ctypes.data] = block
        return self.cudaError_t.cudaSuccess, block.ctypes.data

    def cudaFreeHost(self, pointer: int) -> tuple:
        del self.pinned[pointer]
        return (self.cudaError_t.cudaSuccess,)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> tuple:
        assert self.recording is None, "a copy of this call's data inside a capture"
        places = {1: (self.memory, self.pinned), 2: (self.pinned, self.memory)}
        to, of = places.get(kind, (self.memory, self.memory))
        for pointer, held in ((target, to), (source, of)):
            start = self.block_at(pointer, held)
            assert pointer + size <= start + held[start].nbytes, "past the buffer's end"
            if held is self.memory:
                assert self.owners[start] == self.owners[stream], "memory of another device"
        self.copied[kind] += size
        ctypes.memmove(target, source, size)
        return (self.cudaError_t.cudaSuccess,)

    def block_at(self, pointer: int, held: dict[int, np.ndarray]) -> int:
        """Where the block starts that a pointer lies in."""
        starts = [p for p, block in held.items() if p <= pointer < p + block.nbytes]
        assert starts, "not pinned" if held is self.pinned else "not the GPU's memory"
        return starts[0]

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple:
        assert mode == 1, "a capture that other threads' calls break"
        assert self.owners[stream] == self.device, "a capture on another device's stream"
        self.recording = []
        return (self.cudaError_t.cudaSuccess,)

    def cudaStreamEndCapture(self, stream: int) -> tuple:
        graph, self.recording = self.recording, None
        return self.cudaError_t.cudaSuccess, graph

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple:
        assert graph, "an empty graph"
        executable = SimpleNamespace(work=list(graph), device=self.device)
        self.graphs.add(id(executable))
        return self.cudaError_t.cudaSuccess, executable

    def cudaGraphDestroy(self, graph: Any) -> tuple:
        graph.clear()
        return (self.cudaError_t.cudaSuccess,)

    def cudaGraphExecDestroy(self, executable: Any) -> tuple:
        self.graphs.remove(id(executable))
        return (self.cudaError_t.cudaSuccess,)

    def cudaGraphLaunch(self, executable: Any, stream: int) -> tuple:
        assert executable.device == self.device == self.owners[stream], "another device's graph"
        self.launches += 1
        for work in executable.work:
            work()
        return (self.cudaError_t.cudaSuccess,)


class FakeContext:
    """A context without memory of its own. What is captured from it is bound to its shapes."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.scratch: tuple[int, int] | None = None
        self.captured = False

    def _change(self) -> None:
        assert not self.captured, "a context was changed that graphs were captured from"
        assert self.engine.runtime.recording is None, "a context was changed inside a capture"

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._change()
        self.addresses[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._change()
        if shape[0] > self.engine.batch or shape[1:] != self.engine.shapes[name][1:]:
            return False
        self.shapes[name] = shape
        return True

    def update_device_memory_size_for_shapes(self) -> int:
        assert len(self.shapes) == len(self.engine.session.get_inputs())
        return 1000 * max(shape[0] for shape in self.shapes.values())

    def set_device_memory(self, pointer: int, size: int) -> None:
        self._change()
        assert size >= self.update_device_memory_size_for_shapes(), "too little scratch memory"
        self.scratch = (pointer, size)

    def execute_async_v3(self, stream: int) -> bool:
        runtime = self.engine.runtime
        assert runtime.owners[stream] == runtime.device, "another device's stream"
        assert self.scratch is not None, "no scratch memory"
        if runtime.recording is not None:
            self.captured = True
            runtime.recording.append(self._compute)
        else:
            self._compute()
        return True

    def _compute(self) -> None:
        runtime = self.engine.runtime
        assert self.scratch is not None
        pointer, size = self.scratch
        start = runtime.block_at(pointer, runtime.memory)
        assert pointer + size <= start + runtime.memory[start].nbytes
        runtime.memory[start][pointer - start :][:size] = 0x55  # contexts share it
        inputs = {
            name: self._view(name, shape, self.engine.types[name]).copy()
            for name, shape in self.shapes.items()
        }
        outputs = self.engine.session.run(self.engine.outputs, inputs)
        for name, value in zip(self.engine.outputs, outputs, strict=True):
            self._view(name, value.shape, self.engine.types[name])[:] = value

    def _view(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        runtime = self.engine.runtime
        size = math.prod(shape) * np.dtype(dtype).itemsize
        address = self.addresses[name]
        start = runtime.block_at(address, runtime.memory)
        assert address + size <= start + runtime.memory[start].nbytes, f"{name}: past the end"
        bytes_ = (ctypes.c_byte * size).from_address(address)
        return np.frombuffer(bytes_, dtype).reshape(shape)


class FakeEngine:
    def __init__(self, plan: bytes, runtime: FakeRuntime) -> None:
        batch, _, path = plan.partition(b"|")
        self.batch = int(batch)
        self.runtime = runtime
        alone = onnxruntime.SessionOptions()
        alone.intra_op_num_threads = 1  # others would wait busily for so little
        self.session = onnxruntime.InferenceSession(path.decode(), alone)
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

    def create_execution_context(self, strategy: str) -> FakeContext:
        assert strategy == "user managed", "a context with memory of its own"
        return FakeContext(self)


def tensorrt(runtime: FakeRuntime) -> ModuleType:
    """A module that builds by remembering the ONNX file, and runs it in ONNX Runtime."""

    class ILogger:
        pass

    class Logger:
        WARNING = 2

        def __init__(self, level: int) -> None: ...

    class Config:
        def __init__(self) -> None:
            self.batch = 1
            self.cache = b""
            self.cleared: list[str] = []
            self.workspace: int | None = None
            self.usual = 1

        def clear_flag(self, flag: str) -> None:
            self.cleared.append(flag)

        def add_optimization_profile(self, profile: Any) -> None:
            self.batch = profile.batch
            self.usual = profile.usual

        def create_timing_cache(self, cache: bytes) -> Any:
            if cache.startswith(b"unreadable"):
                return None
            return SimpleNamespace(cache=cache, serialize=lambda: cache + b"+")

        def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
            assert not ignore_mismatch
            return not cache.cache.startswith(b"of another version")

        def set_memory_pool_limit(self, pool: str, size: int) -> None:
            self.workspace = size

    class Profile:
        batch = usual = 1

        def set_shape(self, name: str, least: tuple, best: tuple, most: tuple) -> None:
            assert least[1:] == best[1:] == most[1:]
            assert least[0] == 1 <= best[0] <= most[0]
            self.batch, self.usual = most[0], best[0]

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
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, plan: Any) -> FakeEngine | None:
            assert not isinstance(plan, bytes), "a copy of the plan on the host"
            content = plan[:]
            if len(content) > runtime.cudaMemGetInfo()[1]:
                self.logger.log(1, "no memory left")
                return None
            if not Path(content.partition(b"|")[2].decode(errors="replace")).is_file():
                self.logger.log(1, "magic tag does not match")
                return None
            return FakeEngine(content, runtime)

    module = ModuleType("tensorrt")
    vars(module).update(
        __version__=VERSION,
        ILogger=ILogger,
        Logger=Logger,
        ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="user managed"),
        MemoryPoolType=SimpleNamespace(WORKSPACE="workspace"),
        Builder=Builder,
        OnnxParser=OnnxParser,
        Runtime=Runtime,
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
        BuilderFlag=SimpleNamespace(TF32="tf32"),
        TensorIOMode=SimpleNamespace(INPUT="input", OUTPUT="output"),
        nptype=lambda dtype: dtype,
    )
    return module


def install(monkeypatch: pytest.MonkeyPatch, devices: int = 1) -> FakeRuntime:
    """Put the stand-ins where the engine imports from."""
    runtime = FakeRuntime(devices)
    install_runtime(monkeypatch, runtime)
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt(runtime))
    return runtime


def install_runtime(monkeypatch: pytest.MonkeyPatch, runtime: FakeRuntime) -> None:
    """Put the stand-in of the CUDA runtime where the engine imports from."""
    bindings = ModuleType("cuda.bindings")
    bindings.runtime = runtime  # type: ignore[attr-defined]
    cuda = ModuleType("cuda")
    cuda.bindings = bindings  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", cuda)
    monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
