# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Queries localized against the images of a large database that were retrieved for each of them.

The protocol of the long-term visual localization benchmark (Sattler et al., CVPR 2018; Toft et al.,
TPAMI 2020): its server, visuallocalization.net, keeps the true poses of the queries.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from mast3r_ros.datasets.hloc import read_pairs, write_pairs
from mast3r_ros.datasets.image_poses import pose_line, read_poses
from mast3r_ros.evaluation.benchmarks.answer import Solver, pose_of
from mast3r_ros.evaluation.benchmarks.base import (
    Ask,
    Benchmark,
    BenchmarkError,
    Published,
    Record,
    Task,
)
from mast3r_ros.evaluation.benchmarks.references import References
from mast3r_ros.evaluation.pairs import GUESS
from mast3r_ros.evaluation.pose_error import Bound, PoseError
from mast3r_ros.frame import Frame
from mast3r_ros.geometry.transforms import Pose


@dataclass(frozen=True)
class Query:
    """An image whose pose is asked for.

    Attributes:
        group: what its figures are counted with, for example day or night.
        load: reads it.
    """

    group: str
    load: Callable[[], Frame]


class VisualLocalization(Benchmark):
    """Queries against retrieved images, whose poses and some of whose depth are known."""

    #: Of the recall, the smallest first.
    bounds: ClassVar[tuple[Bound, ...]]
    #: Those that papers tell apart.
    groups: ClassVar[tuple[str, ...]]
    #: Of papers, by method and number of retrieved images (None: the paper's own choice): for each
    #: group its recall at each bound [%].
    rows: ClassVar[Mapping[str, Mapping[int | None, tuple[tuple[float, ...], ...]]]]

    @abstractmethod
    def queries(self) -> Mapping[str, Query]:
        """The queries by their path in the data set, in a fixed order."""

    @abstractmethod
    def database(self) -> Sequence[str]:
        """Paths of the images of the database."""

    @abstractmethod
    def reference(self, name: str) -> tuple[Frame, Pose]:
        """An image of the database, with depth where it is known, and map <- camera."""

    @cached_property
    def _queries(self) -> Mapping[str, Query]:
        return self.queries()

    @cached_property
    def _pairs(self) -> dict[str, list[str]] | None:
        return None if self.options.pairs is None else read_pairs(self.options.pairs)

    @cached_property
    def _truths(self) -> dict[str, Pose]:
        """Map <- camera by the query's file name."""
        return {PurePosixPath(name).name: pose for name, pose in self.known_poses.items()}

    @cached_property
    def known_poses(self) -> dict[str, Pose]:
        """Map <- camera by the query's name in the file of true poses; empty without one."""
        file = self.options.query_poses
        return {} if file is None else read_poses(file)

    def tasks(self) -> Sequence[Task]:
        """A task a group of queries; the lists and the database are read here, once."""
        if not self._queries:
            raise self.missing(f"{self.data} holds no query")
        if not self.database():
            raise self.missing(f"{self.data} holds no image of the database")
        self._require_some(self._pairs, "pairs")
        if self.options.query_poses is not None:
            files = {PurePosixPath(query).name: query for query in self._queries}
            self._require_some([files[n] for n in self._truths if n in files], "query_poses")
        groups: dict[str, list[str]] = {}
        for name, query in self._queries.items():
            groups.setdefault(query.group, []).append(name)
        return [Task(group, tuple(names)) for group, names in groups.items()]

    def _require_some(self, named: Any, option: str) -> None:
        """Files of another data set are told before anything is run."""
        if named is not None and not any(query in self._queries for query in named):
            raise BenchmarkError(
                f"{getattr(self.options, option)} names none of the queries of {self.data}, which "
                f"are called {next(iter(self._queries))} and so on"
            )

    def prepare(self, task: Task, solver: Solver) -> Ask:
        """Images of the database are described when a query needs them."""
        references = None
        if solver.front_end is not None:
            references = References(self.database(), self.reference, solver.front_end)

        def ask(query: str) -> Record:
            frame = self._queries[query].load()
            names = self._retrieved(query, frame, references)
            keyframes = references.map_of(names) if references else None
            # All that were retrieved are candidates. Their points are no depth camera's, whose
            # noise grows with distance.
            answer = solver.localize(keyframes, frame, num_candidates=len(names), depth_noise=0.0)
            if answer.reason == GUESS:
                # Who does not move stands where the best image was taken.
                answer = replace(answer, pose=self.reference(names[0])[1])
            errors = {}
            truth = self._truths.get(PurePosixPath(query).name)
            if truth is not None and answer.pose is not None:
                error = PoseError.of(answer.pose, truth)
                errors = {"translation_m": error.translation_m, "rotation_deg": error.rotation_deg}
            return {**answer.record(), **errors, "retrieved": names}

        return ask

    def _retrieved(self, query: str, frame: Frame, references: References | None) -> list[str]:
        count = self.options.retrieved
        if self._pairs is not None:
            if query not in self._pairs:
                raise BenchmarkError(f"{self.options.pairs} names no image for {query}")
            return self._pairs[query][:count]
        if references is None:
            raise BenchmarkError("the guess retrieves no images: give --pairs")
        return references.retrieve(frame, count)

    def summarize(self, records: Sequence[Record]) -> dict[str, float | None]:
        """Recall and medians by group, where poses are known; a query without an answer is lost."""
        estimated = sum(record.get("pose") is not None for record in records)
        figures: dict[str, float | None] = {
            "queries": len(records),
            "estimated": estimated / len(records) if records else 0.0,
        }
        groups: dict[str, list[Record]] = {}
        for record in records:
            if PurePosixPath(record["query"]).name in self._truths:
                groups.setdefault(self.group_of(record), []).append(record)
        for group, of_group in sorted(groups.items()):
            found = {f"{group} {name}": value for name, value in self._figures(of_group).items()}
            figures |= {name.strip(): value for name, value in found.items()}
        return figures

    def group_of(self, record: Record) -> str:
        """What a query's figures are counted with."""
        return str(record["task"])

    def _figures(self, records: Sequence[Record]) -> dict[str, float]:
        translations = np.array([r.get("translation_m", np.inf) for r in records])
        rotations = np.deg2rad([r.get("rotation_deg", np.inf) for r in records])
        recall = {
            bound.key: float(
                ((translations <= bound.translation_m) & (rotations <= bound.rotation_rad)).mean()
            )
            for bound in self.bounds
        }
        return {
            **recall,
            "translation_m": float(np.median(translations)),
            "rotation_deg": float(np.rad2deg(np.median(rotations))),
        }

    def published(self) -> Iterable[Published]:
        """Of the MASt3R paper (arXiv 2406.09756), and of hloc as it cites it."""
        for name, by_count in self.rows.items():
            recall = by_count.get(self.options.retrieved) or by_count.get(None)
            if recall is not None:
                yield Published(
                    name,
                    {
                        f"{group} {bound.key}": value / 100.0
                        for group, values in zip(self.groups, recall, strict=True)
                        for bound, value in zip(self.bounds, values, strict=True)
                    },
                )

    def submit(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """A pose a line for the server, and the images that each query was matched with."""
        file, pairs = folder / "submission.txt", folder / "pairs.txt"
        file.write_text(
            "".join(
                pose_line(PurePosixPath(r["query"]).name, pose_of(r["pose"])) + "\n"
                for r in records
                if r.get("pose") is not None
            )
        )
        write_pairs(pairs, {r["query"]: r["retrieved"] for r in records if "retrieved" in r})
        return [file, pairs]

    def about(self) -> dict[str, Any]:
        """Which images queries are matched with, and which poses they are compared with."""
        files = {name: getattr(self.options, name) for name in ("pairs", "query_poses")}
        return {
            "retrieved": self.options.retrieved,
            **{name: str(file) if file else None for name, file in files.items()},
        }
