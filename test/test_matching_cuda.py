# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels without a GPU: run on the CPU, and compiled for four architectures."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulated_gpu import EmulatedDevice, OnGpu
from matching_fields import field, unit
from numpy.typing import NDArray
from PIL import Image

from mast3r_ros.matching import (
    Database,
    cuda_compile,
    grid_seeds,
    mutual_nearest,
    nearest,
    reciprocal,
    reciprocal_both_ways,
)
from mast3r_ros.matching.cuda import (
    CudaDatabase,
    reciprocal_both_ways_on_gpu,
    reciprocal_on_gpu,
    returning_seeds_on_gpu,
    screening_on_gpu,
    walk_on_gpu,
)
from mast3r_ros.matching.cuda_compile import compile_kernels
from mast3r_ros.matching.cuda_gather import gather_on_gpu
from mast3r_ros.matching.nearest import UnfitDescriptorsError

_ROOT = Path(__file__).resolve().parent.parent


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
    [(24, 33, 45, 70), (24, 46, 90, 40), (7, 9, 5, 3), (64, 40, 30, 33), (70, 20, 20, 33)],
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


def test_a_tensor_on_the_gpu_is_used_where_it_lies(device: EmulatedDevice) -> None:
    image = field(5, 16, 24)
    database = CudaDatabase(OnGpu(image, stream=9), device)
    assert device.launches[-1] == "wait for 9"
    assert database.rows_pointer == image.ctypes.data
    np.testing.assert_array_equal(database.rows, image.reshape(-1, 24))
    np.testing.assert_array_equal(nearest(image.reshape(-1, 24), database)[0], np.arange(16 * 24))


def test_a_tensor_in_channels_first_memory_is_made_contiguous_there(
    device: EmulatedDevice,
) -> None:
    image, other = field(5, 16, 24), field(6, 16, 24)
    # As `pixel_shuffle` leaves it on a GPU: (H, W, D) over memory of (D, H, W).
    turned = np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0)
    assert not turned.flags.c_contiguous
    a, b = CudaDatabase(OnGpu(turned), device), CudaDatabase(OnGpu(other), device)
    ((pairs, _),) = reciprocal_both_ways_on_gpu([(a, b)], [_ones(image, other)], stride=4)
    expected, _ = reciprocal_both_ways(
        Database(image), Database(other), *_ones(image, other), stride=4
    )
    np.testing.assert_array_equal(pairs, expected)
    flat = np.asfortranarray(image.reshape(-1, 24))
    np.testing.assert_array_equal(CudaDatabase(OnGpu(flat), device).rows, flat)


def _ones(*images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    first, second = (np.ones(image.shape[:2], np.float32) for image in images)
    return first, second


def test_layout_and_type_are_not_taken_for_nan(device: EmulatedDevice) -> None:
    half = OnGpu(field(5, 16, 24).astype(np.float16))
    with pytest.raises(ValueError, match="type <f2 on the GPU; give float32") as caught:
        CudaDatabase(half, device)
    assert not isinstance(caught.value, UnfitDescriptorsError)


def test_all_images_are_packed_in_one_launch(device: EmulatedDevice) -> None:
    images = [CudaDatabase(field(i, 16, 16, smooth=2.0), device) for i in range(6)]
    device.launches.clear()
    reciprocal_on_gpu([(images[0], other) for other in images[1:]], stride=4)
    assert device.launches[:3] == ["pack", "round_rows", "start"]
    device.launches.clear()
    reciprocal_on_gpu([(images[0], images[1])], stride=4)
    assert device.launches[0] == "start"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e18])
def test_unfit_rows_are_refused(device: EmulatedDevice, value: float) -> None:
    image, fit = field(6, 16, 16), field(7, 16, 16)
    image[11, 3, 5] = value
    for pair in ((image, fit), (fit, image)):
        databases = tuple(CudaDatabase(each, device) for each in pair)
        with pytest.raises(UnfitDescriptorsError, match="pair 1: NaN, inf or a norm above 1e18"):
            reciprocal_on_gpu([(CudaDatabase(fit, device),) * 2, databases], stride=4)
        with pytest.raises(UnfitDescriptorsError):
            nearest(pair[0].reshape(-1, 24), CudaDatabase(pair[1], device))


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


def _screening(first: CudaDatabase, second: CudaDatabase, stride: int) -> tuple[float, float]:
    """Shares of all pairs that are multiplied in bytes, and scored in float32."""
    (found,) = screening_on_gpu([(first, second)], stride=stride)
    return found.screened / found.all, found.scored / found.all


