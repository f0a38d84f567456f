# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The GPU behind `mast3r_ros.matching.cuda`: kernels compiled by NVRTC, memory, launches.

Not run on a GPU yet. What needs no GPU (compiling, the cache) is tested without.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.cache import cache_folder

_KERNELS = Path(__file__).parent / "kernels"
_NAMES = ("pack", "search", "start", "turn")


class Buffer(Protocol):
    """Memory of the device, freed with its last reference."""

    @property
    def pointer(self) -> int: ...


class Device(Protocol):
    """What `mast3r_ros.matching.cuda` asks of a GPU; tests run the kernels on the CPU behind it."""

    def allocate(self, size: int) -> Buffer: ...

    def upload(self, pointer: int, array: NDArray[Any]) -> None: ...

    def download(self, pointer: int, array: NDArray[Any]) -> None:
        """Waits for all work before it."""

    def launch(
        self,
        name: str,
        channels: int,
        grid: tuple[int, int, int],
        threads: int,
        argument: int,
        backward: bool = False,
    ) -> None: ...


def compile_kernels(
    channels: int, architecture: int, *, verbose: bool = False
) -> tuple[bytes, str]:
    """Compiles nearest.cu. Needs no GPU and no driver.

    Args:
        channels: of the descriptors.
        architecture: 87 for Jetson Orin, 90 for H100 and H200, and so on.
        verbose: ask for registers and memory in the log.

    Returns:
        The cubin and the compiler's log.

    Raises:
        ModuleNotFoundError: cuda-bindings or NVRTC is missing.
        RuntimeError: the compiler refused, with its log.
    """
    _, nvrtc = _bindings()
    source = (_KERNELS / "nearest.cu").read_bytes()
    header = (_KERNELS / "dot.hpp").read_bytes()
    program = _checked(nvrtc.nvrtcCreateProgram(source, b"nearest.cu", 1, [header], [b"dot.hpp"]))
    options = [f"--gpu-architecture=sm_{architecture}", f"-DCHANNELS={channels}", "--std=c++17"]
    options += ["--ptxas-options=-v"] if verbose else []
    done = nvrtc.nvrtcCompileProgram(program, len(options), [o.encode() for o in options])
    # Not `b" " * size`: of one byte, that is an object of Python's own, which would be written to.
    log = bytearray(_checked(nvrtc.nvrtcGetProgramLogSize(program)))
    _checked(nvrtc.nvrtcGetProgramLog(program, log))
    text = log.decode().rstrip("\0 \n")
    if done[0] != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise RuntimeError(f"nearest.cu for sm_{architecture}: {done[0].name}\n{text}")
    cubin = bytearray(_checked(nvrtc.nvrtcGetCUBINSize(program)))
    _checked(nvrtc.nvrtcGetCUBIN(program, cubin))
    _checked(nvrtc.nvrtcDestroyProgram(program))
    return bytes(cubin), text


def cached_kernels(channels: int, architecture: int) -> bytes:
    """The cubin from the cache, compiled where it is not there.

    They lie in `cache_folder()`/kernels. A file is named by its architecture and by the hash of the
    sources, the channels and the compiler's version.
    """
    _, nvrtc = _bindings()
    version = ".".join(map(str, _checked(nvrtc.nvrtcVersion())))
    digest = hashlib.sha256(f"{channels} {version}".encode())
    for name in ("nearest.cu", "dot.hpp"):
        digest.update((_KERNELS / name).read_bytes())
    path = cache_folder() / "kernels" / f"sm_{architecture}_{digest.hexdigest()[:32]}.cubin"
    if path.is_file():
        return path.read_bytes()
    cubin, _ = compile_kernels(channels, architecture)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and renamed, so that another process never reads half of it.
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_bytes(cubin)
    aside.replace(path)
    return cubin


@dataclass
class DriverBuffer:
    """Memory from the CUDA driver."""

    pointer: int
    _driver: Any = field(repr=False)

    def __del__(self) -> None:
        self._driver.cuMemFree(self.pointer)


class DriverDevice:
    """A GPU through the CUDA driver, in its primary context, which torch uses too.

    Args:
        ordinal: which GPU.
        stream: a CUDA stream's handle; 0 is the default stream, on which torch works unless told
            otherwise.

    Raises:
        ModuleNotFoundError: cuda-bindings or NVRTC is missing.
        RuntimeError: no driver, or no such GPU.
    """

    def __init__(self, ordinal: int = 0, stream: int = 0) -> None:
        self._driver, _ = _bindings()
        driver, attribute = self._driver, self._driver.CUdevice_attribute
        _checked(driver.cuInit(0))
        device = _checked(driver.cuDeviceGet(ordinal))
        self._context = _checked(driver.cuDevicePrimaryCtxRetain(device))
        self._stream = stream
        major, minor = (
            _checked(driver.cuDeviceGetAttribute(which, device))
            for which in (
                attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )
        )
        self._architecture = 10 * int(major) + int(minor)
        self._functions: dict[tuple[int, str], Any] = {}

    def allocate(self, size: int) -> DriverBuffer:
        self._enter()
        return DriverBuffer(int(_checked(self._driver.cuMemAlloc(max(size, 1)))), self._driver)

    def upload(self, pointer: int, array: NDArray[Any]) -> None:
        self._enter()
        _checked(
            self._driver.cuMemcpyHtoDAsync(pointer, array.ctypes.data, array.nbytes, self._stream)
        )

    def download(self, pointer: int, array: NDArray[Any]) -> None:
        self._enter()
        _checked(
            self._driver.cuMemcpyDtoHAsync(array.ctypes.data, pointer, array.nbytes, self._stream)
        )
        _checked(self._driver.cuStreamSynchronize(self._stream))

    def launch(
        self,
        name: str,
        channels: int,
        grid: tuple[int, int, int],
        threads: int,
        argument: int,
        backward: bool = False,
    ) -> None:
        self._enter()
        # Of `pack` and `start`, which have one parameter, the driver reads no second.
        values = np.array([argument], np.uint64), np.array([backward], np.int32)
        parameters = np.array([value.ctypes.data for value in values], np.uint64)
        _checked(
            self._driver.cuLaunchKernel(
                self._function(channels, name),
                *grid,
                *(threads, 1, 1),
                0,
                self._stream,
                parameters.ctypes.data,
                0,
            )
        )

    def _enter(self) -> None:
        _checked(self._driver.cuCtxSetCurrent(self._context))

    def _function(self, channels: int, name: str) -> Any:
        if (channels, name) not in self._functions:
            module = _checked(
                self._driver.cuModuleLoadData(cached_kernels(channels, self._architecture))
            )
            for each in _NAMES:
                self._functions[channels, each] = _checked(
                    self._driver.cuModuleGetFunction(module, each.encode())
                )
        return self._functions[channels, name]


def _bindings() -> tuple[Any, Any]:
    try:
        from cuda.bindings import driver, nvrtc
    except ImportError as error:
        raise ModuleNotFoundError(
            "matching on the GPU needs cuda-bindings and NVRTC: "
            "pip install cuda-bindings nvidia-cuda-nvrtc (of the CUDA version that the driver has)"
        ) from error
    return driver, nvrtc


def _checked(result: tuple[Any, ...]) -> Any:
    """What a call of cuda-bindings returned besides its status, which must be success."""
    status, *rest = result
    if status.value != 0:
        raise RuntimeError(f"CUDA: {status.name}")
    return rest[0] if len(rest) == 1 else tuple(rest)
