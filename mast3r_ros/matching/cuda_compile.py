# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels compiled at run time by NVRTC, and the cache of what was compiled.

Needs no GPU and no driver. A cache that cannot be read or written costs a second at each start, and
is no failure.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from pathlib import Path

from mast3r_ros.common.cache import cache_folder
from mast3r_ros.matching.cuda_bindings import GpuUnavailableError, bindings, checked

_FOLDER = Path(__file__).parent / "kernels"
_SOURCE = "nearest.cu"
_HEADERS = (
    *("dot.hpp", "rounding.hpp", "image.cuh", "gather.cuh", "pack.cuh", "rotary.cuh"),
    *("search.cuh", "walk.cuh"),
)
_log = logging.getLogger(__name__)


def compile_kernels(
    channels: int, architecture: int, *, verbose: bool = False
) -> tuple[bytes, str]:
    """Compiles nearest.cu.

    Args:
        channels: of the descriptors.
        architecture: 87 for Jetson Orin, 90 for H100 and H200, and so on.
        verbose: ask for registers and memory in the log.

    Returns:
        The cubin and the compiler's log.

    Raises:
        GpuUnavailableError: cuda-bindings or NVRTC is missing, or the compiler refused, with its
            log.
    """
    _, nvrtc = bindings()
    sources = [(_FOLDER / name).read_bytes() for name in _HEADERS]
    program = checked(
        nvrtc.nvrtcCreateProgram(
            (_FOLDER / _SOURCE).read_bytes(),
            _SOURCE.encode(),
            len(sources),
            sources,
            [name.encode() for name in _HEADERS],
        )
    )
    options = [f"--gpu-architecture=sm_{architecture}", f"-DCHANNELS={channels}", "--std=c++17"]
    options += ["--ptxas-options=-v"] if verbose else []
    try:
        done = nvrtc.nvrtcCompileProgram(program, len(options), [o.encode() for o in options])
        # Not `b" " * size`: of one byte, that is an object of Python's own, which would be written
        # to.
        log = bytearray(checked(nvrtc.nvrtcGetProgramLogSize(program)))
        checked(nvrtc.nvrtcGetProgramLog(program, log))
        text = log.decode().rstrip("\0 \n")
        if done[0] != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            version = ".".join(map(str, checked(nvrtc.nvrtcVersion())))
            raise GpuUnavailableError(
                f"matching on the GPU: NVRTC {version} cannot compile {_SOURCE} for "
                f"sm_{architecture} ({done[0].name}); install the NVRTC of the driver's CUDA "
                f"version\n{text}"
            )
        cubin = bytearray(checked(nvrtc.nvrtcGetCUBINSize(program)))
        checked(nvrtc.nvrtcGetCUBIN(program, cubin))
    finally:
        checked(nvrtc.nvrtcDestroyProgram(program))
    return bytes(cubin), text


def cached_kernels(channels: int, architecture: int, *, fresh: bool = False) -> bytes:
    """The cubin from the cache, compiled where it is not there or damaged.

    It lies in `cache_folder()`/kernels, after its SHA-256. The file is named by the architecture
    and by the hash of the sources, the channels and the compiler's version.

    Args:
        channels: as in `compile_kernels`.
        architecture: as in `compile_kernels`.
        fresh: compile again, and replace what the cache holds.
    """
    _, nvrtc = bindings()
    version = ".".join(map(str, checked(nvrtc.nvrtcVersion())))
    digest = hashlib.sha256(f"{channels} {version}".encode())
    for name in (_SOURCE, *_HEADERS):
        digest.update((_FOLDER / name).read_bytes())
    name = f"sm_{architecture}_{digest.hexdigest()[:32]}.cubin"
    try:
        path = cache_folder() / "kernels" / name
    except RuntimeError as error:  # Path.home(): a user without a home
        _log.warning("kernels are not cached: %s; set MAST3R_ROS_CACHE to a folder", error)
        return compile_kernels(channels, architecture)[0]
    cubin = None if fresh else _read(path)
    if cubin is None:
        cubin, _ = compile_kernels(channels, architecture)
        _write(path, cubin)
    return cubin


def _read(path: Path) -> bytes | None:
    """What a file holds; None where it is missing or not as it was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, cubin = content[:32], content[32:]
    return cubin if hashlib.sha256(cubin).digest() == digest else None


def _write(path: Path, cubin: bytes) -> None:
    """Written aside and renamed, so that nobody reads half of it. The name aside is chosen by the
    system: process numbers repeat in containers that share a folder."""
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=path.stem, suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(cubin).digest() + cubin)
        os.replace(aside, path)
    except OSError as error:
        _log.warning("kernels are not cached: %s; set MAST3R_ROS_CACHE to another folder", error)
        if aside is not None:
            Path(aside).unlink(missing_ok=True)
