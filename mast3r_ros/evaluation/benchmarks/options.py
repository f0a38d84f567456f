# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Options of the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mast3r_ros.common.options import check, option
from mast3r_ros.common.paths import expand


@dataclass(frozen=True)
class BenchmarkOptions:
    """Which part of the data is run, and how."""

    split: str = option("val", "Part of the data, as its folders or lists name it")
    track: str = option(
        "single",
        "Queries of mapfree: one image each, or the nine images up to each (device tracking)",
        choices=("single", "multi"),
    )
    every: int = option(10, "Every N-th training image of a scene is mapped (7scenes, tum)", 1)
    depth: bool = option(True, "Use the depth of mapped images where the data has some")
    images: int = option(10, "Images drawn from each clip or sequence (co3d, re10k)", 2, 1000)
    count: int = option(100, "Pairs of images (fast-matching, ablations)", 1, 100_000)
    retrieved: int = option(
        20, "Images of the database that a query is matched with (aachen, inloc)", 1, 100
    )
    pairs: Path | None = option(
        None,
        "Lines `query image`, the best images first, as hloc writes them (aachen, inloc); without "
        "the file, images are retrieved by the front end's own descriptors",
    )
    retrieval: str = option(
        "auto",
        "How images are retrieved without --pairs: by visual words of local features, learned "
        "from the database (asmk), or by one descriptor each (global); auto: by words where the "
        "front end has local features (aachen, inloc)",
        choices=("auto", "asmk", "global"),
    )
    query_poses: Path | None = option(
        None,
        "Lines `query qw qx qy qz tx ty tz`, camera <- world: true poses of the queries, where "
        "they are known (aachen, inloc)",
    )
    coarse_to_fine: bool = option(
        False,
        "Match coarse to fine, where the front end can: `mast3r` in images larger than its own",
    )
    match_by: str = option(
        "descriptors",
        "What `mast3r` matches pixels by: descriptors, or as DUSt3R does the points of both views",
        choices=("descriptors", "points"),
    )
    views: int = option(
        0,
        "Other views that each view is matched with, the first of pair.txt; 0: all (dtu)",
        0,
        1000,
    )
    known_intrinsics: bool = option(
        False, "Use the true intrinsics where the protocol leaves them unknown (co3d, re10k)"
    )
    seed: int = option(0, "Seed of the images that are drawn", 0)

    def __post_init__(self) -> None:
        for name in ("pairs", "query_poses"):
            path = getattr(self, name)
            if path is not None:
                # Whole, for workers that run in other folders.
                object.__setattr__(self, name, expand(path).resolve())
        check(self)
