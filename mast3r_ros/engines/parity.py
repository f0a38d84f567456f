# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Does a built engine still compute what the float32 network does?

Half precision can drift without a sign: the poses merely get worse. So a build ends here, on images
that the user gives, and an engine that drifted is refused with the names of its outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import Encoded, Engine, EngineError, Precision, to_numpy
from mast3r_ros.matching.nearest import Database, nearest
from mast3r_ros.network.prediction import LocalFeatures, PointMap

_STRIDE = 8  # of the pixels whose matches are compared
_SAME_MATCH = 2.0  # a match that moved no further is the same [px]


class ParityError(EngineError):
    """An engine whose outputs drifted from the network's."""


@dataclass(frozen=True)
class Tolerance:
    """How far an engine may be from the float32 network.

    Attributes:
        cosine: least mean cosine of a pixel's two descriptors.
        agreement: least share of pixels whose match in the other image stays where it was.
        log_points: largest median distance of points v, as |v| -> log(1 + |v|) along v.
        log_confidence: largest median difference of the logarithms of a confidence.
    """

    cosine: float
    agreement: float
    log_points: float
    log_confidence: float


# Chosen by what half precision can carry (11 and 8 bits of mantissa), not by what some engine
# reaches; not yet checked against the published weights on a GPU.
TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(cosine=0.9999, agreement=0.99, log_points=2e-3, log_confidence=1e-2),
    "fp16": Tolerance(cosine=0.999, agreement=0.95, log_points=1e-2, log_confidence=5e-2),
    "bf16": Tolerance(cosine=0.99, agreement=0.85, log_points=5e-2, log_confidence=0.2),
}


@dataclass(frozen=True)
class Measure:
    """One output compared: its worst value over the image pairs, and the limit."""

    output: str
    what: str
    value: float
    limit: float
    at_least: bool

    @property
    def good(self) -> bool:
        """Whether the limit is kept; NaN keeps none."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def badness(self) -> float:
        """Orders measures of one output; NaN is the worst."""
        if math.isnan(self.value):
            return math.inf
        return -self.value if self.at_least else self.value

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = "ok" if self.good else "DRIFTED"
        return f"{self.output:32} {self.what:18} {self.value:.6f} {sign} {self.limit:g}  {verdict}"


@dataclass(frozen=True)
class Outputs:
    """Everything that an engine computes of a pair, on the host."""

    reference: LocalFeatures[NDArray[np.float32]]
    query: LocalFeatures[NDArray[np.float32]]
    points: PointMap[NDArray[np.float32]]


ImagePair = tuple[NDArray[np.float32], NDArray[np.float32]]
"""(reference, query), each (C, H, W) of a size that the engine has."""


def run_pairs(engine: Engine, pairs: Sequence[ImagePair], batch: int = 1) -> list[Outputs]:
    """What an engine computes of image pairs, `batch` copies of a pair at a time.

    Of the copies, the last one counts: a batch must not change its members.
    """
    outputs = []
    for pair in pairs:
        reference, query = (
            Encoded(engine.encode(image[None])[0], ImageSize.of(image.shape[1:])) for image in pair
        )
        decoded = engine.decode([(reference, query)] * batch)
        points = engine.points(decoded)[-1]
        outputs.append(Outputs(*map(_on_host, (decoded[-1].reference, decoded[-1].query, points))))
    return outputs


def compare(
    mine: Sequence[Outputs], exact: Sequence[Outputs], tolerance: Tolerance
) -> list[Measure]:
    """Compare what two engines compute of the same pairs.

    Args:
        mine: of the engine to judge.
        exact: of the float32 network.
        tolerance: the limits, see `TOLERANCES`.

    Returns:
        The worst measure of each output, good or not.
    """
    if not exact:
        raise ValueError("no image pairs to compare the engines on")
    worst: dict[tuple[str, str], Measure] = {}
    for ours, theirs in zip(mine, exact, strict=True):
        for measure in _measures(ours, theirs, tolerance):
            key = (measure.output, measure.what)
            old = worst.get(key)
            if old is None or measure.badness > old.badness:
                worst[key] = measure
    return list(worst.values())


def require(measures: Sequence[Measure]) -> None:
    """Refuse an engine that drifted.

    Raises:
        ParityError: names each output past its limit, with its value.
    """
    bad = [measure for measure in measures if not measure.good]
    if bad:
        raise ParityError(
            "the engine does not compute what the float32 network does:\n"
            + "\n".join(f"  {measure}" for measure in bad)
            + "\nUse another precision (bf16 where fp16 overflows, else fp32)."
        )


def _on_host(arrays: Any) -> Any:
    return type(arrays)(*map(to_numpy, vars(arrays).values()))


def _measures(mine: Outputs, exact: Outputs, limit: Tolerance) -> list[Measure]:
    measures = []
    confidences = [("reference points", mine.points.confidence, exact.points.confidence)]
    for name, a, b in (
        ("reference", mine.reference, exact.reference),
        ("query", mine.query, exact.query),
    ):
        if a.descriptors.shape != b.descriptors.shape:
            raise EngineError(
                f"{name}: descriptors of {ImageSize.of(a.descriptors.shape)} px against "
                f"{ImageSize.of(b.descriptors.shape)} px"
            )
        cosine = float((a.descriptors * b.descriptors).sum(-1).mean())
        measures.append(Measure(f"{name} descriptors", "mean cosine", cosine, limit.cosine, True))
        confidences.append((f"{name} descriptors", a.confidence, b.confidence))
    distance = np.linalg.norm(
        _log_points(mine.points.points) - _log_points(exact.points.points), axis=-1
    )
    error = float(np.median(distance))
    measures.append(Measure("reference points", "median log error", error, limit.log_points, False))
    for what, x, y in confidences:
        error = float(np.median(np.abs(np.log(x) - np.log(y))))
        measures.append(
            Measure(f"confidence of {what}", "median log error", error, limit.log_confidence, False)
        )
    moved = _matches(mine) - _matches(exact)
    agreement = float((np.hypot(*moved.T) <= _SAME_MATCH).mean())
    return [
        *measures,
        Measure("matches", "agreement", agreement, limit.agreement, True),
    ]


def _log_points(points: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = points.astype(np.float64)
    length = np.linalg.norm(wide, axis=-1, keepdims=True)
    scaled: NDArray[np.float64] = wide / np.maximum(length, 1e-12) * np.log1p(length)
    return scaled


def _matches(outputs: Outputs) -> NDArray[np.float64]:
    """Where in the query each seed of the reference has its nearest descriptor, (S, 2) pixels."""
    start = _STRIDE // 2
    seeds = outputs.reference.descriptors[start::_STRIDE, start::_STRIDE]
    database = outputs.query.descriptors
    # NaN has no nearest: such an output is no match for anything.
    if not (np.isfinite(seeds).all() and np.isfinite(database).all()):
        return np.full((seeds.shape[0] * seeds.shape[1], 2), np.nan)
    found, _ = nearest(seeds.reshape(-1, seeds.shape[-1]), Database(database))
    rows, columns = np.divmod(found, database.shape[1])
    return np.stack([columns, rows], axis=1).astype(np.float64)
