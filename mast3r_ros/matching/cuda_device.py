# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The GPU behind `mast3r_ros.matching.cuda`: memory, copies, launches. NOT RUN ON A GPU YET.

All work goes to one stream, in order, so that memory can be used again as soon as its last user is
gone.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.matching.cuda_bindings import (
    GpuError,
    GpuMemoryError,
    GpuUnavailableError,
    bindings,
    check_versions,
    checked,
)
from mast3r_ros.matching.cuda_compile import cached_kernels

_NAMES = ("compact", "gather", "pack", "rotate", "round_rows", "search", "start", "turn")
_STAGING = 8 << 20  # bytes of pinned memory through which copies go


class Buffer(Protocol):
    """Memory of the device, given back with its last reference."""

    @property
    def pointer(self) -> int: ...


class Device(Protocol):
    """What `mast3r_ros.matching.cuda` asks of a GPU; tests run the kernels on the CPU behind it."""

    def allocate(self, size: int) -> Buffer: ...

    def clear(self, pointer: int, size: int, byte: int = 0) -> None: ...

    def upload(self, pointer: int, array: NDArray[Any]) -> None:
        """The array may change or go as soon as this returns."""

    def download(self, pointer: int, array: NDArray[Any]) -> None:
        """Waits for all work before it."""

    def wait_for(self, stream: int) -> None:
        """Lets later work wait for what another stream has been given."""

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
        """Starts a kernel.

        Args:
            name: of the kernel.
            channels: of the module that holds it.
            grid: thread blocks.
            threads: of a block.
            argument: a pointer to memory of the device, or a record that is passed by value.
            backward: second argument, for kernels that have one.
            stream: in place of the device's own.
        """

    def release(self) -> None:
        """Gives memory that is not in use back to the driver."""


@dataclass
class DriverBuffer:
    """Memory from a device's pool."""

    pointer: int
    _size: int
    _device: DriverDevice = field(repr=False)

    def __del__(self) -> None:
        self._device._give(self.pointer, self._size)


