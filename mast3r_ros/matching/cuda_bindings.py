# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The CUDA driver and compiler as cuda-bindings offers them, and whether their versions fit."""

from __future__ import annotations

from typing import Any

from mast3r_ros.common.errors import UserError


class GpuUnavailableError(UserError, RuntimeError):
    """Matching cannot run on the GPU; the message says what to install."""


class GpuError(UserError, RuntimeError):
    """The GPU refused some work."""


class GpuMemoryError(GpuError):
    """The GPU's memory is used up."""


def bindings() -> tuple[Any, Any]:
    """The modules `driver` and `nvrtc` of cuda-bindings.

    Raises:
        GpuUnavailableError: they are not installed.
    """
    try:
        from cuda.bindings import driver, nvrtc
    except ImportError as error:
        raise GpuUnavailableError(
            f"matching on the GPU: cuda-bindings cannot be imported ({error}); "
            "pip install 'mast3r_ros[cuda13]' for a driver of CUDA 13 (580 and later, JetPack 7), "
            "'mast3r_ros[cuda12]' for one of CUDA 12 (JetPack 6)"
        ) from error
    return driver, nvrtc


def checked(result: tuple[Any, ...]) -> Any:
    """What a call of cuda-bindings returned besides its status.

    Raises:
        GpuMemoryError: out of memory.
        GpuError: any other status than success.
    """
    status, *rest = result
    if status.value != 0:
        kind = GpuMemoryError if status.name == "CUDA_ERROR_OUT_OF_MEMORY" else GpuError
        raise kind(
            f"matching on the GPU: CUDA reports {status.name}; free memory on the GPU, or choose "
            "device: cpu"
            if kind is GpuMemoryError
            else f"matching on the GPU: CUDA reports {status.name}; see `mast3r_ros doctor`"
        )
    return rest[0] if len(rest) == 1 else tuple(rest)


def check_versions(driver: Any, nvrtc: Any, installed: str | None = None) -> None:
    """Compares the CUDA version of the driver with those of cuda-bindings and NVRTC.

    Within a major version all of them work together; a newer driver runs what is older.

    Args:
        driver: module of cuda-bindings.
        nvrtc: module of cuda-bindings.
        installed: version of cuda-bindings; by default, what is installed.

    Raises:
        GpuUnavailableError: the driver is older, or NVRTC is missing; names the extra to install.
    """
    number = int(checked(driver.cuDriverGetVersion()))
    major, minor = number // 1000, number % 1000 // 10
    remedy = f"pip install 'mast3r_ros[cuda{min(max(major, 12), 13)}]'"
    if installed is None:
        import cuda.bindings

        installed = str(cuda.bindings.__version__)
    if major < 12:
        remedy = "install a driver of CUDA 12.6 or later"
    try:
        compiler = ".".join(map(str, checked(nvrtc.nvrtcVersion())))
    except RuntimeError as error:  # the bindings found no libnvrtc
        if isinstance(error, GpuError):
            raise
        raise GpuUnavailableError(
            f"matching on the GPU: no NVRTC library ({error}); {remedy}"
        ) from error
    for what, version in (("cuda-bindings", installed), ("NVRTC", compiler)):
        if int(version.partition(".")[0]) > major:
            raise GpuUnavailableError(
                f"matching on the GPU: {what} {version} needs a newer driver than this one, which "
                f"offers CUDA {major}.{minor}; {remedy}"
            )