def test_bytes_rule_out_most_rows_of_noise_and_cones_most_of_a_smooth_field(
    device: EmulatedDevice,
) -> None:
    for smooth, most_screened, most_scored in ((0.0, 1.0, 0.005), (4.0, 0.95, 0.005)):
        a = field(1, 96, 128, smooth=smooth)
        b = unit(np.roll(a, 5, axis=1) + 0.02 * field(2, 96, 128))
        screened, scored = _screening(CudaDatabase(a, device), CudaDatabase(b, device), 8)
        print(f"smooth {smooth}: {screened:.1%} screened, {scored:.2%} scored")
        assert screened <= most_screened
        assert 0 < scored < most_scored


def test_where_the_bytes_rule_out_nothing_screening_stops(device: EmulatedDevice) -> None:
    equal = np.broadcast_to(field(3, 1, 1), (64, 64, 24)).copy()
    for image in (equal, np.zeros_like(equal)):
        database = CudaDatabase(image, device)
        index, score = nearest(image[0, :40], database)
        expected, expected_score = nearest(image[0, :40], Database(image))
        np.testing.assert_array_equal(index, expected)
        np.testing.assert_array_equal(score, expected_score)
    equal_database = CudaDatabase(equal, device)
    screened, scored = _screening(equal_database, equal_database, 16)
    print(f"equal: {screened:.1%} screened, {scored:.1%} scored")
    assert scored > 0.9  # the first blocks alone are screened


def test_rows_of_very_different_lengths(device: EmulatedDevice) -> None:
    rng = np.random.default_rng(8)
    image = (field(4, 40, 50) * 10.0 ** rng.uniform(-6, 6, (40, 50, 1))).astype(np.float32)
    asked = field(5, 64, 1)[:, 0] * np.float32(1e-3)
    for queries in (asked, asked * np.float32(1e9)):
        index, score = nearest(queries, CudaDatabase(image, device))
        expected_index, expected_score = nearest(queries, Database(image))
        np.testing.assert_array_equal(index, expected_index)
        np.testing.assert_array_equal(score, expected_score)


