# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A GPU for the tests: the CUDA kernels compiled by g++, alone and behind a stand-in driver."""

import ctypes
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

_ROOT = Path(__file__).resolve().parent.parent


class Memory:
    """Some memory of the host, where a GPU's would be."""

    def __init__(self, size: int) -> None:
        self._bytes = np.full(size + 64, 0xFF, np.uint8)  # NaN wherever nothing was written
        self.pointer = self._bytes.ctypes.data + -self._bytes.ctypes.data % 64


class EmulatedDevice:
    """A `Device` whose kernels are nearest.cu compiled by g++, once for all tests of a run."""

    _libraries: ClassVar[dict[int, ctypes.CDLL]] = {}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.launches: list[str] = []
        self.downloaded = 0  # bytes

    def allocate(self, size: int) -> Memory:
        return Memory(size)

    def clear(self, pointer: int, size: int, byte: int = 0) -> None:
        ctypes.memset(pointer, byte, size)

    def upload(self, pointer: int, array: NDArray[Any]) -> None:
        array = np.ascontiguousarray(array)
        ctypes.memmove(pointer, array.ctypes.data, array.nbytes)

    def download(self, pointer: int, array: NDArray[Any]) -> None:
        self.downloaded += array.nbytes
        ctypes.memmove(array.ctypes.data, pointer, array.nbytes)

    def wait_for(self, stream: int) -> None:
        self.launches.append(f"wait for {stream}")

    def release(self) -> None: ...

    def launch(
        self,
        name: str,
        channels: int,
        grid: tuple[int, int, int],
        threads: int,
        argument: int | NDArray[Any],
        backward: bool = False,
        stream: int | None = None,
    ) -> None:
        self.launches.append(name)
        library = self._library(channels)
        by_value = isinstance(argument, np.ndarray)
        pointer = ctypes.c_void_p(argument.ctypes.data if by_value else argument)
        sizes = (ctypes.c_uint * 3)(*grid)
        assert library.launch(name.encode(), sizes, threads, pointer, backward) == 0

    def _library(self, channels: int) -> ctypes.CDLL:
        if channels not in self._libraries:
            path = self.folder / f"emulated_{channels}.so"
            subprocess.run(
                [
                    *(os.environ.get("CXX", "g++"), "-std=c++17", "-O2", "-shared", "-fPIC"),
                    *("-Wno-unknown-pragmas", f"-DCHANNELS={channels}"),
                    *(f"-I{_ROOT / 'mast3r_ros/matching/kernels'}",),
                    *(str(_ROOT / "test/matching/emulate.cpp"), "-o", str(path)),
                ],
                check=True,
            )
            self._libraries[channels] = ctypes.CDLL(str(path))
        return self._libraries[channels]


class OnGpu:
    """What torch shows of a CUDA tensor."""

    def __init__(self, array: NDArray[Any], stream: int | None = None) -> None:
        self.array = array
        contiguous = array.flags.c_contiguous
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data, False),
            "strides": None if contiguous else array.strides,
            "version": 3,
        } | ({"stream": stream} if stream else {})


