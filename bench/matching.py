# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Matching on the CPU against faiss, numpy and torch, all in one run: `python -m bench matching`.

An exact pass of 3,072 queries over 384 x 512 descriptors of 24 channels, and the whole stride-8
reciprocal matching of two such images. Contenders take turns, and the best of their turns counts,
so that what else the machine does falls on all of them. Every answer is compared.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import threadpoolctl
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from mast3r_ros.matching import Database, _nearest, grid_seeds, nearest, reciprocal

HEIGHT, WIDTH, CHANNELS, STRIDE = 384, 512, 24, 8
TURNS = 5


def unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows over their norms."""
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def image_pair(kind: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two images of unit descriptors (H, W, D): half of the second is the first's, moved.

    ``noise`` is white: no bound helps. ``smooth 4`` is blurred over 4 pixels, as a network's
    descriptors are, and then given a tenth of noise; the other half of the second image, which
    the first does not show, is another such field.
    """
    rng = np.random.default_rng(0)
    size = (HEIGHT, WIDTH, CHANNELS)
    tenth = 0.1 / np.sqrt(CHANNELS)
    blur = 0.0 if kind == "noise" else float(kind.split()[1])
    first, other = (unit(gaussian_filter(rng.normal(size=size), (blur, blur, 0))) for _ in "ab")
    second = np.roll(first, (20, 30), axis=(0, 1))
    second[:, WIDTH // 2 :] = other[:, WIDTH // 2 :]
    if blur:
        first = first + tenth * rng.normal(size=size)
    return unit(first), unit(second + tenth * rng.normal(size=size))


def numpy_in_blocks(
    queries: NDArray[np.float32], rows: NDArray[np.float32], block: int = 4096
) -> NDArray[np.int64]:
    """The obvious exact pass: a matrix product and an arg-max, block by block."""
    best = np.full(len(queries), -np.inf, np.float32)
    index = np.zeros(len(queries), np.int64)
    for start in range(0, len(rows), block):
        scores = queries @ rows[start : start + block].T
        found = scores.argmax(axis=1)
        score = scores[np.arange(len(queries)), found]
        better = score > best
        best[better] = score[better]
        index[better] = found[better] + start
    return index


def torch_in_blocks(queries: torch.Tensor, rows: torch.Tensor, block: int = 8192) -> torch.Tensor:
    """The same in torch, on the tensors' device."""
    best = torch.full((len(queries),), -torch.inf, device=queries.device)
    index = torch.zeros(len(queries), dtype=torch.int64, device=queries.device)
    for start in range(0, len(rows), block):
        score, found = (queries @ rows[start : start + block].T).max(dim=1)
        better = score > best
        best = torch.where(better, score, best)
        index = torch.where(better, found + start, index)
    return index


def torch_loop(first: torch.Tensor, second: torch.Tensor, stride: int) -> torch.Tensor:
    """The published loop in plain torch: what the MASt3R paper describes, without our shortcuts.

    Args:
        first: (H, W, D).
        second: (H, W, D).
        stride: of the seeds.

    Returns:
        pairs (P, 2), unique and sorted.
    """
    height, width, _ = first.shape
    rows1, rows2 = first.flatten(0, 1), second.flatten(0, 1)
    y = torch.arange(stride // 2, height, stride, device=first.device)
    x = torch.arange(stride // 2, width, stride, device=first.device)
    pixel = (x + width * y[:, None]).flatten()
    partner = torch.full_like(pixel, -1)
    converged = torch.zeros_like(pixel, dtype=torch.bool)
    active = torch.arange(len(pixel), device=first.device)
    for _ in range(10):
        there = torch_in_blocks(rows1[pixel[active]], rows2)
        changed = there != partner[active]
        partner[active] = there
        converged[active[~changed]] = True
        active = active[changed]
        if not len(active):
            break
        back = torch_in_blocks(rows2[partner[active]], rows1)
        converged[active] |= back == pixel[active]
        pixel[active] = back
    return torch.unique(torch.stack([pixel, partner], dim=1)[converged], dim=0)


def our_loop(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.int64]:
    """Ours, packing included."""
    seeds = grid_seeds(HEIGHT, WIDTH, STRIDE)
    return reciprocal(Database(first), Database(second), seeds).pairs


def best_of_turns(contenders: dict[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """Seconds on the clock and of all cores, each of a contender's best turn.

    One that takes seconds gets fewer turns. Where other programs use the cores too, those of the
    cores tell more than the clock's.
    """
    best = dict.fromkeys(contenders, (np.inf, np.inf))
    for turn in range(TURNS):
        for name, work in contenders.items():
            if turn >= 2 and best[name][0] > 1.0:
                continue
            start, cores = time.perf_counter(), time.process_time()
            work()
            took = time.perf_counter() - start, time.process_time() - cores
            best[name] = min(best[name][0], took[0]), min(best[name][1], took[1])
    return best


def peak() -> float | None:
    """GFLOP/s of a core, measured by multiply-adds in registers; None without a compiler.

    Products of bytes do four times as many, where the processor has them.
    """
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        source = Path(__file__).with_name("_peak.cpp")
        subprocess.run(
            [compiler, "-std=c++17", "-O2", "-march=native", source, "-o", program], check=True
        )
        return float(subprocess.run([program], capture_output=True, check=True).stdout)


def _table(title: str, seconds: dict[str, tuple[float, float]], baselines: tuple[str, ...]) -> None:
    print(f"\n{title}")
    print(f"  {'':20}{'ms':>9}{'core ms':>9}  times as fast, by the clock and by the cores")
    for name, (clock, cores) in seconds.items():
        ratios = "".join(
            f"{seconds[base][0] / clock:>9.1f} /{seconds[base][1] / cores:>6.1f} as {base}"
            for base in baselines
            if base != name
        )
        print(f"  {name:20}{clock * 1e3:>9.1f}{cores * 1e3:>9.1f}{ratios}")


def _one_pass(kind: str, limit: float | None) -> None:
    first, second = image_pair(kind)
    rows = second.reshape(-1, CHANNELS)
    queries = first.reshape(-1, CHANNELS)[grid_seeds(HEIGHT, WIDTH, STRIDE)]
    flat = faiss.IndexFlatIP(CHANNELS)
    flat.add(rows)
    torch_queries, torch_rows = torch.from_numpy(queries), torch.from_numpy(rows)
    database = Database(second)
    threads = len(os.sched_getaffinity(0))
    names = _nearest.instruction_sets()
    of_floats = next(name for name in names if not name.endswith(("vnni", "dot")))
    every, floats = (
        _nearest.Index(rows, height=HEIGHT, width=WIDTH, threads=threads, instruction_set=name)
        for name in (names[0], of_floats)
    )
    contenders: dict[str, Callable[[], object]] = {
        "faiss": lambda: flat.search(queries, 1),
        "numpy": lambda: numpy_in_blocks(queries, rows),
        "torch": lambda: torch_in_blocks(torch_queries, torch_rows),
        "ours, every block": lambda: every.nearest(
            queries, threads=threads, second=False, prune=False
        ),
        "ours, floats alone": lambda: floats.nearest(
            queries, threads=threads, second=False, prune=False
        ),
        "ours": lambda: nearest(queries, database),
        "packing one image": lambda: Database(second),
    }
    seconds = best_of_turns(contenders)
    _table(
        f"One pass, {len(queries)} x {len(rows)} x {CHANNELS}, {kind}", seconds, ("faiss", "numpy")
    )
    flop = 2.0 * len(queries) * len(rows) * CHANNELS
    for name in ("ours, floats alone", "ours, every block"):
        clock, cores = (flop / took * 1e-9 for took in seconds[name])
        share = f", {cores / limit:.0%} of the peak of floats, {limit:.0f}" if limit else ""
        print(f"  {name}: {clock:.0f} GFLOP/s; {cores:.0f} GFLOP/s a core{share}")
    ours = nearest(queries, database)[0]
    for name, other in (
        ("faiss", flat.search(queries, 1)[1][:, 0]),
        ("numpy", numpy_in_blocks(queries, rows)),
        ("every block", every.nearest(queries, threads=threads, second=False, prune=False)[0]),
    ):
        differing = np.flatnonzero(ours != other)
        exact = np.einsum("nd,nd->n", queries[differing], (rows[ours] - rows[other])[differing])
        assert (np.abs(exact) < 1e-6).all(), name
        print(f"  indices equal to {name}: {1 - len(differing) / len(ours):.2%}")


def _loop(kind: str) -> None:
    first, second = image_pair(kind)
    torch_first, torch_second = torch.from_numpy(first), torch.from_numpy(second)
    seconds = best_of_turns(
        {
            "torch loop": lambda: torch_loop(torch_first, torch_second, STRIDE),
            "ours": lambda: our_loop(first, second),
        }
    )
    _table(f"Stride-{STRIDE} reciprocal matching, {kind}", seconds, ("torch loop",))
    theirs = torch_loop(torch_first, torch_second, STRIDE).numpy()
    ours = our_loop(first, second)
    print(f"  {len(ours)} pairs, identical: {np.array_equal(ours, theirs)}")


def main() -> None:
    """Prints the tables."""
    limit = peak()
    blas = {info.get("architecture") for info in threadpoolctl.threadpool_info()} - {None}
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores; instruction set {_nearest.instruction_sets()[0]}; BLAS for {blas}")
    print(f"other programs: load {os.getloadavg()[0]:.1f}")
    for kind in ("noise", "smooth 2", "smooth 4", "smooth 8"):
        _one_pass(kind, limit)
    for kind in ("noise", "smooth 4"):
        _loop(kind)


if __name__ == "__main__":
    main()
