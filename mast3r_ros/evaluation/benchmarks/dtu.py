# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""DTU (Jensen et al., CVPR 2014): surfaces of small objects from images whose poses are given."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets import dtu
from mast3r_ros.datasets.ply import ply_bytes
from mast3r_ros.evaluation.benchmarks.answer import Solver
from mast3r_ros.evaluation.benchmarks.base import (
    Ask,
    Benchmark,
    BenchmarkError,
    Published,
    Record,
    Task,
)
from mast3r_ros.evaluation.benchmarks.scores import averaged
from mast3r_ros.evaluation.benchmarks.surfaces import SPACING, judged, surface_score
from mast3r_ros.frontends.base import FrontEnd, densely
from mast3r_ros.geometry.thinning import thinned
from mast3r_ros.mapping.dense import DenseView, dense_points
from mast3r_ros.mapping.options import DenseOptions

# The scans that methods are compared on.
_TEST_SCANS = (
    1, 4, 9, 10, 11, 12, 13, 15, 23, 24, 29, 32, 33, 34, 48, 49, 62, 75, 77, 110, 114, 118,
)  # fmt: skip
# Of 48 other views, three that agree are not chance; an object 0.65 m away is wanted to a few
# millimeters at each point. Not tuned: no scan was at hand.
_DENSE = DenseOptions(dense_agree=3, dense_sigma=0.01)
_FIGURES = ("accuracy_mm", "completeness_mm", "overall_mm")


class Dtu(Benchmark):
    """Each view is matched with all others; what enough of them agree on is the cloud of a scan."""

    name = "dtu"
    text = "DTU: surfaces by triangulated dense matches of 49 views with given poses"
    data_hint = (
        "Download the 22 test scans in the layout of MVSNet (images, cams, pair.txt) to DIR/scanN, "
        "and from the DTU MVS data set's page (research use) the archives SampleSet, for "
        "DIR/ObsMask, and Points, for DIR/Points/stl, some 13 GB together"
    )
    main_figure = "overall_mm"

    def tasks(self) -> Sequence[Task]:
        """A task a scan, with one query: its cloud."""
        found = (dtu.scan_number(folder) for folder in self.data.glob("scan*"))
        numbers = sorted(n for n in found if n in _TEST_SCANS)
        if not numbers:
            raise self.missing(f"{self.data} holds none of the test scans")
        return [Task(f"scan{n}", (f"scan{n}",)) for n in numbers]

    def prepare(self, task: Task, solver: Solver) -> Ask:
        """Check that there is something to match by."""
        if solver.front_end is None:
            raise BenchmarkError(f"{self.name}: the guess of no motion knows no surface")
        front_end = densely(solver.front_end)

        def ask(query: str) -> Record:
            start = time.perf_counter()
            points, colors = self._cloud(query, front_end)
            seconds = time.perf_counter() - start
            record: Record = {
                "points": len(points),
                "seconds": round(seconds, 3),
                "files": {f"clouds/{query}.ply": ply_bytes(points, colors)},
            }
            number = dtu.scan_number(self.data / query)
            assert number is not None
            truth = dtu.read_truth(self.data, number)
            if truth is None:
                return record
            score = surface_score(judged(points, truth, self.options.seed), truth)
            figures = (score.accuracy, score.completeness, score.overall)
            return {**record, **dict(zip(_FIGURES, figures, strict=True))}

        return ask

    def _cloud(
        self, scan: str, front_end: FrontEnd
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Points (N, 3) [mm] of a scan, thinned, and their colors."""
        views = dtu.read_views(self.data / scan)
        best = dtu.read_pairs(self.data / scan) if self.options.views else {}
        described: dict[int, DenseView] = {}
        for view in views:
            assert view.frame.camera is not None
            described[view.number] = DenseView(
                front_end.describe(view.frame), view.frame.camera, view.pose
            )
        points, colors = [np.zeros((0, 3))], [np.zeros((0, 3), np.uint8)]
        for view in views:
            chosen = best.get(view.number, list(described))
            others = [n for n in chosen if n != view.number and n in described]
            if self.options.views:
                others = others[: self.options.views]
            if not others:
                continue
            found = dense_points(
                described[view.number], [described[n] for n in others], front_end, _DENSE
            )
            points.append(dtu.MILLIMETERS * found.points)
            column, row = np.rint(found.pixels).astype(np.int64).T
            colors.append(view.frame.image[row, column])
        together = np.concatenate(points)
        kept = thinned(together, SPACING, self.options.seed)
        return together[kept], np.concatenate(colors)[kept]

    def summarize(self, records: Sequence[Record]) -> dict[str, float | None]:
        """Means over the scans whose truth is there."""
        figures = {
            r["query"]: {name: r[name] for name in _FIGURES} for r in records if _FIGURES[0] in r
        }
        return {
            "scans": len(records),
            "points": float(np.mean([r.get("points", 0) for r in records])) if records else None,
            **averaged(figures),
        }

    def published(self) -> Iterable[Published]:
        """Of the MASt3R paper (arXiv 2406.09756)."""
        return [
            Published("MASt3R (paper)", dict(zip(_FIGURES, (0.403, 0.344, 0.374), strict=True)))
        ]

    def about(self) -> dict[str, Any]:
        """How many views each is matched with, and the order in which clouds are thinned."""
        return {"views": self.options.views, "seed": self.options.seed}
