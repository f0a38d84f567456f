# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plots of poses and of their errors, as SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

INK, MUTED, KEYFRAME, GOOD, BAD = "#24292f", "#9aa4ae", "#d9822b", "#2166ac", "#c62828"
STYLE: dict[Any, Any] = {
    # Text stays text, in the reader's font.
    "svg.fonttype": "none",
    "svg.hashsalt": "mast3r_ros",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True)
class Histogram:
    """Errors to be counted on a logarithmic axis.

    Attributes:
        label: of the axis, with its unit.
        values: the errors.
        limits: drawn as lines, ascending.
    """

    label: str
    values: Sequence[float]
    limits: Sequence[float]


def top_view(
    truths: NDArray[np.float64],
    estimates: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    keyframes: NDArray[np.float64],
    names: Sequence[str],
) -> bytes:
    """Keyframes, true and estimated positions, seen from above [m].

    Above is where the cameras' images have their top, rounded to the nearest axis of the map.

    Args:
        truths: (N, 4, 4) map <- camera.
        estimates: (N, 4, 4) likewise, NaN where the query was refused.
        wrong: (N,), which of the estimates are drawn as wrong.
        keyframes: (K, 4, 4) map <- camera.
        names: of the keyframes.
    """
    everything = np.concatenate([truths, keyframes])
    (x, y), flipped = seen_from_above(everything)
    accepted = np.isfinite(estimates).all((1, 2))
    with rc_context(STYLE):
        figure = Figure(figsize=(7.0, 5.0), layout="constrained")
        axes = figure.subplots()
        reach = np.ptp(everything[:, :3, 3], axis=0).max()
        draw_keyframes(axes, keyframes, names, (x, y), flipped)
        axes.plot(*truths[:, [x, y], 3].T, ".", color=MUTED, ms=5, label="true positions")
        for group, color, label in (
            (accepted & ~wrong, GOOD, "estimates"),
            (accepted & wrong, BAD, "wrong estimates"),
        ):
            if not group.any():
                continue
            ends = np.stack([truths[group][:, [x, y], 3], estimates[group][:, [x, y], 3]])
            axes.plot(*ends.transpose(2, 0, 1), "-", color=color, lw=0.8)
            axes.plot(*ends[1].T, "o", color=color, ms=5, mfc="none", label=label)
        if not accepted.all():
            refused = truths[~accepted][:, [x, y], 3]
            axes.plot(*refused.T, "x", color=BAD, ms=5, label="refused")
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.08 if reach > 0 else 0.5)
        if flipped:
            axes.invert_yaxis()
        axes.set(xlabel=f"{'xyz'[x]} of the map [m]", ylabel=f"{'xyz'[y]} of the map [m]")
        axes.legend(loc="best", frameon=False)
        return svg(figure)


def seen_from_above(poses: NDArray[np.float64]) -> tuple[tuple[int, int], bool]:
    """The map's two axes of a floor plan, and whether the second one points down in it.

    Above is where the cameras' images have their top, rounded to the nearest axis of the map.

    Args:
        poses: (N, 4, 4) map <- camera.
    """
    down = poses[:, :3, 1].mean(0)
    vertical = int(np.abs(down).argmax())
    x, y = (axis for axis in range(3) if axis != vertical)
    # Seen from above, the first axis turns into the second counterclockwise.
    flipped = bool(np.cross(np.eye(3)[x], np.eye(3)[y])[vertical] * down[vertical] > 0)
    return (x, y), flipped


def draw_keyframes(
    axes: Axes,
    poses: NDArray[np.float64],
    names: Sequence[str],
    plane: tuple[int, int],
    flipped: bool,
) -> None:
    """Where keyframes are and look, with their names."""
    where = list(plane)
    arrow: dict[str, Any] = {
        "color": KEYFRAME,
        "width": 0.004,
        "scale": 25,
        "zorder": 2,
        "pivot": "tail",
    }
    axes.quiver(*poses[:, where, 3].T, *poses[:, where, 2].T, **arrow)
    axes.plot(*poses[:, where, 3].T, "^", color=KEYFRAME, ms=6, label="keyframes, looking")
    for pose, name in zip(poses, names, strict=True):
        # On the other side than the arrow.
        below = (pose[plane[1], 2] >= 0) != flipped
        axes.annotate(name, pose[where, 3], (0, -13 if below else 7), ha="center",
                      textcoords="offset points", fontsize=7, color=INK)  # fmt: skip


def histograms(panels: Sequence[Histogram]) -> bytes:
    """How many poses have which error, side by side."""
    with rc_context(STYLE):
        figure = Figure(figsize=(7.0, 2.6), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
            errors = np.maximum(np.array(panel.values, np.float64), 1e-9)
            low = min(panel.limits[0] / 50, *errors, np.inf)
            high = max(panel.limits[-1] * 1.5, *errors, 0.0)
            bins = np.geomspace(low * 0.95, high * 1.05, 28)
            axes.hist(errors, bins=bins.tolist(), color=GOOD)
            for limit in panel.limits:
                axes.axvline(limit, color=MUTED, lw=0.8, ls="--")
            axes.set(xscale="log", xlabel=panel.label, ylabel="poses")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        return svg(figure)


def svg(figure: Figure) -> bytes:
    """A figure as SVG, the same bytes for the same content."""
    buffer = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None, "Creator": None}
    figure.savefig(buffer, format="svg", metadata=metadata)
    return buffer.getvalue()
