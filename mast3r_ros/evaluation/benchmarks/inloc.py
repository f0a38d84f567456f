# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""InLoc (Taira et al., CVPR 2018): two university buildings, scanned months before the queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import PurePosixPath
from typing import ClassVar

from mast3r_ros.datasets import inloc
from mast3r_ros.evaluation.benchmarks.base import Record
from mast3r_ros.evaluation.benchmarks.visual_localization import Query, VisualLocalization
from mast3r_ros.evaluation.pose_error import Bound
from mast3r_ros.frame import Frame
from mast3r_ros.geometry.transforms import Pose

_ALL = "queries"


class InLoc(VisualLocalization):
    """Database images are cut out of panoramic scans: every pixel has its depth."""

    name = "inloc"
    text = "InLoc: queries in two large buildings against retrieved cutouts of laser scans"
    data_hint = (
        "Download cutouts, alignments and iphone7 queries of InLoc (some tens of gigabytes) by the "
        "links of the data set's page at the authors' institute, under the terms that they state; "
        "DIR holds database and query"
    )
    bounds = (Bound.of(0.25, 10.0), Bound.of(0.5, 10.0), Bound.of(1.0, 10.0))
    groups = ("DUC1", "DUC2")
    main_figure = f"DUC1 {bounds[0].key}"
    rows: ClassVar = {
        "MASt3R (paper)": {
            1: ((41.9, 64.1, 73.2), (38.9, 55.7, 62.6)),
            20: ((55.1, 77.8, 90.4), (71.0, 84.7, 89.3)),
        },
        "hloc (SuperPoint, LightGlue)": {None: ((46.5, 65.7, 78.3), (52.7, 72.5, 79.4))},
    }

    def queries(self) -> Mapping[str, Query]:
        """Which building a query shows is not known."""
        return {
            name: Query(_ALL, partial(inloc.read_query, self.data, name))
            for name in inloc.query_names(self.data)
        }

    @cached_property
    def _cutouts(self) -> list[str]:
        return inloc.cutout_names(self.data)

    def database(self) -> Sequence[str]:
        """All cutouts."""
        return self._cutouts

    def reference(self, name: str) -> tuple[Frame, Pose]:
        """A cutout."""
        return inloc.read_cutout(self.data, name)

    def group_of(self, record: Record) -> str:
        """The building, where the file of true poses names it: `DUC1/IMG_0731.JPG`."""
        known = self.known_as(record["query"])
        return "" if known is None else PurePosixPath(known).parent.name
