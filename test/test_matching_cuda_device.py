# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The CUDA driver behind a stand-in, the cache of kernels, versions, and the fallback."""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulated_gpu import EmulatedDevice, FakeDriver, OnGpu
from matching_fields import field

from mast3r_ros.common.errors import UserError
from mast3r_ros.matching import Database, cuda_compile, cuda_device, grid_seeds, reciprocal
from mast3r_ros.matching.cuda import (
    CudaDatabase,
    reciprocal_both_ways_on_gpu,
    reciprocal_on_gpu,
)
from mast3r_ros.matching.cuda_bindings import (
    GpuError,
    GpuMemoryError,
    GpuUnavailableError,
    check_versions,
)
from mast3r_ros.matching.cuda_compile import cached_kernels, compile_kernels
from mast3r_ros.matching.cuda_device import DriverDevice
from mast3r_ros.matching.gpu import GpuMatcher
from mast3r_ros.matching.nearest import UnfitDescriptorsError

_ELF = b"\x7fELF of a test"


class Nvrtc:
    """What the version check and the cache ask of NVRTC."""

    def __init__(self, *version: int) -> None:
        self.version = version

    def nvrtcVersion(self) -> tuple[object, ...]:
        if not self.version:
            raise RuntimeError("Failed to dlopen libnvrtc.so.13")
        return (type("Status", (), {"value": 0, "name": "NVRTC_SUCCESS"}), *self.version)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> EmulatedDevice:
    if not shutil.which(os.environ.get("CXX", "g++")):
        pytest.skip("no C++ compiler")
    return EmulatedDevice(tmp_path_factory.mktemp("emulated"))


