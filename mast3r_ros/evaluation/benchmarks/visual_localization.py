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
from mast3r_ros.evaluation.benchmarks.scores import hits, median_errors
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
        """Map <- camera by the query's name in the file of true poses; empty without one."""
        file = self.options.query_poses
        return {} if file is None else read_poses(file)

    @cached_property
    def _truths_by_file(self) -> dict[str, str]:
        return {PurePosixPath(name).name: name for name in self._truths}

    def known_as(self, query: str) -> str | None:
        """A query's name in the file of true poses; None where its pose is not known."""
        return self._truths_by_file.get(PurePosixPath(query).name)

    def tasks(self) -> Sequence[Task]:
        """A task a group of queries; the lists and the database are read here, once."""
        if not self._queries:
            raise self.missing(f"{self.data} holds no query")
        if not self.database():
            raise self.missing(f"{self.data} holds no image of the database")
        if self._pairs is not None and not self._queries.keys() & self._pairs:
            raise self._foreign(self.options.pairs)
        if self.options.query_poses is not None and not any(map(self.known_as, self._queries)):
            raise self._foreign(self.options.query_poses)
        groups: dict[str, list[str]] = {}
        for name, query in self._queries.items():
            groups.setdefault(query.group, []).append(name)
        return [Task(group, tuple(names)) for group, names in groups.items()]

    def _foreign(self, file: Path | None) -> BenchmarkError:
        """The error of a file that belongs to other data."""
        return BenchmarkError(
            f"{file} names none of the queries of {self.data}, which are called "
            f"{next(iter(self._queries))} and so on"
        )

    def prepare(self, task: Task, solver: Solver) -> Ask:
        """Images of the database are described when a query needs them."""
        references = None
        if solver.front_end is not None:
            references = References(
                self.database(), self.reference, solver.front_end, self.options.retrieval
            )

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
            known = self.known_as(query)
            if known is not None and answer.pose is not None:
                error = PoseError.of(answer.pose, self._truths[known])
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
        figures: dict[str, float | None] = {
            "queries": len(records),
            "estimated": float(np.mean([r.get("pose") is not None for r in records])),
            "accepted": float(np.mean([r.get("accepted", False) for r in records])),
        }
        groups: dict[str, list[Record]] = {}
        for record in records:
            if self.known_as(record["query"]) is not None:
                groups.setdefault(self.group_of(record), []).append(record)
        for group, of_group in sorted(groups.items()):
            recall = {key: float(hit.mean()) for key, hit in hits(of_group, self.bounds).items()}
            found = {**recall, **median_errors(of_group)}
            figures |= {f"{group} {name}".strip(): value for name, value in found.items()}
        return figures

    def group_of(self, record: Record) -> str:
        """What a query's figures are counted with."""
        return str(record["task"])

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
            "retrieval": self.options.retrieval,
            **{name: str(file) if file else None for name, file in files.items()},
        }