@pytest.fixture
def nano_pair(
    office: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Descriptors of two photographs by the small network of the package."""
    pytest.importorskip("torch")
    from mast3r_ros import Camera, Frame
    from mast3r_ros.frontends.mast3r import matching
    from mast3r_ros.frontends.mast3r.frontend import Mast3rFrontEnd
    from mast3r_ros.frontends.mast3r.options import Mast3rOptions

    found: list[NDArray[np.float32]] = []

    class Recorded(Database):
        def __init__(self, descriptors: NDArray[np.float32]) -> None:
            found.append(descriptors)
            super().__init__(descriptors)

    monkeypatch.setattr(matching, "Database", Recorded)
    front_end = Mast3rFrontEnd(Mast3rOptions(engine="torch", checkpoint="nano", device="cpu"))
    camera = Camera.from_yaml(office / "camera_info.yaml")
    paths = sorted(office.rglob("rgb/*.*g"))
    frames = [
        Frame(np.asarray(Image.open(path).convert("RGB")), camera)
        for path in (paths[0], paths[len(paths) // 50])
    ]
    first, second = (front_end.describe(frame) for frame in frames)
    front_end.match([first], second)
    a, b = found[:2]
    return a, b


@pytest.mark.slow
@pytest.mark.no_cover
def test_real_descriptors_give_the_bits_of_the_cpu(
    device: EmulatedDevice, nano_pair: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    a, b = nano_pair
    on_gpu = CudaDatabase(a, device), CudaDatabase(b, device)
    walks = walk_on_gpu([on_gpu, on_gpu[::-1]], stride=8)
    for walk, (first, second) in zip(walks, ((a, b), (b, a)), strict=True):
        expected = reciprocal(Database(first), Database(second), grid_seeds(*first.shape[:2], 8))
        np.testing.assert_array_equal(walk.pairs, expected.pairs)
        np.testing.assert_array_equal(walk.basin, expected.basin)
    index, score = nearest(a[::8, ::8].reshape(-1, 24), on_gpu[1])
    expected_index, expected_score = nearest(a[::8, ::8].reshape(-1, 24), Database(b))
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_array_equal(score, expected_score)
    screened, scored = _screening(*on_gpu, 8)
    print(f"nano: {screened:.1%} screened, {scored:.2%} scored")
    assert 0 < scored < 0.2


@pytest.mark.no_cover
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

    found = differences(Wrong(device.folder), large=False)
    assert {text.partition(",")[0] for text in found} == {
        *("nearest", "reciprocal", "basins", "returning seeds", "both ways")
    }


@pytest.mark.no_cover
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
_REGISTERS = {
    "compact": 64,
    "gather": 64,
    "pack": 80,
    "rotate": 64,
    "round_rows": 64,
    "start": 32,
    "turn": 64,
}
_SHARED_BYTES = {"search": 36 * 1024, "turn": 4096}


@pytest.mark.parametrize(
    ("architecture", "channels"),
    # All with the published channels; more of them on the oldest and on the newest.
    [(87, 24), (89, 24), (90, 24), (110, 24), (87, 64), (110, 64), (87, 128), (110, 128)],
)
def test_cubins_compile_without_spills_and_within_limits(architecture: int, channels: int) -> None:
    pytest.importorskip("cuda.bindings.nvrtc")
    cubin, log = compile_kernels(channels, architecture, verbose=True)
    assert cubin[:4] == b"\x7fELF"
    functions = re.split(r"Compiling entry function '(\w+)'", log)[1:]
    report = dict(zip(functions[::2], functions[1::2], strict=True))
    assert set(report) == {*_REGISTERS, "search"}
    most = _REGISTERS | {"search": 128 if channels <= 64 else 168}
    for name, text in report.items():
        assert re.findall(r"(\d+) bytes spill", text) == ["0", "0"], name
        registers = re.search(r"Used (\d+) registers", text)
        shared = re.search(r"(\d+) bytes smem", text)
        assert registers, text
        assert int(registers[1]) <= most[name], name
        assert int(shared[1] if shared else 0) <= _SHARED_BYTES.get(name, 1024), name


def test_values_are_gathered_where_they_lie(device: EmulatedDevice) -> None:
    rng = np.random.default_rng(0)
    shapes = [(5, 7, 3), (6, 4), (30, 40, 3), (2, 3, 1)]
    arrays = [rng.random(shape).astype(np.float32) for shape in shapes]
    indices = [
        rng.integers(0, 35, 9),
        np.zeros(0, np.int64),
        rng.integers(0, 1200, (600, 4)),
        np.array([5]),
    ]
    found = gather_on_gpu(device, 24, [OnGpu(array) for array in arrays], indices)
    for values, array, index in zip(found, arrays, indices, strict=True):
        expected = array.reshape(-1, *array.shape[2:])[index]
        assert values.shape == expected.shape
        np.testing.assert_array_equal(values, expected)
    nothing = gather_on_gpu(device, 24, [OnGpu(arrays[0])], [np.zeros((0, 4), np.int64)])
    assert nothing[0].shape == (0, 4, 3)
    with pytest.raises(IndexError, match="pixels 3 to 35 of an image"):
        gather_on_gpu(device, 24, [OnGpu(arrays[0])], [np.array([3, 35])])
    with pytest.raises(TypeError, match="strides"):
        gather_on_gpu(device, 24, [OnGpu(arrays[0][::2])], [np.array([3])])


def test_confidences_on_the_gpu_are_read_at_the_pairs_alone(device: EmulatedDevice) -> None:
    a = field(0, 40, 56, smooth=2.0)
    b = unit(np.roll(a, 3, axis=1) + 0.5 * field(9, 40, 56))
    weights = [np.random.default_rng(i).random((40, 56)).astype(np.float32) for i in range(2)]
    pair = CudaDatabase(a, device), CudaDatabase(b, device)
    options = {"stride": 4, "border": 2, "limit": 60}
    on_host = reciprocal_both_ways_on_gpu([pair], [(weights[0], weights[1])], **options)
    on_gpu = reciprocal_both_ways_on_gpu([pair], [tuple(map(OnGpu, weights))], **options)
    expected = reciprocal_both_ways(Database(a), Database(b), *weights, **options)
    assert len(expected[0]) == 60
    for found in (on_host[0], on_gpu[0]):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_what_other_threads_raise_is_read_atomically() -> None:
    """A plain read of the best score may be kept in a register, or be half of it."""
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
    folder, headers = cuda_compile._FOLDER, cuda_compile._HEADERS
    sources = [(folder / name).read_bytes() for name in headers]
    _, program = nvrtc.nvrtcCreateProgram(
        *((folder / cuda_compile._SOURCE).read_bytes(), b"nearest.cu", len(headers), sources),
        [name.encode() for name in headers],
    )
    options = [b"--gpu-architecture=compute_87", b"-DCHANNELS=24", b"--std=c++17"]
    assert nvrtc.nvrtcCompileProgram(program, len(options), options)[0].value == 0
    text = bytearray(nvrtc.nvrtcGetPTXSize(program)[1])
    nvrtc.nvrtcGetPTX(program, text)
    nvrtc.nvrtcDestroyProgram(program)
    search = re.search(rb"\.entry search\(.*?\n}", bytes(text), re.S)
    assert search
    assert search[0].count(b"ld.relaxed.cta.u64") >= 4
