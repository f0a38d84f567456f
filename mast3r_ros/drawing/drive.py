# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A drive on a page: the way from above with its covariance, and errors and states over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from mast3r_ros.drawing.plots import BAD, GOOD, INK, KEYFRAME, MUTED, STYLE, draw_keyframes, svg

Array = NDArray[np.float64]

# Of states, in the order in which `DriveTrack.states` has them.
_COLORS = (MUTED, GOOD, KEYFRAME, BAD)
# 95 % of chi-square with 2 and with 3 degrees of freedom.
_PLANE, _SPACE = 5.99, 7.81
# Around what is shown, and of events whose names would cover each other [m].
_MARGIN, _NEAR = 1.2, 0.4


@dataclass(frozen=True)
class DriveTrack:
    """What is drawn of a drive of N moments.

    Attributes:
        seconds: (N,) since its beginning.
        truths: (N, 4, 4) map <- body, x ahead and z up.
        estimates: (N, 4, 4) likewise, NaN where there is none.
        covariances: (N, 6, 6) of the estimates [m, rad].
        states: (N,) number of each moment's state in `names`.
        names: of the states, four at the most.
        events: what happened, by second.
        keyframes: (K, 4, 4) map <- camera.
        points: (P, 3) of the place [m], in the map.
    """

    seconds: Array
    truths: Array
    estimates: Array
    covariances: Array
    states: NDArray[np.int64]
    names: Sequence[str]
    events: Mapping[float, str]
    keyframes: Array
    points: NDArray[np.floating]


def draw_way(track: DriveTrack) -> bytes:
    """The drive from above: where it was believed to be, with its 95 % ellipses, and the truth."""
    with rc_context(STYLE):
        figure = Figure(figsize=(7.6, 5.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(*track.points[:, :2].T, ".", color=MUTED, ms=0.7, zorder=0, rasterized=True)
        draw_keyframes(axes, track.keyframes, [""] * len(track.keyframes), (0, 1), False)
        known = np.isfinite(track.estimates).all((1, 2))
        for pose, covariance, state in zip(
            track.estimates[known], track.covariances[known], track.states[known], strict=True
        ):
            axes.add_patch(_ellipse(pose, covariance, _COLORS[state]))
        axes.plot(*_jumps_cut(track.truths).T, "-", color=INK, lw=0.9, zorder=3, label="true way")
        for number, name in enumerate(track.names):
            here = track.estimates[known & (track.states == number), :2, 3]
            if len(here):
                axes.plot(*here.T, "o", color=_COLORS[number], ms=3, zorder=4, label=name)
        for name, (x, y) in _places(track).items():
            axes.annotate(name, (x, y), (6, 6), textcoords="offset points", fontsize=8, color=INK)
        # Points seen through a window must not make the plan small.
        places = np.concatenate([track.truths[:, :2, 3], track.keyframes[:, :2, 3]])
        low, high = places.min(0) - _MARGIN, places.max(0) + _MARGIN
        axes.set(xlabel="x of the map [m]", ylabel="y of the map [m]")
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.set_aspect("equal", adjustable="box")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        return svg(figure)


def draw_time(track: DriveTrack) -> bytes:
    """Error of the position and its 95 % radius over time; the states are the background."""
    errors = np.linalg.norm(track.estimates[:, :3, 3] - track.truths[:, :3, 3], axis=1)
    largest = np.linalg.eigvalsh(track.covariances[:, :3, :3])[:, -1]
    largest[np.isnan(errors)] = np.nan
    with rc_context(STYLE):
        figure = Figure(figsize=(7.6, 3.2), layout="constrained")
        axes = figure.subplots()
        _shade_states(axes, track)
        axes.plot(track.seconds, np.sqrt(_SPACE * largest), "--", color=INK, lw=1, label="95 %")
        axes.plot(track.seconds, errors, ".-", color=INK, lw=1, ms=4, label="error")
        for second, name in track.events.items():
            axes.axvline(second, color=MUTED, lw=0.8)
            axes.annotate(
                name,
                (second, 0.98),
                (3, 0),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                va="top",
                fontsize=8,
                rotation=90,
            )
        if (errors > 0).any():
            axes.set_yscale("log")
        axes.set(xlabel="time [s]", ylabel="position [m]")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.legend(loc="upper center", ncols=6, frameon=False, bbox_to_anchor=(0.5, 1.16))
        return svg(figure)


def _shade_states(axes: Axes, track: DriveTrack) -> None:
    ends = np.append(track.seconds[1:], 2 * track.seconds[-1] - track.seconds[-2])
    for number, name in enumerate(track.names):
        label: str | None = name
        for start, end in zip(
            track.seconds[track.states == number], ends[track.states == number], strict=True
        ):
            axes.axvspan(start, end, color=_COLORS[number], alpha=0.18, lw=0, label=label)
            label = None


def _places(track: DriveTrack) -> dict[str, Array]:
    """Where things happened; those at one place share a line."""
    places: dict[str, Array] = {}
    for second, name in track.events.items():
        at = track.truths[int(np.argmin(np.abs(track.seconds - second))), :2, 3]
        near = next((k for k, p in places.items() if np.linalg.norm(p - at) < _NEAR), None)
        if near is not None:
            name, at = f"{near}, {name}", places.pop(near)
        places[name] = at
    return places


def _ellipse(pose: Array, covariance: Array, color: str) -> Ellipse:
    """95 % of the position in the plane."""
    values, vectors = np.linalg.eigh(covariance[:2, :2])
    width, height = 2 * np.sqrt(_PLANE * np.maximum(values, 0.0))
    angle = float(np.rad2deg(np.arctan2(vectors[1, 0], vectors[0, 0])))
    center = float(pose[0, 3]), float(pose[1, 3])
    return Ellipse(center, width, height, angle=angle, color=color, alpha=0.25, lw=0, zorder=2)


def _jumps_cut(truths: Array) -> Array:
    """(M, 2) positions, with a row of NaN where the robot did not drive but was carried."""
    places = truths[:, :2, 3]
    jumps = 1 + np.flatnonzero(np.linalg.norm(np.diff(places, axis=0), axis=1) > 0.5)
    return np.insert(places, jumps, np.nan, axis=0)
