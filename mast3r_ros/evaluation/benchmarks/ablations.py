# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Coarse matching against coarse to fine: the ablation of the MASt3R paper's appendix C."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from mast3r_ros.datasets.recording import PosedPair
from mast3r_ros.drawing import curves
from mast3r_ros.evaluation.benchmarks.base import Record
from mast3r_ros.evaluation.benchmarks.matched_pairs import AUC_LABEL, MatchedPairs, curve, way_of
from mast3r_ros.frontends.mast3r.frontend import Mast3rFrontEnd

# Most window pairs that are matched again.
WINDOWS = (1, 2, 4, 8)
_COARSE = "coarse"


class Ablations(MatchedPairs):
    """Pairs matched whole, and again in windows."""

    name = "ablations"
    text = "Coarse matching against coarse to fine, by the number of window pairs"
    main_figure = f"fine {WINDOWS[-1]}: AUC@5"

    def compare(self, pair: PosedPair, front_end: Mast3rFrontEnd) -> Record:
        """Match whole images, and windows of them; each way encodes its own windows."""
        start = time.perf_counter()
        matchers = {_COARSE: _matcher(front_end, 0)}
        matchers |= {f"fine {count}": _matcher(front_end, count) for count in WINDOWS}
        # Described for the finest: coarse matching leaves the details alone.
        describe = _matcher(front_end, 1).describe
        reference, query = describe(pair.reference), describe(pair.query)
        scale = front_end.pixel_error_scale(pair.query.size)
        ways = {}
        for name, matcher in matchers.items():
            began = time.perf_counter()
            (found,) = matcher.match([reference], query)
            seconds = time.perf_counter() - began
            ways[name] = way_of(pair, found.reference_pixels, found.query_pixels, seconds, scale)
        return {"ways": ways, "seconds": round(time.perf_counter() - start, 3)}

    def plots(self, records: Sequence[Record]) -> dict[str, bytes]:
        """Accuracy over time, from whole images to the most windows."""
        figures = self.summarize(records)
        if len(figures) == 1:
            return {}
        ways = [_COARSE, *(f"fine {n}" for n in WINDOWS)]
        return {
            "accuracy over time": curves.lines(
                {"coarse, then 1, 2, 4, 8 window pairs": curve(figures, ways, "time_ms")},
                "time of matching a pair [ms]",
                AUC_LABEL,
                logarithmic=True,
            )
        }


def _matcher(front_end: Mast3rFrontEnd, windows: int) -> Mast3rFrontEnd:
    """The front end with so many window pairs at the most; 0 matches whole images alone."""
    options = replace(front_end.options, coarse_to_fine=windows > 0, window_pairs=max(windows, 1))
    return Mast3rFrontEnd(options, front_end.network)
