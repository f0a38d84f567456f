# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels without a GPU: compiled for four architectures, and run on the CPU."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matching_fields import field, unit
from numpy.typing import NDArray

from mast3r_ros.matching import (
    Database,
    cuda_device,
    grid_seeds,
    mutual_nearest,
    nearest,
    reciprocal,
)
from mast3r_ros.matching.cuda import (
    CudaDatabase,
    reciprocal_both_ways_on_gpu,
    reciprocal_on_gpu,
    returning_seeds_on_gpu,
    walk_on_gpu,
)
from mast3r_ros.matching.cuda_device import cached_kernels, compile_kernels

_ROOT = Path(__file__).resolve().parent.parent


class _Memory:
    def __init__(self, size: int) -> None:
        self._bytes = np.full(size + 64, 0xFF, np.uint8)  # NaN wherever nothing was written
        self.pointer = self._bytes.ctypes.data + -self._bytes.ctypes.data % 64


class EmulatedDevice:
    """A `Device` whose kernels are nearest.cu compiled by g++."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._libraries: dict[int, ctypes.CDLL] = {}

    def allocate(self, size: int) -> _Memory:
        return _Memory(size)

    def upload(self, pointer: int, array: NDArray[Any]) -> None:
        ctypes.memmove(pointer, array.ctypes.data, array.nbytes)

    def download(self, pointer: int, array: NDArray[Any]) -> None:
        ctypes.memmove(array.ctypes.data, pointer, array.nbytes)

    def launch(
        self,
        name: str,
        channels: int,
        grid: tuple[int, int, int],
        threads: int,
        argument: int,
        backward: bool = False,
    ) -> None:
        library = self._library(channels)
        pointer = ctypes.c_void_p(argument)
        assert (
            library.launch(name.encode(), (ctypes.c_uint * 3)(*grid), threads, pointer, backward)
            == 0
        )

    def _library(self, channels: int) -> ctypes.CDLL:
        if channels not in self._libraries:
            path = self._folder / f"emulated_{channels}.so"
            subprocess.run(
                [
                    *(os.environ.get("CXX", "g++"), "-std=c++17", "-O2", "-shared", "-fPIC"),
                    *(f"-DCHANNELS={channels}", f"-I{_ROOT / 'mast3r_ros/matching/kernels'}"),
                    *(str(_ROOT / "test/matching/emulate.cpp"), "-o", str(path)),
                ],
                check=True,
            )
            self._libraries[channels] = ctypes.CDLL(str(path))
        return self._libraries[channels]


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> EmulatedDevice:
    if not shutil.which(os.environ.get("CXX", "g++")):
        pytest.skip("no C++ compiler")
    return EmulatedDevice(tmp_path_factory.mktemp("emulated"))


def _descriptors(
    seed: int, height: int, width: int, channels: int, kind: str
) -> NDArray[np.float32]:
    image = field(seed, height, width, channels, 3.0 if kind == "smooth" else 0.0)
    return np.round(image * 2).astype(np.float32) if kind == "ties" else image


@pytest.mark.parametrize("kind", ["noise", "smooth", "ties"])
@pytest.mark.parametrize(
    ("channels", "height", "width", "queries"),
    [(24, 33, 45, 70), (24, 150, 190, 40), (7, 9, 5, 3), (64, 40, 30, 33), (70, 20, 20, 33)],
)
def test_the_kernel_gives_the_bits_of_the_cpu(
    device: EmulatedDevice, channels: int, height: int, width: int, queries: int, kind: str
) -> None:
    image = _descriptors(1, height, width, channels, kind)
    asked = _descriptors(2, queries, 1, channels, kind)[:, 0]
    for rows in (image, image.reshape(-1, channels)):
        index, score = nearest(asked, CudaDatabase(rows, device))
        expected_index, expected_score = nearest(asked, Database(rows))
        np.testing.assert_array_equal(index, expected_index)
        np.testing.assert_array_equal(score, expected_score)


def test_golden_walks_side_by_side(device: EmulatedDevice, reference: Path) -> None:
    with np.load(reference / "golden/fast_nn.npz") as golden:
        a, b = (CudaDatabase(golden[name], device) for name in "AB")
        for stride in (2, 4, 8):
            forth, back = reciprocal_on_gpu([(a, b), (b, a)], stride=stride)
            expected = np.column_stack([golden[f"frm_s{stride}_xy{i}"] @ [1, 64] for i in (1, 2)])
            np.testing.assert_array_equal(forth, expected)
            other = reciprocal(
                Database(golden["B"]), Database(golden["A"]), grid_seeds(48, 64, stride)
            )
            np.testing.assert_array_equal(back, other.pairs)


def test_golden_seeds_basins_and_both_ways(device: EmulatedDevice, reference: Path) -> None:
    with np.load(reference / "golden/fast_nn.npz") as golden:

        def pairs(name: str) -> NDArray[np.int64]:
            return np.column_stack([golden[f"{name}_xy{i}"] @ [1, 64] for i in (1, 2)])

        a, b = (CudaDatabase(golden[name], device) for name in "AB")
        for walk in walk_on_gpu([(a, b), (a, b)], stride=4):
            np.testing.assert_array_equal(np.append(walk.basin, -1), golden["basin_s4"])
            np.testing.assert_array_equal(walk.pairs, pairs("frm_s4"))
        y, x = np.mgrid[0:48:3, 0:64:3]
        seeds = (x + 64 * y).ravel()
        for tolerance in (1, 3, 5):
            kept, some = returning_seeds_on_gpu(
                [(a, b), (a, b)], [seeds, seeds[:40]], pixel_tolerance=tolerance
            )
            np.testing.assert_array_equal(kept, pairs(f"tol{tolerance}"))
            np.testing.assert_array_equal(some, kept[np.isin(kept[:, 0], seeds[:40])])
        weights = golden["cA"], golden["cB"]
        found = reciprocal_both_ways_on_gpu([(a, b), (b, a)], [weights, weights[::-1]], stride=8)
        np.testing.assert_array_equal(found[0][0], pairs("nonsym"))
        np.testing.assert_array_equal(found[0][1], golden["nonsym_conf"])
        order = np.lexsort(found[0][0].T)
        np.testing.assert_array_equal(found[1][0], found[0][0][order][:, ::-1])
        assert walk_on_gpu([]) == returning_seeds_on_gpu([], [], pixel_tolerance=1) == []
        assert reciprocal_both_ways_on_gpu([], []) == []


def test_walks_of_different_sizes_and_many_rounds(device: EmulatedDevice) -> None:
    pairs = []
    for seed, (height, width) in enumerate([(40, 56), (17, 90), (8, 8)]):
        a = field(seed, height, width, smooth=2.0)
        pairs.append((a, unit(np.roll(a, 3, axis=1) + 0.5 * field(seed + 9, height, width))))
    found = reciprocal_on_gpu(
        [(CudaDatabase(a, device), CudaDatabase(b, device)) for a, b in pairs], stride=2
    )
    for (a, b), mine in zip(pairs, found, strict=True):
        expected = reciprocal(Database(a), Database(b), grid_seeds(*a.shape[:2], 2))
        np.testing.assert_array_equal(mine, expected.pairs)


def test_a_database_on_the_gpu_goes_where_any_does(device: EmulatedDevice) -> None:
    a, b = field(3, 200, 1)[:, 0], field(4, 150, 1)[:, 0]
    pairs, scores = mutual_nearest(CudaDatabase(a, device), CudaDatabase(b, device))
    expected, expected_scores = mutual_nearest(a, b)
    np.testing.assert_array_equal(pairs, expected)
    np.testing.assert_array_equal(scores, expected_scores)
    assert reciprocal_on_gpu([]) == []


class _OnGpu:
    """What torch shows of a CUDA tensor."""

    def __init__(self, array: NDArray[Any], strides: tuple[int, ...] | None = None) -> None:
        self.array = array
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data, False),
            "strides": strides,
            "version": 3,
        }


def test_a_tensor_on_the_gpu_is_used_where_it_lies(device: EmulatedDevice) -> None:
    image = field(5, 16, 24)
    database = CudaDatabase(_OnGpu(image), device)
    assert int(database.record["rows"]) == image.ctypes.data
    np.testing.assert_array_equal(database.rows, image.reshape(-1, 24))
    np.testing.assert_array_equal(nearest(image.reshape(-1, 24), database)[0], np.arange(16 * 24))
    for bad in (_OnGpu(image.astype(np.float64)), _OnGpu(image, strides=(4, 8, 12))):
        with pytest.raises(ValueError, match="give float32, C-contiguous"):
            CudaDatabase(bad, device)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e18])
def test_unfit_rows_are_refused(device: EmulatedDevice, value: float) -> None:
    image = field(6, 16, 16)
    image[11, 3, 5] = value
    with pytest.raises(ValueError, match="NaN, inf or a norm above 1e18"):
        CudaDatabase(image, device)


def test_what_cannot_be_matched_on_the_gpu_is_refused(device: EmulatedDevice) -> None:
    image = CudaDatabase(field(7, 8, 8), device)
    with pytest.raises(ValueError, match="none of them 0"):
        CudaDatabase(np.zeros((0, 24)), device)
    with pytest.raises(ValueError, match="no second best on the GPU"):
        mutual_nearest(image, image, ratio=0.8)
    with pytest.raises(ValueError, match=r"build it from \(H, W, D\)"):
        reciprocal_on_gpu([(CudaDatabase(np.eye(24), device), image)])
    with pytest.raises(ValueError, match="one number of channels"):
        reciprocal_on_gpu([(image, CudaDatabase(field(8, 8, 8, 7), device))])


class FakeDriver:
    """What `DriverDevice` calls of cuda.bindings.driver, over host memory and the emulation."""

    CUdevice_attribute = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR="major",
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR="minor",
    )

    def __init__(self, emulated: EmulatedDevice, status: str = "CUDA_SUCCESS") -> None:
        self._emulated = emulated
        self._status = SimpleNamespace(value=int(status != "CUDA_SUCCESS"), name=status)
        self.memory: dict[int, _Memory] = {}
        self.current: object = None

    def _done(self, *results: object) -> tuple[object, ...]:
        return (self._status, *results)

    def cuInit(self, flags: int) -> tuple[object, ...]:
        return self._done()

    def cuDeviceGet(self, ordinal: int) -> tuple[object, ...]:
        return self._done(f"gpu {ordinal}")

    def cuDevicePrimaryCtxRetain(self, device: str) -> tuple[object, ...]:
        return self._done(f"context of {device}")

    def cuDeviceGetAttribute(self, attribute: str, device: str) -> tuple[object, ...]:
        return self._done({"major": 8, "minor": 7}[attribute])

    def cuCtxSetCurrent(self, context: str) -> tuple[object, ...]:
        self.current = context
        return self._done()

    def cuMemAlloc(self, size: int) -> tuple[object, ...]:
        memory = _Memory(size)
        self.memory[memory.pointer] = memory
        return self._done(memory.pointer)

    def cuMemFree(self, pointer: int) -> tuple[object, ...]:
        del self.memory[pointer]
        return self._done()

    def cuMemcpyHtoDAsync(
        self, target: int, source: int, size: int, stream: int
    ) -> tuple[object, ...]:
        assert stream == 5
        ctypes.memmove(target, source, size)
        return self._done()

    cuMemcpyDtoHAsync = cuMemcpyHtoDAsync

    def cuStreamSynchronize(self, stream: int) -> tuple[object, ...]:
        assert stream == 5
        return self._done()

    def cuModuleLoadData(self, cubin: bytes) -> tuple[object, ...]:
        assert cubin[:4] == b"\x7fELF"
        return self._done("module")

    def cuModuleGetFunction(self, module: str, name: bytes) -> tuple[object, ...]:
        return self._done(name.decode())

    def cuLaunchKernel(
        self, function: str, gx: int, gy: int, gz: int, tx: int, ty: int, tz: int, *rest: int
    ) -> tuple[object, ...]:
        shared, stream, parameters, extra = rest
        assert (self.current, ty, tz, shared, stream, extra) == ("context of gpu 0", 1, 1, 0, 5, 0)
        pointers = (ctypes.c_uint64 * 2).from_address(parameters)
        argument = ctypes.c_uint64.from_address(pointers[0]).value
        backward = ctypes.c_int32.from_address(pointers[1]).value
        self._emulated.launch(function, 24, (gx, gy, gz), tx, argument, bool(backward))
        return self._done()


def test_the_driver_is_asked_for_what_the_kernels_need(
    device: EmulatedDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    driver = FakeDriver(device)
    monkeypatch.setattr(cuda_device, "_bindings", lambda: (driver, nvrtc))
    gpu = cuda_device.DriverDevice(stream=5)
    a = field(9, 16, 24, smooth=2.0)
    b = np.roll(a, 2, axis=1)
    (pairs,) = reciprocal_on_gpu([(CudaDatabase(a, gpu), CudaDatabase(b, gpu))], stride=4)
    expected = reciprocal(Database(a), Database(b), grid_seeds(16, 24, 4)).pairs
    np.testing.assert_array_equal(pairs, expected)
    assert len(list(tmp_path.rglob("sm_87_*.cubin"))) == 1
    assert driver.memory == {}  # all of it given back


def test_what_the_driver_refuses_is_named(
    device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = FakeDriver(device, status="CUDA_ERROR_NO_DEVICE")
    monkeypatch.setattr(cuda_device, "_bindings", lambda: (driver, None))
    with pytest.raises(RuntimeError, match="CUDA: CUDA_ERROR_NO_DEVICE"):
        cuda_device.DriverDevice()


def test_missing_bindings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(ModuleNotFoundError, match="pip install cuda-bindings nvidia-cuda-nvrtc"):
        cuda_device.DriverDevice()


@pytest.mark.slow
def test_the_check_for_a_gpu_finds_the_kernels_right_and_wrong_ones_wrong(
    device: EmulatedDevice, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    monkeypatch.syspath_prepend(str(_ROOT))
    monkeypatch.setenv("MAST3R_ROS_REFERENCE", str(reference))
    from bench.gpu_matching import differences

    assert differences(device, large=False) == []

    class Wrong(EmulatedDevice):
        def launch(self, name: str, *arguments: Any) -> None:
            if name != "search":  # nothing is ever found
                super().launch(name, *arguments)

    found = differences(Wrong(device._folder), large=False)
    assert {text.partition(",")[0] for text in found} == {
        *("nearest", "reciprocal", "basins", "returning seeds", "both ways")
    }


def test_without_a_gpu_the_check_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.gpu_matching"],
        cwd=_ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "no GPU here, so that nothing was checked" in done.stderr


# What a kernel may use, so that several thread blocks share a processor on each of these GPUs.
_REGISTERS = {"pack": 255, "search": 102, "start": 32, "turn": 64}
_SHARED_BYTES = {"pack": 1024, "search": 26 * 1024, "start": 0, "turn": 4096}


@pytest.mark.parametrize("channels", [24, 64, 128])
@pytest.mark.parametrize("architecture", [87, 89, 90, 110])
def test_cubins_compile_without_spills_and_within_limits(architecture: int, channels: int) -> None:
    pytest.importorskip("cuda.bindings.nvrtc")
    cubin, log = compile_kernels(channels, architecture, verbose=True)
    assert cubin[:4] == b"\x7fELF"
    functions = re.split(r"Compiling entry function '(\w+)'", log)[1:]
    report = dict(zip(functions[::2], functions[1::2], strict=True))
    assert set(report) == set(_REGISTERS)
    for name, text in report.items():
        assert re.findall(r"(\d+) bytes spill", text) == ["0", "0"], name
        registers = re.search(r"Used (\d+) registers", text)
        shared = re.search(r"(\d+) bytes smem", text)
        assert registers, text
        assert int(registers[1]) <= _REGISTERS[name], name
        assert int(shared[1] if shared else 0) <= _SHARED_BYTES[name], name


def test_cubins_are_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cuda.bindings.nvrtc")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cubin = cached_kernels(24, 87)
    (path,) = tmp_path.glob("mast3r_ros/kernels/sm_87_*.cubin")
    assert path.read_bytes() == cubin
    path.write_bytes(b"from the cache")
    assert cached_kernels(24, 87) == b"from the cache"
    cached_kernels(64, 87)
    assert len(list(path.parent.iterdir())) == 2


def test_compiling_leaves_the_objects_of_python_alone() -> None:
    pytest.importorskip("cuda.bindings.nvrtc")
    compile_kernels(24, 87)
    # Bytes of length one are shared by the whole process.
    assert [bytes([i])[0] for i in range(256)] == list(range(256))


def test_a_compiler_that_refuses_is_heard() -> None:
    pytest.importorskip("cuda.bindings.nvrtc")
    with pytest.raises(RuntimeError, match=r"nearest\.cu for sm_1"):
        compile_kernels(24, 1)
