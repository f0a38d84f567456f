# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Recall at 5 cm and 5 degrees in mapped rooms: 7-Scenes, and folders as of TUM RGB-D."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from mast3r_ros.datasets import seven_scenes
from mast3r_ros.datasets.kinds import is_tum
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.datasets.tum import TumFolder
from mast3r_ros.evaluation.benchmarks.answer import Solver
from mast3r_ros.evaluation.benchmarks.base import Ask, Benchmark, Record, Task
from mast3r_ros.evaluation.benchmarks.scores import averaged, hits, median_errors
from mast3r_ros.evaluation.pose_error import Bound, PoseError
from mast3r_ros.evaluation.run import every_nth, the_others

_BOUNDS = (Bound.of(0.05, 5.0), Bound.of(0.25, 5.0))


class MappedRooms(Benchmark):
    """Images of a place localized in a map of others."""

    main_figure = _BOUNDS[0].key

    @abstractmethod
    def scenes(self) -> Sequence[str]:
        """Names of the places, in a fixed order."""

    @abstractmethod
    def images(self, scene: str) -> tuple[Sequence[PosedImage], Sequence[PosedImage]]:
        """Those that are mapped, and the queries."""

    @cached_property
    def _by_scene(self) -> dict[str, tuple[Sequence[PosedImage], Sequence[PosedImage]]]:
        return {scene: self.images(scene) for scene in self.scenes()}

    def tasks(self) -> Sequence[Task]:
        """A task a place."""
        if not self._by_scene:
            raise self.missing(f"{self.data} holds no scene")
        return [
            Task(scene, tuple(f"{scene}/{image.name}" for image in queries))
            for scene, (_, queries) in self._by_scene.items()
        ]

    def prepare(self, task: Task, solver: Solver) -> Ask:
        """Map the place."""
        mapped, queries = self._by_scene[task.name]
        depth = self.options.depth
        keyframes = solver.map_of([(image.load(depth), image.true_pose) for image in mapped])
        by_key = {f"{task.name}/{image.name}": image for image in queries}

        def ask(query: str) -> Record:
            image = by_key[query]
            # Poses of a depth camera's tracking are good to some millimeters: not exact.
            answer = solver.localize(keyframes, replace(image.load(False), depth=None))
            error = PoseError.of(answer.pose, image.true_pose)
            errors = {"translation_m": error.translation_m, "rotation_deg": error.rotation_deg}
            return {**answer.record(), **(errors if answer.pose is not None else {})}

        return ask

    def summarize(self, records: Sequence[Record]) -> dict[str, float | None]:
        """Recall and medians by place, then averaged; without a pose an error is infinite."""
        places: dict[str, list[Record]] = {}
        for record in records:
            places.setdefault(record["task"], []).append(record)
        found = {place: _figures(of_place) for place, of_place in sorted(places.items())}
        key = self.main_figure
        return {
            "queries": len(records),
            **averaged(found),
            **{f"{key} {name}": figures[key] for name, figures in found.items() if len(found) > 1},
        }

    def about(self) -> dict[str, Any]:
        """How the map is made."""
        return {"every": self.options.every, "depth": self.options.depth}


def _figures(records: Sequence[Record]) -> dict[str, float]:
    accepted = np.array([bool(r.get("accepted", False)) for r in records])
    within = hits(records, _BOUNDS)
    return {
        "accepted": float(accepted.mean()),
        "wrong_accepted": float((accepted & ~within[_BOUNDS[-1].key]).mean()),
        **{key: float(hit.mean()) for key, hit in within.items()},
        **median_errors(records),
    }


class SevenScenes(MappedRooms):
    """The seven rooms of Shotton et al."""

    name = "7scenes"
    text = "7-Scenes: recall at 5 cm, 5 degrees in seven rooms mapped with a depth camera"
    data_hint = (
        "Download the seven archives from Microsoft Research's page of RGB-D Dataset 7-Scenes "
        "(about 20 GB; non-commercial use), and unpack them and the sequences inside to "
        "DIR/SCENE/seq-NN"
    )

    def scenes(self) -> Sequence[str]:
        """Folders with a list of test sequences."""
        return sorted(path.parent.name for path in self.data.glob("*/TestSplit.txt"))

    def images(self, scene: str) -> tuple[Sequence[PosedImage], Sequence[PosedImage]]:
        """Every N-th training image, and all test images."""
        train = seven_scenes.read_scene(self.data / scene, "train")
        test = seven_scenes.read_scene(self.data / scene, "test")
        return list(every_nth(train, self.options.every)), test


class TumRooms(MappedRooms):
    """Recordings in the layout of the TUM RGB-D benchmark."""

    name = "tum"
    text = "TUM RGB-D recordings: every N-th image mapped, the others localized"
    data_hint = (
        "Download recordings with ground truth from the TUM RGB-D benchmark's page (CC BY 4.0, "
        "0.2 to 3 GB each), unpack each into a folder of DIR, and add a camera_info.yaml"
    )

    def scenes(self) -> Sequence[str]:
        """Folders in this layout."""
        return sorted(path.name for path in self.data.iterdir() if is_tum(path))

    def images(self, scene: str) -> tuple[Sequence[PosedImage], Sequence[PosedImage]]:
        """Every N-th image, and the others."""
        posed = list(TumFolder(self.data / scene, SourceOptions()).posed())
        every = self.options.every
        return list(every_nth(posed, every)), list(the_others(posed, every))
