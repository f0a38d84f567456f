# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks that are known, by name."""

from __future__ import annotations

from pathlib import Path

from mast3r_ros.evaluation.benchmarks.aachen import Aachen
from mast3r_ros.evaluation.benchmarks.ablations import Ablations
from mast3r_ros.evaluation.benchmarks.base import Benchmark, BenchmarkError
from mast3r_ros.evaluation.benchmarks.dtu import Dtu
from mast3r_ros.evaluation.benchmarks.fast_matching import FastMatching
from mast3r_ros.evaluation.benchmarks.inloc import InLoc
from mast3r_ros.evaluation.benchmarks.mapfree import MapFree
from mast3r_ros.evaluation.benchmarks.options import BenchmarkOptions
from mast3r_ros.evaluation.benchmarks.recall import SevenScenes, TumRooms
from mast3r_ros.evaluation.benchmarks.relative import Co3d, RealEstate

BENCHMARKS: dict[str, type[Benchmark]] = {
    kind.name: kind
    for kind in (
        MapFree,
        Co3d,
        RealEstate,
        Aachen,
        InLoc,
        SevenScenes,
        TumRooms,
        Dtu,
        FastMatching,
        Ablations,
    )
}


def open_benchmark(name: str, data: Path, options: BenchmarkOptions) -> Benchmark:
    """A benchmark by its name, on its data.

    Raises:
        BenchmarkError: there is none of that name, or no data.
    """
    if name not in BENCHMARKS:
        known = "; ".join(f"{kind.name} ({kind.text})" for kind in BENCHMARKS.values())
        raise BenchmarkError(f"no benchmark '{name}'; there are {known}")
    return BENCHMARKS[name](data, options)
