# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `evaluate`: how well images with known poses are localized."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mast3r_ros.cli.figures import FigureOptions, conclude
from mast3r_ros.cli.localize import RELOCALIZER_PANEL
from mast3r_ros.cli.maps import SOURCE_PANEL, make_map, open_map, print_reading
from mast3r_ros.cli.options import OFFLINE, front_ends, with_options
from mast3r_ros.cli.output import JsonFile, progress
from mast3r_ros.common.errors import UserError
from mast3r_ros.common.options import check, option
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.evaluation.odometry_options import OdometryOptions
from mast3r_ros.localization.options import RelocalizerOptions

if TYPE_CHECKING:
    from mast3r_ros.datasets.dataset import Dataset
    from mast3r_ros.drawing.page import Table
    from mast3r_ros.evaluation.beside import Beside
    from mast3r_ros.evaluation.report import Row
    from mast3r_ros.evaluation.stress import Perturbation
    from mast3r_ros.frontends.base import FrontEnd
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap


class EvaluationError(UserError, ValueError):
    """Arguments of an evaluation that do not fit together."""


@dataclass(frozen=True)
class MapOptions:
    """Which images become keyframes."""

    every: int = option(
        0, "Every N-th image of a source becomes a keyframe; the others are queries", 0
    )
    offset: int = option(0, "Number of the first keyframe", 0)
    map: Path | None = option(None, "A saved map; all images of the sources are queries")
    map_from: Path | None = option(
        None, "Map every N-th image of this source; all images of the others are queries"
    )
    depth: bool = option(True, "Use the depth of keyframes")
    stress: bool = option(False, "Repeat everything with disturbed maps and images, one row each")
    seed: int = option(0, "Seed of the disturbances, and of the noise of odometry", 0)

    def __post_init__(self) -> None:
        check(self)
        if self.map is not None and (self.every or self.map_from is not None):
            raise EvaluationError("--map names a finished map: leave out --every and --map-from")
        if self.map is None and not self.every:
            raise EvaluationError("nothing is mapped: give --every N, or --map MAP")
        if self.map is not None and self.stress:
            raise EvaluationError("--stress disturbs keyframes: give their images by --map-from")


@with_options(
    mapping="What is mapped",
    odometry="Several images at once",
    figures="What is written",
    source_options=SOURCE_PANEL,
    options=RELOCALIZER_PANEL,
)
def evaluate(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="Folders in the TUM layout, or bags; each one is a row of the table.",
        ),
    ],
    mapping: MapOptions,
    odometry: OdometryOptions,
    figures: FigureOptions,
    source_options: SourceOptions,
    options: RelocalizerOptions = OFFLINE,
    front_end: Annotated[
        list[str] | None, front_ends("xfeat by default, or what made the map")
    ] = None,
    json: JsonFile = None,
) -> None:
    """Localize images with known poses in a map; report errors, NEES and latency.

    Pairs of images have their own verb: `mast3r_ros evaluate pairs`.
    """
    from mast3r_ros.evaluation.stress import PERTURBATIONS, UNPERTURBED
    from mast3r_ros.evaluation.summary import BOUNDS

    disturbances = PERTURBATIONS if mapping.stress else (UNPERTURBED,)
    if mapping.stress and odometry.cameras:
        raise EvaluationError("--stress disturbs the images of one camera: leave out --cameras")
    evaluation = _Evaluation(mapping, odometry, figures, source_options, options)
    rows = [
        evaluation.row(source, name, disturbance)
        for source in sources
        for name in (front_end or (None,))
        for disturbance in disturbances
    ]
    about = {
        "every": mapping.every,
        "offset": mapping.offset,
        "map": mapping.map and str(mapping.map),
        "map_from": mapping.map_from and str(mapping.map_from),
        "depth": mapping.depth,
        **({"odometry": {**asdict(odometry), "seed": mapping.seed}} if odometry.odometry else {}),
        "options": asdict(options),
    }
    conclude(rows, BOUNDS, about, figures, json)