class DriverDevice:
    """A GPU through the CUDA driver, in its primary context, which torch uses too.

    Each call makes that context current and puts back the one before, so that other libraries keep
    their device. May be used by several threads.

    Args:
        ordinal: which GPU.
        stream: a CUDA stream's handle; 0 is the default stream, on which torch works unless told
            otherwise.

    Raises:
        GpuUnavailableError: cuda-bindings, NVRTC, the driver or the GPU is missing, or their
            versions do not fit.
    """

    def __init__(self, ordinal: int = 0, stream: int = 0) -> None:
        self._driver, nvrtc = bindings()
        driver, attribute = self._driver, self._driver.CUdevice_attribute
        try:
            checked(driver.cuInit(0))
            check_versions(driver, nvrtc)
            self._device = checked(driver.cuDeviceGet(ordinal))
            major, minor = (
                int(checked(driver.cuDeviceGetAttribute(which, self._device)))
                for which in (
                    attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                    attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
                )
            )
            self._context = checked(driver.cuDevicePrimaryCtxRetain(self._device))
        except GpuUnavailableError:
            raise
        except RuntimeError as error:  # of the driver, or of the bindings where there is none
            raise GpuUnavailableError(
                f"matching on the GPU: GPU {ordinal} cannot be opened ({error}); install its "
                "driver, or choose device: cpu"
            ) from error
        self._stream = stream
        self._architecture = 10 * major + minor
        self._functions: dict[tuple[int, str], Any] = {}
        self._modules: list[Any] = []
        self._free: dict[int, list[int]] = {}
        self._staging = self._staged = 0
        self._lock = threading.RLock()
        self._closed = False

    def allocate(self, size: int) -> DriverBuffer:
        size = _size_class(size)
        with self._current():
            if self._free.get(size):
                return DriverBuffer(self._free[size].pop(), size, self)
            try:
                pointer = checked(self._driver.cuMemAlloc(size))
            except GpuMemoryError:
                self.release()
                pointer = checked(self._driver.cuMemAlloc(size))
            return DriverBuffer(int(pointer), size, self)

    def clear(self, pointer: int, size: int, byte: int = 0) -> None:
        with self._current():
            checked(self._driver.cuMemsetD8Async(pointer, byte, size, self._stream))

    def upload(self, pointer: int, array: NDArray[Any]) -> None:
        array = np.ascontiguousarray(array)
        with self._current():
            for start, size, staged in self._stage(array.nbytes):
                ctypes.memmove(staged, array.ctypes.data + start, size)
                checked(self._driver.cuMemcpyHtoDAsync(pointer + start, staged, size, self._stream))

    def download(self, pointer: int, array: NDArray[Any]) -> None:
        with self._current():
            for start, size, staged in self._stage(array.nbytes):
                checked(self._driver.cuMemcpyDtoHAsync(staged, pointer + start, size, self._stream))
                self._synchronize()
                ctypes.memmove(array.ctypes.data + start, staged, size)

    def wait_for(self, stream: int) -> None:
        if stream == self._stream:
            return
        driver = self._driver
        with self._current():
            flags = driver.CUevent_flags.CU_EVENT_DISABLE_TIMING
            event = checked(driver.cuEventCreate(flags))
            try:
                checked(driver.cuEventRecord(event, stream))
                checked(driver.cuStreamWaitEvent(self._stream, event, 0))
            finally:
                checked(driver.cuEventDestroy(event))

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
        # Of kernels with one parameter, the driver reads no second.
        first = np.array([argument], np.uint64) if isinstance(argument, int) else argument
        values = first, np.array([backward], np.int32)
        parameters = np.array([value.ctypes.data for value in values], np.uint64)
        with self._current():
            checked(
                self._driver.cuLaunchKernel(
                    self._function(channels, name),
                    *grid,
                    *(threads, 1, 1),
                    0,
                    self._stream if stream is None else stream,
                    parameters.ctypes.data,
                    0,
                )
            )

    def release(self) -> None:
        with self._current():
            # A collection in the middle may give more back.
            given, self._free = self._free, {}
            for pointers in given.values():
                for pointer in pointers:
                    checked(self._driver.cuMemFree(pointer))

    def close(self) -> None:
        """Gives everything back. The device must not be used any more.

        After a failed kernel every call fails: what can be given back is.
        """
        driver = self._driver
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if driver.cuCtxPushCurrent(self._context)[0].value:
                return  # the context is gone, and all that was in it
            driver.cuStreamSynchronize(self._stream)
            for pointers in self._free.values():
                for pointer in pointers:
                    driver.cuMemFree(pointer)
            if self._staging:
                driver.cuMemFreeHost(self._staging)
            for module in self._modules:
                driver.cuModuleUnload(module)
            driver.cuCtxPopCurrent()
            driver.cuDevicePrimaryCtxRelease(self._device)

    @contextmanager
    def _current(self) -> Iterator[None]:
        with self._lock:
            checked(self._driver.cuCtxPushCurrent(self._context))
            try:
                yield
            finally:
                checked(self._driver.cuCtxPopCurrent())

    def _give(self, pointer: int, size: int) -> None:
        with self._lock:
            if not self._closed:
                self._free.setdefault(size, []).append(pointer)
                return
            # Nobody is left to hear of an error. Where the context is gone, so is the memory.
            if not self._driver.cuCtxPushCurrent(self._context)[0].value:
                self._driver.cuMemFree(pointer)
                self._driver.cuCtxPopCurrent()

    def _stage(self, size: int) -> Iterator[tuple[int, int, int]]:
        """Pinned memory for a copy of `size` bytes: (offset, bytes, address) piece by piece."""
        if not self._staging:
            self._staging = int(checked(self._driver.cuMemHostAlloc(_STAGING, 0)))
        for start in range(0, size, _STAGING):
            piece = min(size - start, _STAGING)
            if self._staged + piece > _STAGING:
                self._synchronize()
            staged = self._staging + self._staged
            self._staged += piece + -piece % 64
            yield start, piece, staged

    def _synchronize(self) -> None:
        checked(self._driver.cuStreamSynchronize(self._stream))
        self._staged = 0  # every copy through it is done

    def _function(self, channels: int, name: str) -> Any:
        if (channels, name) not in self._functions:
            try:
                module = checked(
                    self._driver.cuModuleLoadData(cached_kernels(channels, self._architecture))
                )
            except GpuMemoryError:
                raise
            except GpuError:  # what was cached fits this driver no more
                cubin = cached_kernels(channels, self._architecture, fresh=True)
                module = checked(self._driver.cuModuleLoadData(cubin))
            self._modules.append(module)
            for each in _NAMES:
                self._functions[channels, each] = checked(
                    self._driver.cuModuleGetFunction(module, each.encode())
                )
        return self._functions[channels, name]


def _size_class(size: int) -> int:
    """`size` rounded up to one of four sizes an octave: pooled memory fits again."""
    step = 1 << max(size.bit_length() - 3, 9)
    return max(-(-size // step) * step, step)
