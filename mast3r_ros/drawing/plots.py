# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Plots of an evaluation, as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mast3r_ros.evaluation.metrics import Outcome
from mast3r_ros.geometry.transforms import Pose

_INK, _MUTED, _KEYFRAME, _GOOD, _BAD = "#24292f", "#9aa4ae", "#d9822b", "#2166ac", "#c62828"
_STYLE: dict[Any, Any] = {
    # Text stays text, in the reader's font.
    "svg.fonttype": "none",
    "svg.hashsalt": "mast3r_ros",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def top_view(
    outcomes: Sequence[Outcome],
    keyframes: Mapping[int, Pose],
    names: Mapping[int, str],
    limit: tuple[float, float],
) -> bytes:
    """Keyframes, true and estimated positions, seen from above [m].

    `limit` is the distance [m] and angle [degrees] beyond which an estimate is drawn as wrong.
    Above is where the cameras' images have their top, rounded to the nearest axis of the map.
    """
    truths = np.array([o.truth for o in outcomes])
    known = np.array(list(keyframes.values()))
    down = np.concatenate([truths, known])[:, :3, 1].mean(0)
    vertical = int(np.abs(down).argmax())
    x, y = (axis for axis in range(3) if axis != vertical)
    with rc_context(_STYLE):
        figure = Figure(figsize=(7.0, 5.0), layout="constrained")
        axes = figure.subplots()
        reach = np.ptp(np.concatenate([truths, known])[:, :3, 3], axis=0).max()
        arrow: dict[str, Any] = {
            "color": _KEYFRAME,
            "width": 0.004,
            "scale": 25,
            "zorder": 2,
            "pivot": "tail",
        }
        axes.quiver(*known[:, [x, y], 3].T, *known[:, [x, y], 2].T, **arrow)
        axes.plot(*known[:, [x, y], 3].T, "^", color=_KEYFRAME, ms=6, label="keyframes, looking")
        # Seen from above, the first axis turns into the second counterclockwise.
        flipped = np.cross(np.eye(3)[x], np.eye(3)[y])[vertical] * down[vertical] > 0
        for pose, name in zip(known, names.values(), strict=True):
            # On the other side than the arrow.
            below = (pose[y, 2] >= 0) != flipped
            axes.annotate(name, pose[[x, y], 3], (0, -13 if below else 7), ha="center",
                          textcoords="offset points", fontsize=7, color=_INK)  # fmt: skip
        axes.plot(*truths[:, [x, y], 3].T, ".", color=_MUTED, ms=5, label="true positions")
        accepted = [o for o in outcomes if o.pose is not None]
        right = [o for o in accepted if o.within(*limit)]
        wrong = [o for o in accepted if not o.within(*limit)]
        for group, color, label in ((right, _GOOD, "estimates"), (wrong, _BAD, "wrong estimates")):
            if not group:
                continue
            ends = np.array([(o.truth[[x, y], 3], np.asarray(o.pose)[[x, y], 3]) for o in group])
            axes.plot(*ends.transpose(2, 1, 0), "-", color=color, lw=0.8)
            axes.plot(*ends[:, 1].T, "o", color=color, ms=5, mfc="none", label=label)
        refused = np.array([o.truth[[x, y], 3] for o in outcomes if o.pose is None]).reshape(-1, 2)
        if len(refused):
            axes.plot(*refused.T, "x", color=_BAD, ms=5, label="refused")
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.08 if reach > 0 else 0.5)
        if flipped:
            axes.invert_yaxis()
        axes.set(xlabel=f"{'xyz'[x]} of the map [m]", ylabel=f"{'xyz'[y]} of the map [m]")
        axes.legend(loc="best", frameon=False)
        return _svg(figure)


def error_histograms(outcomes: Sequence[Outcome], limits: Sequence[tuple[float, float]]) -> bytes:
    """How many poses have which error, on logarithmic axes, with limits [m, degrees]."""
    accepted = [o for o in outcomes if o.pose is not None]
    panels = (
        ("position error [cm]", [100 * o.translation_error for o in accepted], 0, 100.0),
        ("orientation error [degrees]", [np.rad2deg(o.rotation_error) for o in accepted], 1, 1.0),
    )
    with rc_context(_STYLE):
        figure = Figure(figsize=(7.0, 2.6), layout="constrained")
        for axes, (label, values, which, unit) in zip(figure.subplots(1, 2), panels, strict=True):
            bounds = [unit * limit[which] for limit in limits]
            errors = np.maximum(np.array(values, np.float64), 1e-9)
            low = min(bounds[0] / 50, *errors) if len(errors) else bounds[0] / 50
            high = max(bounds[-1] * 1.5, *errors) if len(errors) else bounds[-1] * 1.5
            bins = np.geomspace(low * 0.95, high * 1.05, 28)
            axes.hist(errors, bins=bins.tolist(), color=_GOOD)
            for bound in bounds:
                axes.axvline(bound, color=_MUTED, lw=0.8, ls="--")
            axes.set(xscale="log", xlabel=label, ylabel="poses")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure)


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None, "Creator": None}
    figure.savefig(buffer, format="svg", metadata=metadata)
    return buffer.getvalue()