@pytest.fixture
def driver(device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeDriver:
    """A stand-in driver, with kernels that need no compiler."""
    pytest.importorskip("cuda.bindings")
    driver = FakeDriver(device)
    for module in (cuda_device, cuda_compile):
        monkeypatch.setattr(module, "bindings", lambda: (driver, Nvrtc(13, 0)))
    monkeypatch.setattr(cuda_compile, "compile_kernels", lambda *_: (_ELF, ""))
    monkeypatch.setenv("MAST3R_ROS_CACHE", str(tmp_path))
    return driver


def _pairs(gpu: DriverDevice, count: int = 1) -> list[tuple[CudaDatabase, CudaDatabase]]:
    a = field(9, 16, 24, smooth=2.0)
    b = np.roll(a, 2, axis=1)
    return [(CudaDatabase(a, gpu), CudaDatabase(b, gpu)) for _ in range(count)]


def test_a_match_through_the_driver_gives_the_bits_of_the_cpu(driver: FakeDriver) -> None:
    gpu = DriverDevice(1, stream=5)
    ((a, b),) = _pairs(gpu)
    (pairs,) = reciprocal_on_gpu([(a, b)], stride=4)
    image = field(9, 16, 24, smooth=2.0)
    moved = np.roll(image, 2, axis=1)
    expected = reciprocal(Database(image), Database(moved), grid_seeds(16, 24, 4)).pairs
    np.testing.assert_array_equal(pairs, expected)
    # The device that torch works on is as it was.
    assert driver.contexts == ["of torch on gpu 0"]
    del a, b
    gpu.close()
    assert driver.memory == {}
    assert driver.modules == 0


def test_memory_is_used_again_and_given_back_from_any_thread(driver: FakeDriver) -> None:
    gpu = DriverDevice(stream=5)
    reciprocal_on_gpu(_pairs(gpu, 3), stride=4)
    allocated = driver.allocations
    for _ in range(3):
        reciprocal_on_gpu(_pairs(gpu, 3), stride=4)
    assert driver.allocations == allocated
    buffers = [gpu.allocate(1000)]
    thread = threading.Thread(target=buffers.clear)
    thread.start()
    thread.join()
    gpu.close()
    assert driver.memory == {}


def test_full_memory_is_first_freed_then_reported(driver: FakeDriver) -> None:
    gpu = DriverDevice(stream=5)
    driver.room = 1 << 20
    del (buffer := [gpu.allocate(700_000)])[:]
    assert gpu.allocate(900_000).pointer  # what waited in the pool went back first
    with pytest.raises(GpuMemoryError, match="CUDA_ERROR_OUT_OF_MEMORY; free memory"):
        gpu.allocate(2_000_000)
    assert buffer == []


def test_an_array_may_go_as_soon_as_it_was_uploaded(driver: FakeDriver) -> None:
    gpu = DriverDevice(stream=5)
    for size in (1000, 9 << 20):  # the second goes in pieces
        array = np.random.default_rng(0).integers(0, 255, size, np.uint8)
        expected, found = array.copy(), np.empty_like(array)
        buffer = gpu.allocate(size)
        gpu.upload(buffer.pointer, array)
        array[:] = 0
        gpu.download(buffer.pointer, found)
        np.testing.assert_array_equal(found, expected)


def test_another_stream_is_waited_for(driver: FakeDriver) -> None:
    gpu = DriverDevice(stream=5)
    CudaDatabase(OnGpu(field(1, 8, 8), stream=7), gpu)
    assert driver.waited == ["created", 7, (5, "event"), "destroyed"]


def test_what_does_not_load_is_compiled_again_once(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[int] = []

    def compile_again(channels: int, architecture: int) -> tuple[bytes, str]:
        compiled.append(architecture)
        return _ELF, ""

    monkeypatch.setattr(cuda_compile, "compile_kernels", compile_again)
    cached_kernels(24, 87)
    driver.refuse_modules = 1
    reciprocal_on_gpu(_pairs(DriverDevice(stream=5)), stride=8)
    assert compiled == [87, 87]
    driver.refuse_modules = 2
    with pytest.raises(GpuError, match="CUDA_ERROR_INVALID_IMAGE"):
        reciprocal_on_gpu(_pairs(DriverDevice(stream=5)), stride=8)


def test_a_damaged_cubin_is_compiled_again(driver: FakeDriver, tmp_path: Path) -> None:
    assert cached_kernels(24, 87) == _ELF
    (path,) = tmp_path.rglob("*.cubin")
    assert path.read_bytes() == hashlib.sha256(_ELF).digest() + _ELF
    path.write_bytes(path.read_bytes()[:-3])
    assert cached_kernels(24, 87) == _ELF
    assert path.read_bytes()[32:] == _ELF


@pytest.mark.parametrize("kind", ["a file", "no home"])
def test_a_cache_that_cannot_be_written_is_no_failure(
    driver: FakeDriver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    if kind == "a file":
        (tmp_path / "file").write_text("no folder")
        monkeypatch.setenv("MAST3R_ROS_CACHE", str(tmp_path / "file"))
    else:

        def nobody() -> Path:
            raise RuntimeError("Could not determine home directory.")

        for name in ("MAST3R_ROS_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(Path, "home", nobody)
    assert cached_kernels(24, 87) == _ELF
    assert "kernels are not cached" in caplog.text


_WRITER = """
import os, sys
os.getpid = lambda: 7  # as in two containers
from pathlib import Path
from mast3r_ros.matching import cuda_compile
content = bytes([int(sys.argv[2])]) * 200_000
for _ in range(100):
    cuda_compile._write(Path(sys.argv[1]), content)
    found = cuda_compile._read(Path(sys.argv[1]))
    assert found is not None and len(set(found)) == 1, "half of a file"
"""


def test_processes_that_write_the_cache_at_once_do_not_harm_it(tmp_path: Path) -> None:
    path = tmp_path / "kernels/some.cubin"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(i)], stderr=subprocess.PIPE, text=True
        )
        for i in range(2)
    ]
    errors = [writer.communicate()[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], errors
    assert "not cached" not in "".join(errors)
    assert [each.name for each in path.parent.iterdir()] == ["some.cubin"]


@pytest.mark.parametrize(
    ("driver_version", "bindings", "nvrtc", "message"),
    [
        (12060, "13.5.0", (13, 5), r"cuda-bindings 13.5.0 needs .* CUDA 12.6; .*\[cuda12\]"),
        (12060, "12.9.1", (13, 5), r"NVRTC 13.5 needs .* CUDA 12.6; .*\[cuda12\]"),
        (13000, "13.5.0", (), r"no NVRTC library .*libnvrtc.*\[cuda13\]"),
        (11080, "12.9.1", (12, 9), "install a driver of CUDA 12.6 or later"),
    ],
)
def test_versions_that_do_not_fit_name_what_to_install(
    driver_version: int, bindings: str, nvrtc: tuple[int, ...], message: str
) -> None:
    with pytest.raises(GpuUnavailableError, match=message) as caught:
        check_versions(FakeDriver(version=driver_version), Nvrtc(*nvrtc), bindings)
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize(("driver_version", "major"), [(12060, 12), (13000, 12), (13020, 13)])
def test_versions_that_fit_are_taken(driver_version: int, major: int) -> None:
    check_versions(FakeDriver(version=driver_version), Nvrtc(major, 9), f"{major}.9.1")


def test_missing_bindings_and_gpus_are_named(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.fail["cuDeviceGet"] = "CUDA_ERROR_INVALID_DEVICE"
    with pytest.raises(GpuUnavailableError, match=r"GPU 3 cannot be opened .*INVALID_DEVICE"):
        DriverDevice(3)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(GpuUnavailableError, match=r"mast3r_ros\[cuda13\].*mast3r_ros\[cuda12\]"):
        DriverDevice()


def _inputs(count: int) -> tuple[list[Any], list[Any]]:
    a = field(9, 16, 24, smooth=2.0)
    pair = a, np.roll(a, 2, axis=1)
    ones = np.ones((16, 24), np.float32)
    return [pair] * count, [(ones, ones)] * count


def test_a_gpu_that_fails_is_given_up_once_and_the_fallback_matches(
    device: EmulatedDevice, caplog: pytest.LogCaptureFixture
) -> None:
    opened: list[int] = []

    class Failing(EmulatedDevice):
        broken = False

        def launch(self, name: str, *arguments: Any) -> None:
            if self.broken:
                raise GpuError("matching on the GPU: CUDA reports CUDA_ERROR_LAUNCH_FAILED")
            device.launch(name, *arguments)

    gpu = Failing(device.folder)

    def open_device(number: int) -> EmulatedDevice:
        opened.append(number)
        return gpu

    fallen: list[int] = []

    def fallback(descriptors: Any) -> Database:
        fallen.append(1)
        return Database(descriptors)

    matcher = GpuMatcher(1, fallback, open_device)
    pairs, confidences = _inputs(2)
    assert matcher.prepare()
    expected = matcher.match(pairs, confidences, stride=4)
    assert not fallen
    gpu.broken = True
    for _ in range(2):
        for mine, theirs in zip(matcher.match(pairs, confidences, stride=4), expected, strict=True):
            np.testing.assert_array_equal(mine[0], theirs[0])
    assert len(fallen) == 8
    assert opened == [1]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "LAUNCH_FAILED. The fallback matches" in errors[0].getMessage()
    assert not matcher.prepare()


def test_a_gpu_that_cannot_be_opened_or_computes_wrongly_is_not_used(
    device: EmulatedDevice, caplog: pytest.LogCaptureFixture
) -> None:
    class Wrong(EmulatedDevice):
        def launch(self, name: str, *arguments: Any) -> None:
            if name != "search":  # nothing is ever found
                device.launch(name, *arguments)

    class Older(EmulatedDevice):
        def clear(self, *arguments: Any) -> None:
            raise RuntimeError('Function "cuMemsetD8Async" not found')

    def missing(number: int) -> EmulatedDevice:
        raise GpuUnavailableError("matching on the GPU: no NVRTC library; pip install it")

    for open_device, message in (
        (lambda number: Older(device.folder), "cuMemsetD8Async"),
        (lambda number: Wrong(device.folder), "0 matches where the CPU finds"),
        (missing, "no NVRTC library"),
    ):
        matcher = GpuMatcher(0, Database, open_device)
        assert not matcher.prepare()
        assert message in matcher.failure
        pairs, confidences = _inputs(1)
        assert len(matcher.match(pairs, confidences, stride=4)[0][0]) > 0


def test_image_pairs_that_do_not_fit_into_memory_are_matched_in_parts(
    device: EmulatedDevice,
) -> None:
    class Small(EmulatedDevice):
        most = 10**9

        def allocate(self, size: int) -> Any:
            if size > self.most:
                raise GpuMemoryError("matching on the GPU: CUDA reports CUDA_ERROR_OUT_OF_MEMORY")
            return device.allocate(size)

        def launch(self, name: str, *arguments: Any) -> None:
            device.launch(name, *arguments)

    gpu = Small(device.folder)
    matcher = GpuMatcher(0, Database, lambda number: gpu)
    pairs, confidences = _inputs(3)
    expected = matcher.match(pairs, confidences, stride=4)
    gpu.most = 150_000  # one pair's packing
    found = matcher.match(pairs, confidences, stride=4)
    assert not matcher.failure
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine[0], theirs[0])


def test_descriptors_that_are_not_finite_are_no_failure_of_the_gpu(device: EmulatedDevice) -> None:
    matcher = GpuMatcher(0, Database, lambda number: device)
    pairs, confidences = _inputs(1)
    bad = pairs[0][0].copy()
    bad[3, 4, 5] = np.nan
    with pytest.raises(UnfitDescriptorsError):
        matcher.match([(bad, pairs[0][1])], confidences, stride=4)
    assert matcher.prepare()


def test_kernels_are_compiled_and_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cuda.bindings.nvrtc")
    monkeypatch.setenv("MAST3R_ROS_CACHE", str(tmp_path))
    cubin = cached_kernels(24, 87)
    assert cubin[:4] == b"\x7fELF"
    (path,) = tmp_path.glob("kernels/sm_87_*.cubin")
    assert path.read_bytes()[32:] == cubin
    # Bytes of length one are shared by the whole process.
    assert [bytes([i])[0] for i in range(256)] == list(range(256))


def test_a_compiler_that_refuses_is_quoted() -> None:
    pytest.importorskip("cuda.bindings.nvrtc")
    with pytest.raises(GpuUnavailableError, match=r"cannot compile nearest\.cu for sm_1 "):
        compile_kernels(24, 1)


def test_the_real_bindings_take_what_they_are_given(
    device: EmulatedDevice, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call of a match, with its number and types of arguments, made to cuda-bindings too."""
    real = pytest.importorskip("cuda.bindings.driver")
    try:
        real.cuInit(0)
    except RuntimeError:
        pass  # no driver: a call ends after its arguments were taken
    else:
        pytest.skip("there is a driver here, which would do what it is told")
    kinds = {"context": real.CUcontext, "gpu": real.CUdevice, "event": real.CUevent}
    kinds |= {"module": real.CUmodule} | dict.fromkeys(cuda_device._NAMES, real.CUfunction)
    called: set[str] = set()

    def handle(value: object) -> object:
        return kinds[value.split()[0]](1) if isinstance(value, str) else value

    def both(name: str, fake: Any) -> Any:
        def call(*arguments: Any) -> Any:
            called.add(name)
            with pytest.raises(RuntimeError):
                getattr(real, name)(*map(handle, arguments))
            return fake(*arguments)

        return call

    with pytest.raises(TypeError):
        real.cuCtxPushCurrent("a context")
    for name in dir(FakeDriver):
        if name.startswith("cu"):
            monkeypatch.setattr(driver, name, both(name, getattr(driver, name)))
    attributes = real.CUdevice_attribute
    monkeypatch.setattr(driver, "CUdevice_attribute", attributes)
    monkeypatch.setattr(driver, "CUevent_flags", real.CUevent_flags)
    major = attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    monkeypatch.setattr(
        driver,
        "cuDeviceGetAttribute",
        both("cuDeviceGetAttribute", lambda which, _: driver._done("", 8 if which == major else 7)),
    )
    gpu = DriverDevice(stream=5)
    a = field(9, 16, 24, smooth=2.0)
    pair = CudaDatabase(OnGpu(a, stream=7), gpu), CudaDatabase(a, gpu)
    ones = OnGpu(np.ones((16, 24), np.float32))
    assert len(reciprocal_both_ways_on_gpu([pair], [(ones, ones)], stride=4)[0][0])
    del pair
    gpu.release()
    gpu.close()
    unused = {"cuCtxSetCurrent"}
    assert called == {name for name in dir(FakeDriver) if name.startswith("cu")} - unused


def test_a_context_that_is_gone_is_not_popped(driver: FakeDriver) -> None:
    """Else the context of another library would be, in whichever thread gives memory back."""
    gpu = DriverDevice(stream=5)
    buffer = gpu.allocate(1000)
    driver.cuCtxPushCurrent = lambda context: driver._done("cuCtxPushCurrent")  # type: ignore
    driver.fail["cuCtxPushCurrent"] = "CUDA_ERROR_CONTEXT_IS_DESTROYED"
    gpu.close()
    del buffer
    assert driver.contexts == ["of torch on gpu 0"]
