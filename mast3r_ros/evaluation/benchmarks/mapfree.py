# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Map-free Relocalization (Arnold et al., ECCV 2022): one reference image, a query, meters."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mast3r_ros.datasets.image_poses import pose_line
from mast3r_ros.datasets.mapfree import REFERENCE, MapFreeScene, read_scene
from mast3r_ros.evaluation.benchmarks.answer import Solver, pose_of
from mast3r_ros.evaluation.benchmarks.base import (
    Ask,
    Benchmark,
    BenchmarkError,
    Published,
    Record,
    Task,
)
from mast3r_ros.evaluation.benchmarks.scores import acceptance_curve, averaged
from mast3r_ros.evaluation.benchmarks.vcre import vcre
from mast3r_ros.evaluation.pose_error import Bound, PoseError
from mast3r_ros.geometry import transforms
from mast3r_ros.localization.view import View
from mast3r_ros.localization.window import WindowOptions

_BOUND = Bound.of(0.25, 5.0)
_VCRE_PIXELS = 90.0
# The frames of each track by number, and how many frames before each belong to its query.
_TRACKS = {"single": (5, 0, 0), "multi": (10, 9, 8)}


class MapFree(Benchmark):
    """Map-free relocalization, single- and multi-frame track."""

    name = "mapfree"
    text = "Map-free Relocalization: metric pose of a query from one reference image"
    data_hint = (
        "Download the archives of val (65 scenes) and test (130 scenes, without true poses), tens "
        "of gigabytes, from Niantic Labs' page of the Map-free Relocalization Dataset, and agree "
        "to its license for non-commercial research there; DIR/SPLIT/sXXXXX is a scene"
    )
    main_figure = "vcre_auc"

    def tasks(self) -> Sequence[Task]:
        """A task a scene."""
        folder = self.data / self.options.split
        scenes = [path.parent for path in sorted(folder.glob("*/intrinsics.txt"))]
        if not scenes:
            raise self.missing(f"{folder} holds no scene")
        return [self._task(read_scene(path)) for path in scenes]

    def _task(self, scene: MapFreeScene) -> Task:
        every, first, _ = _TRACKS[self.options.track]
        chosen = [path for n, path in scene.numbers().items() if n % every == first]
        return Task(scene.name, tuple(f"{scene.name}/{path}" for path in chosen))

    def prepare(self, task: Task, solver: Solver) -> Ask:
        """Map the scene's reference."""
        scene = read_scene(self.data / self.options.split / task.name)
        keyframes = solver.relative_to(scene.frame(REFERENCE))

        def ask(query: str) -> Record:
            path = query.removeprefix(f"{task.name}/")
            answer = solver.localize(keyframes, self._views(scene, path), exact=True)
            errors: dict[str, Any] = {}
            if path in scene.poses and answer.pose is not None:
                truth = scene.poses[path]
                error = PoseError.of(answer.pose, truth)
                errors = {
                    "translation_m": error.translation_m,
                    "rotation_deg": error.rotation_deg,
                    "vcre_px": vcre(answer.pose, truth, scene.cameras[path]),
                }
            return {**answer.record(), **errors, "has_truth": path in scene.poses}

        return ask

    def _views(self, scene: MapFreeScene, path: str) -> list[View]:
        """The query; in the multi-frame track also the frames before it, by device tracking."""
        frame = replace(scene.frame(path), frame_id="camera")
        views = [View(frame)]
        numbers = scene.numbers()
        number = next(n for n, name in numbers.items() if name == path)
        _, _, history = _TRACKS[self.options.track]
        for n in range(number - 1, number - 1 - history, -1):
            earlier = numbers.get(n)
            if earlier is None:
                continue
            if earlier not in scene.tracked or path not in scene.tracked:
                raise BenchmarkError(
                    f"{scene.folder}/poses_device.txt has no pose of {earlier} or {path}: the "
                    "multi-frame track needs them"
                )
            now_then = transforms.inverse(scene.tracked[path]) @ scene.tracked[earlier]
            covariance = WindowOptions().step_covariance(now_then)
            then = replace(scene.frame(earlier), frame_id="camera")
            views.append(View(then, T_now_then=now_then, motion_covariance=covariance))
        return views

    def summarize(self, records: Sequence[Record]) -> dict[str, float | None]:
        """Medians are averaged over scenes; precision and AUC are of all queries."""
        answered = [r for r in records if r.get("pose") is not None]
        figures: dict[str, float | None] = {
            "queries": len(records),
            "estimated": len(answered) / len(records) if records else 0.0,
        }
        judged = [r for r in answered if "vcre_px" in r]
        known = sum(bool(r.get("has_truth", True)) for r in records)
        if not judged or not known:
            return figures
        rank = [r["rank"] for r in judged]
        small = [r["vcre_px"] < _VCRE_PIXELS for r in judged]
        near = [
            r["translation_m"] < _BOUND.translation_m
            and np.deg2rad(r["rotation_deg"]) < _BOUND.rotation_rad
            for r in judged
        ]
        return {
            **figures,
            "vcre_auc": acceptance_curve(rank, small, known).area,
            "vcre_precision": float(np.mean(small)),
            "pose_auc": acceptance_curve(rank, near, known).area,
            "pose_precision": float(np.mean(near)),
            **averaged(_medians(judged)),
        }

    def published(self) -> Iterable[Published]:
        """Of the MASt3R paper (arXiv 2406.09756, table 4) and its supplement."""
        if self.options.track != "single":
            return []
        rows = _PUBLISHED.get(self.options.split, {})
        names = (
            "vcre_auc", "vcre_precision", "vcre_px", "translation_m", "rotation_deg",
            "pose_precision", "pose_auc",
        )  # fmt: skip
        return [
            Published(name, {k: v for k, v in zip(names, row, strict=True) if v is not None})
            for name, row in rows.items()
        ]

    def submit(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """A zip with one text file a scene."""
        lines: dict[str, list[str]] = {}
        for record in records:
            scene, path = record["query"].split("/", 1)
            written = lines.setdefault(scene, [])
            if record.get("pose") is not None:
                written.append(pose_line(path, pose_of(record["pose"]), record["rank"]))
        file = folder / "submission.zip"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for scene, written in sorted(lines.items()):
                # The same content gives the same bytes.
                entry = zipfile.ZipInfo(f"pose_{scene}.txt", (2020, 1, 1, 0, 0, 0))
                archive.writestr(entry, "".join(f"{line}\n" for line in written))
        return [file]

    def about(self) -> dict[str, Any]:
        """Split and track."""
        return {"split": self.options.split, "track": self.options.track}


def _medians(judged: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Median errors by scene."""
    scenes: dict[str, list[Record]] = {}
    for record in judged:
        scenes.setdefault(record["task"], []).append(record)
    return {
        scene: {
            name: float(np.median([r[name] for r in of_scene]))
            for name in ("vcre_px", "translation_m", "rotation_deg")
        }
        for scene, of_scene in scenes.items()
    }


# VCRE AUC, precision and median, then of the pose: meters, degrees, precision, AUC.
_PUBLISHED: dict[str, dict[str, tuple[float | None, ...]]] = {
    "test": {
        "MASt3R (paper)": (0.933, 0.793, 48.7, 0.36, 2.2, 0.547, 0.740),
        "MASt3R, direct regression (paper)": (0.941, 0.791, None, 0.42, 3.1, None, 0.777),
        "LoFTR (paper)": (None, 0.34, None, None, None, None, None),
    },
    "val": {"MASt3R (paper)": (0.934, 0.759, 57.2, 0.46, 3.0, 0.517, 0.746)},
}
