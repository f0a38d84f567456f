# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The queries of an evaluation as files that other tools read."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.errors import UserError
from mast3r_ros.evaluation.outcome import Outcome
from mast3r_ros.evaluation.report import Row
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose


class OutputError(UserError, ValueError):
    """A file that an evaluation cannot be written to, with the remedy."""


class StampedPose(Protocol):
    """What a line of a trajectory is made of."""

    @property
    def stamp(self) -> int:
        """Time of exposure [ns]."""
        ...

    @property
    def pose(self) -> Pose | None:
        """map <- camera; None where it was refused."""
        ...


def write_trajectory(path: Path, outcomes: Sequence[StampedPose]) -> None:
    """Write the estimated poses in the TUM format: `timestamp tx ty tz qx qy qz qw`, map <- camera.

    Refused queries have no line. evo and the tools of the TUM benchmark read the file.

    Raises:
        OSError: the file cannot be written.
    """
    lines = [
        " ".join([_seconds(outcome.stamp), *(f"{value:.9f}" for value in _numbers(pose))])
        for outcome in outcomes
        if (pose := outcome.pose) is not None
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["# timestamp tx ty tz qx qy qz qw", *lines]) + "\n")


def write_queries(
    path: Path, rows: Sequence[Row], truth_covariance: NDArray[np.float64] | None = None
) -> None:
    """Write a line for each query of all rows: CSV, or a JSON array of objects, by the suffix.

    Raises:
        OutputError: the suffix is neither .csv nor .json.
        OSError: the file cannot be written.
    """
    if path.suffix not in (".csv", ".json"):
        raise OutputError(f"{path}: give the file of the queries the suffix .csv or .json")
    records = [
        {**row.labels, **_record(outcome, truth_covariance)}
        for row in rows
        for outcome in row.outcomes
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(records, indent=1) + "\n")
        return
    keys = dict.fromkeys(key for record in records for key in record)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(keys))
        writer.writeheader()
        writer.writerows(records)


def _record(outcome: Outcome, truth_covariance: NDArray[np.float64] | None) -> dict[str, Any]:
    """One query, fit for JSON: None where there is no pose."""
    error, covariance = outcome.error, outcome.covariance
    estimate = [None] * 7 if outcome.pose is None else _numbers(outcome.pose)
    sigmas = (
        [None] * 2
        if covariance is None
        else [float(np.sqrt(np.trace(part))) for part in (covariance[:3, :3], covariance[3:, 3:])]
    )
    names = ("x", "y", "z", "qx", "qy", "qz", "qw")
    record = {
        "query": outcome.name,
        "timestamp": outcome.stamp / 1e9,
        "localized": outcome.localized,
        "reason": outcome.reason,
        "translation_m": _finite(error.translation_m),
        "rotation_rad": _finite(error.rotation_rad),
        "sigma_translation_m": sigmas[0],
        "sigma_rotation_rad": sigmas[1],
        "nees": _finite(outcome.nees()),
        "confidence": outcome.confidence,
        "inliers": outcome.inliers,
        "keyframe": outcome.keyframe,
        "decodes": outcome.decodes,
        "history": outcome.history,
        **{f"{stage}_ms": 1e3 * seconds for stage, seconds in outcome.timings.items()},
        **dict(zip(names, estimate, strict=True)),
        **{f"true_{n}": v for n, v in zip(names, _numbers(outcome.truth), strict=True)},
        "message": outcome.message,
    }
    if truth_covariance is not None:
        record["nees_with_truth_sigma"] = _finite(outcome.nees(truth_covariance))
    return record


def _numbers(pose: Pose) -> list[float]:
    position, quaternion = transforms.to_quaternion(pose)
    return [*position.tolist(), *quaternion.tolist()]


def _seconds(stamp: int) -> str:
    """A time in seconds, to the nanosecond: a float has not that many digits."""
    return f"{stamp // 1_000_000_000}.{stamp % 1_000_000_000:09d}"


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
