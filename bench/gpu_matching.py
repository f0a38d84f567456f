# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The CUDA matcher on this GPU against the CPU, its safety and its speed.

For `make gpu-check`:

1. Every kernel on random and golden data against the CPU, bit by bit.
2. The same under compute-sanitizer (memcheck, racecheck, synccheck), where it is installed.
3. One pass, and the whole stride-8 loop, against blocked torch on the same GPU, where torch has it.

Not run on a GPU yet. Exits with 3 where there is none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.matching import CHANNELS, STRIDE, image_pair, torch_in_blocks, torch_loop, unit
from mast3r_ros.matching import (
    Database,
    grid_seeds,
    nearest,
    reciprocal,
    reciprocal_both_ways,
    returning_seeds,
)
from mast3r_ros.matching.cuda import (
    CudaDatabase,
    reciprocal_both_ways_on_gpu,
    reciprocal_on_gpu,
    returning_seeds_on_gpu,
    walk_on_gpu,
)
from mast3r_ros.matching.cuda_device import Device, DriverDevice
from mast3r_ros.matching.cuda_gather import gather_on_gpu

NO_GPU = 3
_GOLDEN = "shared/reference"


def _golden() -> list[NDArray[np.float32]]:
    root = os.environ.get("MAST3R_ROS_REFERENCE")
    folder = Path(root) if root else Path(__file__).resolve().parents[2] / _GOLDEN
    path = folder / "golden/fast_nn.npz"
    if not path.is_file():
        print(f"no {path}: golden data left out (set MAST3R_ROS_REFERENCE)")
        return []
    with np.load(path) as file:
        return [file["A"], file["B"]]


def differences(device: Device, large: bool = True) -> list[str]:
    """Where the device and the CPU disagree, empty where they agree.

    Args:
        device: that runs the kernels.
        large: try images of 384 x 512 too.
    """
    rng = np.random.default_rng(0)
    cases: list[tuple[str, NDArray[np.float32], NDArray[np.float32]]] = []
    for channels in (7, 24, 64, 70):
        image = unit(rng.normal(size=(33, 45, channels)))
        cases.append((f"noise, {channels} channels", image, np.roll(image, 5, axis=1)))
    few = np.round(2 * rng.normal(size=(2, 40, 40, CHANNELS))).astype(np.float32)
    cases.append(("ties", few[0], few[1]))
    if golden := _golden():
        cases.append(("golden", golden[0], golden[1]))
    if large:
        cases += [(kind, *image_pair(kind)) for kind in ("noise", "smooth 4", "smooth 8")]
    found = []
    for name, first, second in cases:
        a, b = CudaDatabase(first, device), CudaDatabase(second, device)
        queries = first.reshape(-1, first.shape[-1])[::3]
        mine, theirs = nearest(queries, b), nearest(queries, Database(second))
        for what, left, right in zip(("index", "score"), mine, theirs, strict=True):
            if not np.array_equal(left, right):
                found.append(
                    f"nearest, {name}: {np.sum(left != right)} of {len(left)} {what} differ"
                )
        there = ((first, second), (second, first))
        on_host = [(Database(one), Database(other)) for one, other in there]
        on_gpu = [(a, b), (b, a)]
        seeds = [grid_seeds(*one.shape[:2], 4) for one, _ in there]
        walks = [reciprocal(*pair, s) for pair, s in zip(on_host, seeds, strict=True)]
        for mine, walk in zip(walk_on_gpu(on_gpu, stride=4), walks, strict=True):
            if not np.array_equal(mine.pairs, walk.pairs):
                found.append(f"reciprocal, {name}: the pairs differ")
            if not np.array_equal(mine.basin, walk.basin):
                found.append(f"basins, {name}: they differ")
        kept = returning_seeds_on_gpu(on_gpu, seeds, pixel_tolerance=3)
        for mine, pair, some in zip(kept, on_host, seeds, strict=True):
            if not np.array_equal(mine, returning_seeds(*pair, some, pixel_tolerance=3)):
                found.append(f"returning seeds, {name}: the pairs differ")
        weights = [rng.random(image.shape[:2]).astype(np.float32) for image in (first, second)]
        ((mine, confidence),) = reciprocal_both_ways_on_gpu(
            on_gpu[:1], [(weights[0], weights[1])], stride=4, border=2, limit=500
        )
        expected = reciprocal_both_ways(*on_host[0], *weights, stride=4, border=2, limit=500)
        if not (np.array_equal(mine, expected[0]) and np.array_equal(confidence, expected[1])):
            found.append(f"both ways, {name}: the pairs differ")
        lying = [_Uploaded(device, weight) for weight in weights]
        pixels = [rng.integers(0, weight.size, 300) for weight in weights]
        gathered = gather_on_gpu(device, a.channels, lying, pixels)
        for mine, weight, index in zip(gathered, weights, pixels, strict=True):
            if not np.array_equal(mine, weight.ravel()[index]):
                found.append(f"gather, {name}: the values differ")
    return found