class FakeDriver:
    """What `DriverDevice` calls of cuda.bindings.driver, over host memory and the emulation.

    Stricter than a driver: every call needs a current context of the right GPU, copies go between
    this driver's own memory alone, and copies to the GPU happen when the stream is synchronized.
    """

    CUdevice_attribute = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR="major",
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR="minor",
    )
    CUevent_flags = SimpleNamespace(CU_EVENT_DISABLE_TIMING=2)

    def __init__(self, emulated: EmulatedDevice | None = None, version: int = 13000) -> None:
        self._emulated = emulated
        self.version = version
        self.fail: dict[str, str] = {}  # status by the name of the call
        self.memory: dict[int, Memory] = {}
        self.sizes: dict[int, int] = {}
        self.pinned: dict[int, int] = {}
        self.allocations = 0
        self.room = 1 << 40
        self.contexts: list[str] = ["of torch on gpu 0"]
        self.gpu = ""
        self.modules = 0
        self.refuse_modules = 0
        self.waited: list[object] = []
        self._pending: list[tuple[int, int, int]] = []

    def _done(self, name: str, *results: object) -> tuple[object, ...]:
        status = self.fail.get(name, "CUDA_SUCCESS")
        return (SimpleNamespace(value=int(status != "CUDA_SUCCESS"), name=status), *results)

    def _entered(self) -> None:
        assert self.contexts[-1] == f"context of {self.gpu}", self.contexts

    def cuInit(self, flags: int) -> tuple[object, ...]:
        return self._done("cuInit")

    def cuDriverGetVersion(self) -> tuple[object, ...]:
        return self._done("cuDriverGetVersion", self.version)

    def cuDeviceGet(self, ordinal: int) -> tuple[object, ...]:
        self.gpu = f"gpu {ordinal}"
        return self._done("cuDeviceGet", self.gpu)

    def cuDevicePrimaryCtxRetain(self, device: str) -> tuple[object, ...]:
        return self._done("cuDevicePrimaryCtxRetain", f"context of {device}")

    def cuDevicePrimaryCtxRelease(self, device: str) -> tuple[object, ...]:
        self.gpu = ""
        return self._done("cuDevicePrimaryCtxRelease")

    def cuDeviceGetAttribute(self, attribute: str, device: str) -> tuple[object, ...]:
        return self._done("cuDeviceGetAttribute", {"major": 8, "minor": 7}[attribute])

    def cuCtxPushCurrent(self, context: str) -> tuple[object, ...]:
        self.contexts.append(context)
        return self._done("cuCtxPushCurrent")

    def cuCtxPopCurrent(self) -> tuple[object, ...]:
        return self._done("cuCtxPopCurrent", self.contexts.pop())

    def cuCtxSetCurrent(self, context: str) -> tuple[object, ...]:
        self.contexts[-1] = context
        return self._done("cuCtxSetCurrent")

    def cuMemAlloc(self, size: int) -> tuple[object, ...]:
        self._entered()
        if sum(self.sizes.values()) + size > self.room:
            return (SimpleNamespace(value=2, name="CUDA_ERROR_OUT_OF_MEMORY"), 0)
        memory = Memory(size)
        self.memory[memory.pointer] = memory
        self.sizes[memory.pointer] = size
        self.allocations += 1
        return self._done("cuMemAlloc", memory.pointer)

    def cuMemFree(self, pointer: int) -> tuple[object, ...]:
        self._entered()
        del self.memory[pointer], self.sizes[pointer]
        return self._done("cuMemFree")

    def cuMemHostAlloc(self, size: int, flags: int) -> tuple[object, ...]:
        self._entered()
        memory = Memory(size)
        self.memory[memory.pointer] = memory
        self.pinned[memory.pointer] = size
        return self._done("cuMemHostAlloc", memory.pointer)

    def cuMemFreeHost(self, pointer: int) -> tuple[object, ...]:
        del self.memory[pointer], self.pinned[pointer]
        return self._done("cuMemFreeHost")

    def _is_pinned(self, pointer: int, size: int) -> bool:
        return any(a <= pointer and pointer + size <= a + s for a, s in self.pinned.items())

    def cuMemsetD8Async(
        self, pointer: int, byte: int, size: int, stream: int
    ) -> tuple[object, ...]:
        self._entered()
        self._flush()
        ctypes.memset(pointer, byte, size)
        return self._done("cuMemsetD8Async")

    def cuMemcpyHtoDAsync(
        self, target: int, source: int, size: int, stream: int
    ) -> tuple[object, ...]:
        self._entered()
        assert stream == 5
        assert self._is_pinned(source, size), "pageable memory may be gone before it is read"
        self._pending.append((target, source, size))
        return self._done("cuMemcpyHtoDAsync")

    def cuMemcpyDtoHAsync(
        self, target: int, source: int, size: int, stream: int
    ) -> tuple[object, ...]:
        self._entered()
        assert stream == 5
        assert self._is_pinned(target, size)
        self._flush()
        ctypes.memmove(target, source, size)
        return self._done("cuMemcpyDtoHAsync")

    def _flush(self) -> None:
        for copy in self._pending:
            ctypes.memmove(*copy)
        self._pending.clear()

    def cuStreamSynchronize(self, stream: int) -> tuple[object, ...]:
        self._entered()
        self._flush()
        return self._done("cuStreamSynchronize")

    def cuEventCreate(self, flags: int) -> tuple[object, ...]:
        self._entered()
        self.waited.append("created")
        return self._done("cuEventCreate", "event")

    def cuEventRecord(self, event: str, stream: int) -> tuple[object, ...]:
        self.waited.append(stream)
        return self._done("cuEventRecord")

    def cuStreamWaitEvent(self, stream: int, event: str, flags: int) -> tuple[object, ...]:
        self.waited.append((stream, event))
        return self._done("cuStreamWaitEvent")

    def cuEventDestroy(self, event: str) -> tuple[object, ...]:
        self.waited.append("destroyed")
        return self._done("cuEventDestroy")

    def cuModuleLoadData(self, cubin: bytes) -> tuple[object, ...]:
        self._entered()
        assert cubin[:4] == b"\x7fELF"
        if self.refuse_modules:
            self.refuse_modules -= 1
            return (SimpleNamespace(value=1, name="CUDA_ERROR_INVALID_IMAGE"), None)
        self.modules += 1
        return self._done("cuModuleLoadData", "module")

    def cuModuleUnload(self, module: str) -> tuple[object, ...]:
        self.modules -= 1
        return self._done("cuModuleUnload")

    def cuModuleGetFunction(self, module: str, name: bytes) -> tuple[object, ...]:
        return self._done("cuModuleGetFunction", name.decode())

    def cuLaunchKernel(
        self, function: str, gx: int, gy: int, gz: int, tx: int, ty: int, tz: int, *rest: int
    ) -> tuple[object, ...]:
        self._entered()
        self._flush()
        shared, stream, parameters, extra = rest
        assert (ty, tz, shared, stream, extra) == (1, 1, 0, 5, 0)
        pointers = (ctypes.c_uint64 * 2).from_address(parameters)
        argument = ctypes.c_uint64.from_address(pointers[0]).value
        backward = ctypes.c_int32.from_address(pointers[1]).value
        assert self._emulated is not None
        self._emulated.launch(function, 24, (gx, gy, gz), tx, argument, bool(backward))
        return self._done("cuLaunchKernel")
