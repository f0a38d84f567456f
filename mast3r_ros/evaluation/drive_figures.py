# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What rendered drives come to: over all, and after each kind of event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.evaluation.filtered import (
    ELLIPSOID,
    WRONG,
    Tracked,
    errors_of,
    trajectory_figures,
)
from mast3r_ros.evaluation.pose_error import PoseError
from mast3r_ros.evaluation.summary import mean, median
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.localization.map_odom import FilterState
from mast3r_ros.training.worlds.routes import Event

_Estimate = tuple[Pose, NDArray[np.float64]]


@dataclass(frozen=True)
class Step:
    """One moment of a drive, and what came of it.

    Attributes:
        tracked: the filter after it, and the truth.
        event: what begins here, None where nothing does.
        dark: the images were black.
        fix: map <- body by the images, with its (6, 6) covariance; None where refused.
    """

    tracked: Tracked
    event: Event | None
    dark: bool
    fix: _Estimate | None

    @property
    def error(self) -> PoseError:
        """Of the fix."""
        return PoseError.of(None if self.fix is None else self.fix[0], self.tracked.truth)

    @property
    def nees(self) -> float:
        """Of the fix."""
        return self.error.nees(None if self.fix is None else self.fix[1])

    def as_record(self) -> dict[str, Any]:
        """For a line of JSON."""
        t = self.tracked
        return {
            "stamp": t.stamp,
            "truth": t.truth.tolist(),
            "believed": t.believed,
            "state": t.state.name,
            "estimate": _listed(t.estimate),
            "event": None if self.event is None else self.event.name,
            "dark": self.dark,
            "fix": _listed(self.fix),
        }

    @staticmethod
    def from_record(record: dict[str, Any]) -> Step:
        """What `as_record` gave."""
        tracked = Tracked(
            record["stamp"],
            np.array(record["truth"]),
            record["believed"],
            FilterState[record["state"]],
            _estimate(record["estimate"]),
        )
        event = record["event"]
        fix = _estimate(record["fix"])
        return Step(tracked, None if event is None else Event[event], record["dark"], fix)


def drive_figures(drives: Sequence[Sequence[Step]]) -> dict[str, Any]:
    """Figures over all drives.

    Returns:
        `drives`, `moments`; `localized`: share of the moments with light in which the images gave a
        pose; `error_m`, `error_deg`: medians of these; `wrong_fixes`, and those of them that the
        filter believed; `nees`, `coverage` of the fixes with light that are not wrong; under
        `filtered` those of `trajectory_figures` (medians over the drives) and `errors_of` (over the
        moments in which the filter may know where the robot is); under `events` a row for each
        kind, see
        `_event_figures`.
    """
    steps = [step for drive in drives for step in drive]
    light = [step for step in steps if not step.dark]
    fixes = [step for step in steps if step.fix is not None]
    seen = [step for step in fixes if not step.dark]
    nees = [step.nees for step in seen if not _is_wrong(step.error)]
    tracks = [trajectory_figures([s.tracked for s in drive]) for drive in drives]
    between = [track["driven_between_fixes_m"] for track in tracks]
    periods = [period for drive in drives for period in _periods(drive)]
    return {
        "drives": len(drives),
        "moments": len(steps),
        "localized": mean([s.fix is not None for s in light]),
        "error_m": median([s.error.translation_m for s in seen]),
        "error_deg": median([s.error.rotation_deg for s in seen]),
        "wrong_fixes": sum(_is_wrong(s.error) for s in fixes),
        "wrong_believed": sum(_is_wrong(s.error) for s in fixes if s.tracked.believed),
        "nees": mean(nees),
        "coverage": mean([value <= ELLIPSOID for value in nees]),
        "filtered": {
            "seconds_to_first_fix": median(_known(t["seconds_to_first_fix"] for t in tracks)),
            "localized": mean([t["localized"] for t in tracks]),
            "driven_between_fixes_m": median(_known(b["median"] for b in between)),
            "most_driven_between_fixes_m": max(_known(b["largest"] for b in between), default=None),
            **errors_of([_settled(period) for period in periods]),
        },
        "events": {
            event.value: _event_figures(chosen)
            for event in Event
            if (chosen := [p for p in periods if p[0].event is event])
        },
    }


def _event_figures(periods: Sequence[Sequence[Step]]) -> dict[str, Any]:
    """What follows one kind of event, up to the next one.

    Returns:
        `count`; `localized` of the moments with light; `wrong_fixes`, `wrong_believed`; `found`:
        how often the filter's pose is right, at once or later, after how many images (median
        `images_to_find`, and `most_images`); `images_to_fix`: until a pose is believed (median);
        and `errors_of`, of the moments in which the filter may know where the robot is.
    """
    steps = [step for period in periods for step in period]
    wrong = [s for s in steps if s.fix is not None and _is_wrong(s.error)]
    found = [n for p in periods if (n := _first_right(p)) is not None]
    fixed = [n for p in periods if (n := _first_believed(p)) is not None]
    return {
        "count": len(periods),
        "moments": len(steps),
        "localized": mean([s.fix is not None for s in steps if not s.dark]),
        "wrong_fixes": len(wrong),
        "wrong_believed": sum(s.tracked.believed for s in wrong),
        "found": len(found),
        "images_to_find": median(found),
        "most_images": max(found, default=None),
        "images_to_fix": median(fixed),
        **errors_of([_settled(period) for period in periods]),
    }


def _periods(drive: Sequence[Step]) -> list[list[Step]]:
    """The steps from each event to the next."""
    periods: list[list[Step]] = []
    for step in drive:
        if step.event is not None or not periods:
            periods.append([])
        periods[-1].append(step)
    return periods


def _settled(period: Sequence[Step]) -> list[Tracked]:
    """The moments in which the filter may know where the robot is.

    After the robot was moved unnoticed, these are the ones from where its pose is right again.
    """
    event = period[0].event
    first = 0
    if event is not None and event.is_unnoticed:
        right = _first_right(period)
        first = len(period) if right is None else right - 1
    return [step.tracked for step in period[first:]]


def _first_right(period: Sequence[Step]) -> int | None:
    """Images until the filter's pose is right; None where it never is.

    It may be right at once, but not after the robot was moved unnoticed: a pose must be believed.
    """
    event = period[0].event
    blind = 0
    if event is not None and event.is_unnoticed:
        blind = (_first_believed(period) or len(period) + 1) - 1
    right = (i for i, s in enumerate(period, 1) if i > blind and s.tracked.error.within(WRONG))
    return next(right, None)


def _first_believed(period: Sequence[Step]) -> int | None:
    """Images until a pose is believed; None where none is."""
    return next((i for i, s in enumerate(period, 1) if s.tracked.believed), None)


def _is_wrong(error: PoseError) -> bool:
    return not error.within(WRONG)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _listed(estimate: _Estimate | None) -> list[Any] | None:
    return None if estimate is None else [part.tolist() for part in estimate]


def _estimate(listed: list[Any] | None) -> _Estimate | None:
    return None if listed is None else (np.array(listed[0]), np.array(listed[1]))
