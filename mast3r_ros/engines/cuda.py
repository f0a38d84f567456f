# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The little of CUDA that an engine needs without PyTorch: memory, streams, graphs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
                "engine tensorrt: pip install cuda-bindings (of the installed CUDA's version)"
            ) from error
        self._runtime = runtime
        self.number = device
        try:
            self.call(runtime.cudaSetDevice, device)
            properties = self.call(runtime.cudaGetDeviceProperties, device)
        # Without a driver the bindings themselves fail, with a RuntimeError.
        except RuntimeError as error:
            raise EngineUnavailableError(f"no usable NVIDIA GPU {device} here: {error}") from error
        name = properties.name
        name = name.decode() if isinstance(name, bytes) else str(name)
        self.gpu = f"{name} (compute capability {properties.major}.{properties.minor})"
        self.stream = int(self.call(runtime.cudaStreamCreate)) if stream is None else stream

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the runtime; an error becomes an exception, one result comes without its tuple."""
        status, *results = function(*arguments)
        errors = self._runtime.cudaError_t
        if status == errors.cudaErrorMemoryAllocation:
            raise CudaMemoryError("out of GPU memory")
        if status != errors.cudaSuccess:
            raise CudaError(f"{function.__name__} failed: {status}")
        return results[0] if len(results) == 1 else results

    def allocate(self, size: int) -> DeviceBuffer:
        """`size` bytes on the GPU."""
        return DeviceBuffer(self, int(self.call(self._runtime.cudaMalloc, size)), size)

    def copy(self, target: int, source: int, size: int, to_device: bool) -> None:
        """Copy between host and device, in the stream's order."""
        kinds = self._runtime.cudaMemcpyKind
        kind = kinds.cudaMemcpyHostToDevice if to_device else kinds.cudaMemcpyDeviceToHost
        self.call(self._runtime.cudaMemcpyAsync, target, source, size, kind, self.stream)

    def synchronize(self) -> None:
        """Wait for the stream."""
        self.call(self._runtime.cudaStreamSynchronize, self.stream)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what `work` puts on the stream, as a CUDA graph; the result replays it."""
        runtime = self._runtime
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.call(runtime.cudaStreamBeginCapture, self.stream, mode)
        try:
            work()
        finally:
            graph = self.call(runtime.cudaStreamEndCapture, self.stream)
        executable = self.call(runtime.cudaGraphInstantiate, graph, 0)
        return lambda: self.call(runtime.cudaGraphLaunch, executable, self.stream)


class DeviceBuffer:
    """Memory on the GPU, freed with the object."""

    def __init__(self, cuda: Cuda, pointer: int, size: int) -> None:
        self.cuda = cuda
        self.pointer = pointer
        self.size = size

    def upload(self, array: NDArray[Any], offset: int = 0) -> None:
        """Copy an array into the buffer, `offset` bytes from its start."""
        array = np.ascontiguousarray(array)
        if offset + array.nbytes > self.size:
            raise ValueError(f"{array.nbytes} bytes at {offset} do not fit {self.size}")
        self.cuda.copy(self.pointer + offset, array.ctypes.data, array.nbytes, to_device=True)

    def __del__(self) -> None:
        # Straight to the runtime: when the interpreter ends, an error has nobody to tell.
        self.cuda._runtime.cudaFree(self.pointer)


class DeviceArray:
    """An array in a buffer, as other GPU libraries read it (`__cuda_array_interface__`).

    Valid until the engine runs again.
    """

    def __init__(
        self, buffer: DeviceBuffer, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int = 0
    ) -> None:
        self._buffer = buffer  # keeps the memory
        self.shape = shape
        self.dtype = dtype
        self._offset = offset
        self._pointer = buffer.pointer + offset

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3 of the protocol."""
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self._pointer, False),
            "version": 3,
            "strides": None,
            "stream": self._buffer.cuda.stream or 1,
        }

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> DeviceArray:
        """One of the leading dimension, without a copy."""
        if not 0 <= index < len(self):
            raise IndexError(f"{index} of {len(self)}")
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        return DeviceArray(self._buffer, self.shape[1:], self.dtype, self._offset + index * size)

    def get_device(self) -> int:
        """Number of the GPU; of the same name as a torch tensor's."""
        return self._buffer.cuda.number

    def to_host(self) -> NDArray[Any]:
        """A copy on the host."""
        array = np.empty(self.shape, self.dtype)
        cuda = self._buffer.cuda
        cuda.copy(array.ctypes.data, self._pointer, array.nbytes, to_device=False)
        cuda.synchronize()
        return array