@dataclass
class _Evaluation:
    """Everything that the rows of one run have in common."""

    mapping: MapOptions
    odometry: OdometryOptions
    figures: FigureOptions
    source_options: SourceOptions
    options: RelocalizerOptions
    _front_ends: dict[str, FrontEnd] = field(default_factory=dict)
    # The last map, by what it was made of.
    _last: tuple[object, KeyframeMap] | None = None

    def row(self, source: Path, front_end: str | None, disturbance: Perturbation) -> Row:
        """Localize the queries of one source."""
        from mast3r_ros.datasets.registry import open_dataset
        from mast3r_ros.evaluation import run
        from mast3r_ros.evaluation.album import Album
        from mast3r_ros.evaluation.filtered import trajectory_figures
        from mast3r_ros.evaluation.report import Row
        from mast3r_ros.evaluation.summary import (
            BOUNDS,
            scale_figures,
            summarize,
            window_figures,
        )
        from mast3r_ros.localization.relocalizer import Relocalizer
        from mast3r_ros.localization.window import Window

        mapping = self.mapping
        dataset = open_dataset(source, self.source_options)
        keyframes = self._map(source, dataset, front_end, disturbance)
        images = dataset.posed()
        if mapping.map is None and mapping.map_from is None:
            images = run.the_others(images, mapping.every, mapping.offset)
        queries = disturbance.queries(images, mapping.seed)
        relocalizer = Relocalizer(keyframes, self.options)
        if self.odometry.odometry:
            window = Window(relocalizer, self.odometry.window_options)
            odometry = self.odometry.open(mapping.seed, source, self.source_options)
            attempts = run.localize_windows(window, odometry, queries, self._beside(source))
        else:
            attempts = run.localize(relocalizer, queries, self._beside(source))
        labels = {
            "recording": source.resolve().name,
            "front_end": front_end or keyframes.front_end.name,
            **({"disturbance": disturbance.name} if mapping.stress else {}),
        }
        outcomes, album, track = [], Album(BOUNDS[-1], self.figures.pictures), []
        for attempt in progress(attempts, f"Localizing ({', '.join(labels.values())})"):
            outcomes.append(attempt.outcome)
            album.consider(attempt)
            if attempt.tracked is not None:
                track.append(attempt.tracked)
        found = summarize(outcomes, BOUNDS, self.figures.truth_covariance)
        if self.odometry.odometry:
            found.update(window_figures(outcomes, self.odometry.window, BOUNDS))
            found["filtered"] = trajectory_figures(track, self.figures.truth_covariance)
            found["predicted_scale"] = scale_figures(relocalizer.scale)
        print_reading(dataset, self.source_options)
        return Row(
            labels,
            outcomes,
            {**found, "keyframes": len(keyframes), "reading": dataset.summary.as_dict()},
            {k.id: k.pose for k in keyframes},
            pictures=album.pictures(),
            details=self._window_table(found),
        )

    def _beside(self, source: Path) -> Beside | None:
        """The further cameras of a bag, each with the camera_info and the frame of its own."""
        from mast3r_ros.datasets.registry import open_dataset
        from mast3r_ros.evaluation.beside import Beside

        topics = [topic.strip() for topic in self.odometry.cameras.split(",") if topic.strip()]
        own = replace(
            self.source_options, camera=None, camera_info_topic=None, depth_topic=None, mask=None
        )
        cameras = [open_dataset(source, replace(own, image_topic=topic)) for topic in topics]
        return Beside(cameras) if cameras else None

    def _window_table(self, found: dict[str, Any]) -> dict[str, Table]:
        """Full windows and shorter histories, apart."""
        from mast3r_ros.drawing.page import Table
        from mast3r_ros.evaluation.report import filtered_table, percent, scale_table
        from mast3r_ros.evaluation.summary import BOUNDS

        if not self.odometry.odometry:
            return {}
        names = {
            "full_window": f"{self.odometry.window} images",
            "shorter_history": "a shorter history",
        }
        rows = [
            [
                name,
                str(found[key]["queries"]),
                *(percent(found[key].get(bound.key)) for bound in BOUNDS),
                str(found[key].get("wrong_accepted", 0)),
            ]
            for key, name in names.items()
        ]
        columns = ["history", "queries", *(bound.label for bound in BOUNDS), "wrong"]
        return {
            "Queries by their history": Table(columns, rows, names=1),
            "Filtered trajectory": filtered_table(found["filtered"]),
            **scale_table(found["predicted_scale"]),
        }

    def _map(
        self, source: Path, dataset: Dataset, front_end: str | None, disturbance: Perturbation
    ) -> KeyframeMap:
        """The map of a row; that of the row before, where it is the same."""
        from mast3r_ros.datasets.registry import open_dataset
        from mast3r_ros.evaluation.run import every_nth

        mapping = self.mapping
        made_of = (mapping.map or mapping.map_from or source, front_end, disturbance.name)
        if self._last is not None and self._last[0] == made_of:
            return self._last[1]
        if mapping.map is not None:
            keyframes = open_map(mapping.map, front_end)
        else:
            if mapping.map_from is not None:
                dataset = open_dataset(mapping.map_from, self.source_options)
            images = every_nth(dataset.posed(), mapping.every, mapping.offset)
            keyframes = make_map(
                disturbance.keyframes(images, mapping.seed),
                self._front_end(front_end or "xfeat"),
                mapping.depth,
            )
            if mapping.map_from is not None:
                print_reading(dataset, self.source_options)
        self._last = (made_of, keyframes)
        return keyframes

    def _front_end(self, name: str) -> FrontEnd:
        from mast3r_ros.frontends import create

        if name not in self._front_ends:
            self._front_ends[name] = create(name)
        return self._front_ends[name]
