# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Relative pose of pairs of images whose focal length is unknown: CO3Dv2 and RealEstate10K.

The protocol of PoseDiffusion (Wang et al., ICCV 2023, arXiv 2306.15667), which the MASt3R paper
follows: images are drawn from each sequence, and all pairs of them are estimated.
"""

from __future__ import annotations

import itertools
import zlib
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np

from mast3r_ros.datasets import co3d, re10k
from mast3r_ros.datasets.image_set import ImageSet
from mast3r_ros.evaluation.benchmarks.answer import Solver
from mast3r_ros.evaluation.benchmarks.base import Ask, Benchmark, Published, Record, Task
from mast3r_ros.evaluation.benchmarks.scores import (
    averaged,
    relative_angles,
    relative_pose_scores,
)
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms

_MIN_LENGTH = 50  # sequences of CO3D that are shorter are left out


class RelativePose(Benchmark):
    """All pairs of some images of each sequence; the translation has no length."""

    main_figure = "mAA30"

    @abstractmethod
    def sets(self) -> Sequence[ImageSet]:
        """The sequences, in a fixed order."""

    @cached_property
    def _by_name(self) -> dict[str, ImageSet]:
        # Annotations are large, and clips are many: read once.
        return {images.name: images for images in self.sets()}

    def tasks(self) -> Sequence[Task]:
        """A task a sequence."""
        found = []
        for images in self._by_name.values():
            drawn = self._draw(images)
            pairs = itertools.combinations(drawn, 2)
            if len(drawn) > 1:
                keys = tuple(f"{images.name}/{i}-{j}" for i, j in pairs)
                found.append(Task(images.name, keys))
        if not found:
            raise self.missing(f"{self.data} holds no sequence of two images and more")
        return found

    def _draw(self, images: ImageSet) -> list[int]:
        """Numbers of the images: as many as the options say, the same ones at every run."""
        rng = np.random.default_rng([self.options.seed, zlib.crc32(images.name.encode())])
        count = min(self.options.images, len(images.images))
        return sorted(rng.choice(len(images.images), count, replace=False).tolist())

    def prepare(self, task: Task, solver: Solver) -> Ask:
        """Read the sequence."""
        images = self._by_name[task.name]

        @cache
        def frame(number: int) -> Frame:
            found = images.images[number].load(False)
            return found if self.options.known_intrinsics else solver.without_intrinsics(found)

        def ask(query: str) -> Record:
            i, j = map(int, query.rpartition("/")[2].split("-"))
            answer = solver.localize(solver.relative_to(frame(i)), frame(j), exact=True)
            poses = [images.images[k].true_pose for k in (i, j)]
            truth = transforms.inverse(poses[0]) @ poses[1]
            rotation, direction = relative_angles(answer.direction, truth)
            return {
                **answer.record(),
                "category": images.category,
                "rotation_deg": rotation,
                "direction_deg": direction,
            }

        return ask

    def summarize(self, records: Sequence[Record]) -> dict[str, float | None]:
        """Scores by category, then averaged; a pair without an answer counts as 180 degrees off."""
        categories: dict[str, list[Record]] = {}
        for record in records:
            categories.setdefault(record.get("category", "unread"), []).append(record)
        scores = {
            category: relative_pose_scores(
                [r.get("rotation_deg", 180.0) for r in of_category],
                [r.get("direction_deg", 180.0) for r in of_category],
            )
            for category, of_category in sorted(categories.items())
        }
        return {
            "pairs": len(records),
            "estimated": float(np.mean([r.get("rotation_deg", 180.0) < 180.0 for r in records])),
            **averaged(scores),
            **{
                f"mAA30 {name}": found["mAA30"] for name, found in scores.items() if len(scores) > 1
            },
        }

    def about(self) -> dict[str, Any]:
        """Split, images drawn, seed, intrinsics."""
        names = ("split", "images", "seed", "known_intrinsics")
        return {name: getattr(self.options, name) for name in names}


class RealEstate(RelativePose):
    """Clips of RealEstate10K."""

    name = "re10k"
    text = "RealEstate10K: relative pose with unknown focal length, indoor and outdoor clips"
    data_hint = (
        "Download the camera text files from the RealEstate10K page (license CC BY 4.0), and the "
        "frames of the videos that they name, as DIR/SPLIT/CLIP/TIMESTAMP.png beside "
        "DIR/SPLIT/CLIP.txt; the paper draws from some 1,800 test clips, of the order of 100 GB"
    )

    def sets(self) -> Sequence[ImageSet]:
        """A set a clip."""
        folder = self.data / self.options.split
        return [re10k.read_clip(path) for path in sorted(folder.glob("*.txt"))]

    def published(self) -> Iterable[Published]:
        """Of the MASt3R paper (arXiv 2406.09756, table 3)."""
        return [Published("MASt3R (paper, test)", {"mAA30": 0.764})]


class Co3d(RelativePose):
    """Sequences of CO3Dv2."""

    name = "co3d"
    text = "CO3Dv2: relative pose with unknown focal length, objects of 41 categories"
    data_hint = (
        "Download CO3Dv2 (license CC BY-NC 4.0; the categories' archives are 5.5 TB in all, the "
        "single-sequence subset 9 GB) with the tools of its own repository; DIR/CATEGORY holds "
        "frame_annotations.jgz"
    )

    def sets(self) -> Sequence[ImageSet]:
        """A set a sequence of 50 images and more, of every category in the folder."""
        sets = (
            images
            for file in sorted(self.data.glob(f"*/{co3d.ANNOTATIONS}"))
            for images in co3d.read_category(self.data, file.parent.name, self.options.split)
        )
        return [images for images in sets if len(images.images) >= _MIN_LENGTH]

    def published(self) -> Iterable[Published]:
        """Of the MASt3R paper (arXiv 2406.09756, table 3)."""
        figures = {"RRA@15": 0.946, "RTA@15": 0.919, "mAA30": 0.818}
        return [Published("MASt3R (paper, 41 categories)", figures)]
