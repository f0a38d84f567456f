# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reciprocal matches of two dense descriptor maps, where the engine left them.

On the host they are matched there. On a GPU, by the kernels of `matching.cuda` where cuda-bindings
and NVRTC are installed, else by torch, whose array it then is. NOT RUN ON A GPU YET.

Points of two point maps are matched in the same way, on the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.engines.base import DecodedPair, DeviceArray, to_numpy
from mast3r_ros.frontends.base import FrontEndError
from mast3r_ros.matching.gpu import GpuMatcher
from mast3r_ros.matching.nearest import Database, Searchable, UnfitDescriptorsError
from mast3r_ros.matching.points import PointDatabase
from mast3r_ros.matching.reciprocal import reciprocal_both_ways
from mast3r_ros.network.prediction import PointMap


@dataclass(frozen=True)
class PixelMatches:
    """Matches in the pixels of the images that the network saw.

    Attributes:
        reference, query: (P, 2) float32 (x, y) [pixels].
        confidence: (P,) float32, the descriptors' own, the lesser of the two.
    """

    reference: NDArray[np.float32]
    query: NDArray[np.float32]
    confidence: NDArray[np.float32]

    def select(self, which: NDArray[np.bool_]) -> PixelMatches:
        """The matches that a mask picks."""
        return PixelMatches(self.reference[which], self.query[which], self.confidence[which])


def match_features(decoded: Sequence[DecodedPair], stride: int, border: int) -> list[PixelMatches]:
    """Pixels that are each other's nearest, from a grid of seeds in either image.

    Args:
        decoded: all of them on the host, or all on one GPU, where they are matched at once.
        stride: of the seeds [pixels].
        border: matches nearer to an edge are dropped [pixels].

    Raises:
        FrontEndError: NaN or inf.
    """
    confidences = [(p.reference.confidence, p.query.confidence) for p in decoded]
    descriptors = [(p.reference.descriptors, p.query.descriptors) for p in decoded]
    try:
        found = _match_all(descriptors, confidences, stride, border)
    except UnfitDescriptorsError as error:
        raise refusal("descriptors") from error
    for _, lesser in found:
        require_finite(lesser, "confidences")
    return [
        PixelMatches(_pixels(pairs[:, 0], first), _pixels(pairs[:, 1], second), lesser)
        for (pairs, lesser), (first, second) in zip(found, confidences, strict=True)
    ]


def match_points(
    maps: Sequence[tuple[PointMap[DeviceArray], PointMap[DeviceArray]]], stride: int, border: int
) -> list[PixelMatches]:
    """Pixels whose points are each other's nearest in 3-D, from a grid of seeds in either image.

    DUSt3R (arXiv 2312.14132, section 3.3) and table 1 of the MASt3R paper match so. On the host.

    Args:
        maps: of both views of each pair, in one frame.
        stride, border: as in `match_features`.

    Raises:
        FrontEndError: NaN or inf.
    """
    return [_nearest_points(*both, stride, border) for both in maps]


def _nearest_points(
    first: PointMap[DeviceArray], second: PointMap[DeviceArray], stride: int, border: int
) -> PixelMatches:
    points = [to_numpy(view.points) for view in (first, second)]
    sure = [to_numpy(view.confidence) for view in (first, second)]
    for values in points:
        require_finite(values, "points")
    for values in sure:
        require_finite(values, "confidences")
    databases = [PointDatabase(values) for values in points]
    pairs, lesser = reciprocal_both_ways(
        databases[0], databases[1], sure[0], sure[1], stride=stride, border=border
    )
    return PixelMatches(_pixels(pairs[:, 0], sure[0]), _pixels(pairs[:, 1], sure[1]), lesser)


def require_finite(values: NDArray[Any], what: str) -> None:
    """Refuse what the network should not have answered."""
    if not np.isfinite(values).all():
        raise refusal(what)


def refusal(what: str) -> FrontEndError:
    """What says that the network's answer is of no use."""
    return FrontEndError(
        f"front end 'mast3r': the network's {what} are not finite; the image is refused. Where "
        "this happens often, use precision bf16 or fp32"
    )


def _match_all(
    descriptors: Sequence[tuple[DeviceArray, DeviceArray]],
    confidences: Sequence[tuple[DeviceArray, DeviceArray]],
    stride: int,
    border: int,
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Flat indices (P, 2) and confidences (P,) for each pair of (H, W, D) descriptors."""
    if not descriptors:
        return []
    if hasattr(descriptors[0][0], "__cuda_array_interface__"):
        for both in (*descriptors, *confidences):
            _require_contiguous(both)
        matcher = gpu_matcher(descriptors[0][0].get_device())
        return matcher.match(descriptors, confidences, stride=stride, border=border)
    return [
        reciprocal_both_ways(
            _database(first), _database(second), *map(to_numpy, both), stride=stride, border=border
        )
        for (first, second), both in zip(descriptors, confidences, strict=True)
    ]


def _require_contiguous(arrays: Sequence[DeviceArray]) -> None:
    """Engines promise C-contiguous arrays: another layout is a fault of theirs."""
    for array in arrays:
        strides = getattr(array, "__cuda_array_interface__", {}).get("strides")
        if strides is not None:
            raise TypeError(
                f"an array of shape {tuple(array.shape)} lies on the GPU with strides {strides}: "
                "the engine must make it contiguous"
            )


def _pixels(index: NDArray[np.int64], image: DeviceArray) -> NDArray[np.float32]:
    width = image.shape[1]
    return np.column_stack([index % width, index // width]).astype(np.float32)


@lru_cache
def gpu_matcher(number: int) -> GpuMatcher:
    """The matcher of a GPU, one for the process; `prepare` it before the first image."""
    return GpuMatcher(number, _database, to_host=to_numpy)


def _database(descriptors: DeviceArray) -> Searchable:
    if not getattr(descriptors, "is_cuda", False):
        return Database(to_numpy(descriptors))
    from mast3r_ros.engines.torch_nearest import TorchDatabase

    on_host = to_numpy(descriptors)
    if not np.isfinite(on_host).all():
        raise UnfitDescriptorsError("descriptors: NaN or inf")
    return TorchDatabase(descriptors, on_host)
