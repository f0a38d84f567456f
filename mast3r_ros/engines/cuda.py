# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The little of CUDA that an engine needs without PyTorch: devices, streams, graphs, copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mast3r_ros.engines.base import EngineError, EngineUnavailableError


class CudaError(EngineError):
    """A call of the CUDA runtime failed."""


class CudaMemoryError(CudaError):
    """The GPU's memory is used up."""


class Cuda:
    """The CUDA runtime, one GPU and one stream.

    Args:
        device: number of the GPU.
        stream: handle of the stream to work on; a new one where it is not given.

    Raises:
        EngineUnavailableError: cuda-bindings, the driver or the GPU is missing.
    """

    def __init__(self, device: int = 0, stream: int | None = None) -> None:
        try:
            from cuda.bindings import runtime
        except ImportError as error:
            raise EngineUnavailableError(
                f"engine tensorrt: cuda-bindings cannot be imported ({error}); pip install "
                "'mast3r_ros[cuda13]' for a driver of CUDA 13, 'mast3r_ros[cuda12]' for one of "
                "CUDA 12 (JetPack 6)"
            ) from error
        self.runtime = runtime
        self.number = device
        # Without a driver the bindings themselves fail, with a RuntimeError.
        try:
            self._require_driver()
            properties = self.call(runtime.cudaGetDeviceProperties, device)
        except RuntimeError as error:
            raise EngineUnavailableError(f"no usable NVIDIA GPU {device} here: {error}") from error
        name = properties.name
        name = name.decode() if isinstance(name, bytes) else str(name)
        self.gpu = f"{name} (compute capability {properties.major}.{properties.minor})"
        with self.current():
            self.stream = self._new_stream() if stream is None else stream

    def _new_stream(self) -> int:
        """One that does not wait for the default stream: another library's work there would break
        a capture."""
        flag = self.runtime.cudaStreamNonBlocking
        return int(self.call(self.runtime.cudaStreamCreateWithFlags, flag))

    def _require_driver(self) -> None:
        """Refuse a driver that is older than the bindings' runtime, before it fails obscurely."""
        offered = int(self.call(self.runtime.cudaDriverGetVersion))  # 0 without a driver
        needed = int(self.call(self.runtime.cudaRuntimeGetVersion))
        if offered // 1000 < needed // 1000:
            has = f"offers CUDA {_version(offered)}" if offered else "is missing"
            extra = min(max(offered // 1000, 12), 13)
            raise EngineUnavailableError(
                f"cuda-bindings for CUDA {_version(needed)} need a newer driver than this one, "
                f"which {has}; pip install 'mast3r_ros[cuda{extra}]', or update the driver"
            )

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the GPU the current one of this thread; afterwards, the one that was."""
        before = int(self.call(self.runtime.cudaGetDevice))
        self.call(self.runtime.cudaSetDevice, self.number)
        try:
            yield
        finally:
            self.call(self.runtime.cudaSetDevice, before)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the runtime; an error becomes an exception, one result comes without its tuple."""
        status, *results = function(*arguments)
        errors = self.runtime.cudaError_t
        if status == errors.cudaErrorMemoryAllocation:
            raise CudaMemoryError("out of GPU memory")
        if status != errors.cudaSuccess:
            raise CudaError(f"{function.__name__} failed: {status}")
        return results[0] if len(results) == 1 else results

    def upload(self, target: int, source: int, size: int) -> None:
        """Copy pinned host memory to the GPU, in the stream's order."""
        kind = self.runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self.call(self.runtime.cudaMemcpyAsync, target, source, size, kind, self.stream)

    def download(self, target: int, source: int, size: int) -> None:
        """Copy to pinned host memory, in the stream's order."""
        kind = self.runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self.call(self.runtime.cudaMemcpyAsync, target, source, size, kind, self.stream)

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy on the GPU, in the stream's order."""
        kind = self.runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        self.call(self.runtime.cudaMemcpyAsync, target, source, size, kind, self.stream)

    def synchronize(self) -> None:
        """Wait for the stream."""
        self.call(self.runtime.cudaStreamSynchronize, self.stream)

    def free_memory(self) -> int:
        """Bytes of the GPU that are free."""
        free, _ = self.call(self.runtime.cudaMemGetInfo)
        return int(free)

    def capture(self, work: Callable[[], None]) -> CudaGraph:
        """Record what `work` puts on the stream, as a CUDA graph."""
        runtime = self.runtime
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.call(runtime.cudaStreamBeginCapture, self.stream, mode)
        try:
            work()
        except BaseException:
            # What went wrong is told, not that the capture is of no use then.
            _, unfinished = runtime.cudaStreamEndCapture(self.stream)
            if unfinished is not None:
                runtime.cudaGraphDestroy(unfinished)
            raise
        graph = self.call(runtime.cudaStreamEndCapture, self.stream)
        try:
            return CudaGraph(self, self.call(runtime.cudaGraphInstantiate, graph, 0))
        finally:
            self.call(runtime.cudaGraphDestroy, graph)


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


class CudaGraph:
    """A captured graph, destroyed with the object."""

    def __init__(self, cuda: Cuda, executable: Any) -> None:
        self._cuda = cuda
        self._executable = executable

    def launch(self) -> None:
        """Run it on the stream."""
        runtime = self._cuda.runtime
        self._cuda.call(runtime.cudaGraphLaunch, self._executable, self._cuda.stream)

    def __del__(self) -> None:
        # Straight to the runtime: when the interpreter ends, nobody can handle an error.
        self._cuda.runtime.cudaGraphExecDestroy(self._executable)
