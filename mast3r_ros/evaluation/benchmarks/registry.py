# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks that are known, by name."""

from __future__ import annotations

from mast3r_ros.evaluation.benchmarks.base import Benchmark
from mast3r_ros.evaluation.benchmarks.fast_matching import FastMatching
from mast3r_ros.evaluation.benchmarks.mapfree import MapFree
from mast3r_ros.evaluation.benchmarks.recall import SevenScenes, TumRooms
from mast3r_ros.evaluation.benchmarks.relative import Co3d, RealEstate

BENCHMARKS: dict[str, type[Benchmark]] = {
    kind.name: kind for kind in (MapFree, Co3d, RealEstate, SevenScenes, TumRooms, FastMatching)
}