class _Uploaded:
    """An array on the device, as an engine leaves one there."""

    def __init__(self, device: Device, array: NDArray[np.float32]) -> None:
        self._buffer = device.allocate(array.nbytes)
        device.upload(self._buffer.pointer, array)
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": "<f4",
            "data": (self._buffer.pointer, False),
            "version": 3,
        }


def _sanitize() -> bool:
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        print("compute-sanitizer is not installed: left out")
        return True
    clean = True
    for check in ("memcheck", "racecheck", "synccheck"):
        command = [tool, "--tool", check, "--error-exitcode", "1", sys.executable]
        done = subprocess.run([*command, "-m", "bench.gpu_matching", "--small"], check=False)
        print(f"compute-sanitizer {check}: {'clean' if done.returncode == 0 else 'PROBLEMS'}")
        clean &= done.returncode == 0
    return clean


def _milliseconds(work: Callable[[], object], synchronize: Callable[[], None]) -> float:
    best = np.inf
    for _ in range(20):
        synchronize()
        start = time.perf_counter()
        work()
        synchronize()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def _times(device: Device) -> None:
    if not torch.cuda.is_available():
        print("torch sees no GPU: no times")
        return
    print(f"{torch.cuda.get_device_name()}, best of 20, ms")
    print(f"{'':10}{'pass':>8}{'torch':>8}{'loop':>8}{'torch':>8}{'4 loops':>9}")
    for kind in ("noise", "smooth 4", "smooth 8"):
        first, second = (torch.from_numpy(image).cuda() for image in image_pair(kind))
        a, b = CudaDatabase(first, device), CudaDatabase(second, device)
        seeds = torch.from_numpy(grid_seeds(*first.shape[:2], STRIDE)).cuda()
        queries = first.flatten(0, 1)[seeds].contiguous()
        rows = second.flatten(0, 1)
        asked = CudaDatabase(queries, device)
        works = (
            lambda asked=asked, b=b: b.nearest_of(asked),
            lambda queries=queries, rows=rows: torch_in_blocks(queries, rows),
            lambda a=a, b=b: reciprocal_on_gpu([(a, b)], stride=STRIDE),
            lambda first=first, second=second: torch_loop(first, second, STRIDE),
            lambda a=a, b=b: reciprocal_on_gpu([(a, b)] * 4, stride=STRIDE),
        )
        took = [_milliseconds(work, torch.cuda.synchronize) for work in works]
        print(f"{kind:10}" + "".join(f"{each:>8.2f}" for each in took))


def main() -> int:
    """Returns the exit status."""
    try:
        device = DriverDevice()
    except (ModuleNotFoundError, RuntimeError) as error:
        print(f"no GPU here, so that nothing was checked: {error}", file=sys.stderr)
        return NO_GPU
    small = "--small" in sys.argv
    found = differences(device, large=not small)
    print("\n".join(found) or "every kernel gives the bits of the CPU")
    if small:
        return len(found) > 0
    clean = _sanitize()
    _times(device)
    return int(bool(found) or not clean)


if __name__ == "__main__":
    sys.exit(main())
