# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plots of curves over one quantity, as SVG."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mast3r_ros.drawing.plots import BAD, GOOD, KEYFRAME, MUTED, STYLE, svg

_SIDE = 3.6  # inches
_COLORS = (GOOD, BAD, KEYFRAME, MUTED)


def cumulative(values: NDArray[np.float64], share: NDArray[np.float64], label: str) -> bytes:
    """Share of queries whose error is at most so large.

    Args:
        values: (N,) errors, ascending.
        share: (N,) in [0, 1].
        label: of the errors, with their unit.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(_SIDE * 1.4, _SIDE * 0.9), layout="constrained")
        axes = figure.subplots()
        axes.step(np.maximum(values, 1e-4), share, where="post", color=GOOD, lw=1.4)
        axes.set(xscale="log", xlabel=label, ylabel="share of all queries", ylim=(0, 1.02))
        return svg(figure)


def lines(
    curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    x_label: str,
    y_label: str,
    logarithmic: bool = False,
) -> bytes:
    """Curves with their points, one for each name.

    Args:
        curves: x and y by name, (N,) each; four names at the most.
        x_label, y_label: with their units.
        logarithmic: the x axis.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(_SIDE * 1.4, _SIDE), layout="constrained")
        axes = figure.subplots()
        for (name, (x, y)), color in zip(curves.items(), _COLORS, strict=False):
            axes.plot(x, y, "o-", color=color, ms=4, lw=1.2, label=name)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.legend(frameon=False)
        return svg(figure)
