# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A map from above: what is known of the place, where keyframes stand, and how strong they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mast3r_ros.drawing.plots import BAD, INK, MUTED, STYLE, draw_keyframes, svg

_SHADES = "RdYlGn"
# Points that a plan shows of all that are known.
_POINTS = 4000


@dataclass(frozen=True)
class FloorPlan:
    """What a plan shows.

    Attributes:
        axes: the map's two axes of the plan.
        flipped: the second one points down.
        keyframes: (K, 4, 4) map <- camera.
        names: of the keyframes.
        points: (N, 3) of the place [m], in the map.
        heat: (rows, columns) in [0, 1], 1 is good and NaN unknown; None draws none.
        extent: left, right, bottom, top of the heat [m].
        lost: (K,) which keyframes are marked.
        pairs: (P, 2) numbers of keyframes that are joined by a line.
    """

    axes: tuple[int, int]
    flipped: bool
    keyframes: NDArray[np.float64]
    names: Sequence[str]
    points: NDArray[np.floating]
    heat: NDArray[np.float64] | None = None
    extent: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0)
    lost: NDArray[np.bool_] | None = None
    pairs: Sequence[tuple[int, int]] = ()


def draw_floor_plan(plan: FloorPlan) -> bytes:
    """The plan as SVG."""
    x, y = plan.axes
    with rc_context(STYLE):
        figure = Figure(figsize=(7.6, 5.6), layout="constrained")
        axes = figure.subplots()
        if plan.heat is not None:
            shown = axes.imshow(
                plan.heat,
                origin="lower",
                extent=plan.extent,
                cmap=_SHADES,
                vmin=0,
                vmax=1,
                alpha=0.65,
                interpolation="bilinear",
                zorder=0,
            )
            figure.colorbar(shown, ax=axes, shrink=0.7, label="strength: 0 lost, 1 sure")
        points = plan.points[:: max(len(plan.points) // _POINTS, 1)]
        axes.plot(*points[:, [x, y]].T, ".", color=MUTED, ms=0.7, zorder=1, rasterized=True)
        places = plan.keyframes[:, [x, y], 3]
        for one, other in plan.pairs:
            axes.plot(*places[[one, other]].T, "--", color=INK, lw=1.0, zorder=2)
        draw_keyframes(axes, plan.keyframes, plan.names, plan.axes, plan.flipped)
        if plan.lost is not None and plan.lost.any():
            axes.plot(*places[plan.lost].T, "x", color=BAD, ms=9, mew=2, zorder=4, label="lost")
        # Points far off, seen through a window, must not make the plan small.
        low, high = _limits(places, points[:, [x, y]])
        axes.set(
            xlim=(low[0], high[0]),
            ylim=(high[1], low[1]) if plan.flipped else (low[1], high[1]),
            xlabel=f"{'xyz'[x]} of the map [m]",
            ylabel=f"{'xyz'[y]} of the map [m]",
        )
        axes.set_aspect("equal", adjustable="box")
        axes.legend(loc="best", frameon=False)
        return svg(figure)


def _limits(
    places: NDArray[np.floating], points: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of what is shown: all keyframes and most points."""
    low, high = places.min(0) - 0.5, places.max(0) + 0.5
    if len(points):
        near, far = np.percentile(points, (3, 97), axis=0)
        low, high = np.minimum(low, near), np.maximum(high, far)
    return np.asarray(low, np.float64), np.asarray(high, np.float64)
