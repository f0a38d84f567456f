# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plots of what covariance and confidence are worth, as SVG."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import chi2

from mast3r_ros.drawing.plots import BAD, GOOD, MUTED, STYLE, svg

_SIDE = 3.6  # inches


def nees_quantiles(nees: Mapping[str, NDArray[np.float64]], degrees_of_freedom: int = 6) -> bytes:
    """Quantiles of NEES against those of chi-square: on the diagonal, the covariance is exact.

    Above the diagonal errors are larger than claimed, below it smaller.

    Args:
        nees: (N,) finite values by the name of the curve.
        degrees_of_freedom: of the pose.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(_SIDE * 1.4, _SIDE * 1.1), layout="constrained")
        axes = figure.subplots()
        ends = chi2.ppf([0.002, 0.998], degrees_of_freedom)
        axes.plot(ends, ends, "--", color=MUTED, lw=0.9, label="exact")
        for (name, values), color in zip(nees.items(), (GOOD, BAD), strict=False):
            if not len(values):
                continue
            expected = chi2.ppf((np.arange(len(values)) + 0.5) / len(values), degrees_of_freedom)
            axes.plot(expected, np.sort(values), ".", color=color, ms=4, label=name)
        limit = chi2.ppf(0.95, degrees_of_freedom)
        axes.axvline(limit, color=MUTED, lw=0.6, ls=":")
        axes.axhline(limit, color=MUTED, lw=0.6, ls=":")
        axes.set(xscale="log", yscale="log", ylabel="quantile of NEES")
        axes.set_xlabel(f"quantile of chi-square, {degrees_of_freedom} degrees of freedom")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.legend(loc="upper left", frameon=False)
        return svg(figure)


def precision_recall(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> bytes:
    """Share of right poses among the accepted, over the share of all queries that are right."""
    with rc_context(STYLE):
        figure = Figure(figsize=(_SIDE * 1.2, _SIDE), layout="constrained")
        axes = figure.subplots()
        axes.plot(recall, precision, "-", color=GOOD, lw=1.4)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        return svg(figure)


def reliability(
    confidence: NDArray[np.float64], right: NDArray[np.float64], counts: NDArray[np.int64]
) -> bytes:
    """Share of right poses over the confidence: on the diagonal, the confidence is a probability.

    Args:
        confidence: (B,) mean of each bin.
        right: (B,) share of right poses of each bin.
        counts: (B,) poses of each bin.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(_SIDE * 1.2, _SIDE), layout="constrained")
        axes = figure.subplots()
        axes.plot((0, 1), (0, 1), "--", color=MUTED, lw=0.9)
        axes.plot(confidence, right, "o-", color=GOOD, ms=4, lw=1.0)
        for x, y, count in zip(confidence, right, counts, strict=True):
            axes.annotate(str(count), (x, y), (0, -11), textcoords="offset points", fontsize=7,
                          ha="center", color=MUTED)  # fmt: skip
        axes.set(xlabel="confidence", ylabel="share of right poses", xlim=(0, 1), ylim=(0, 1.05))
        return svg(figure)
