# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reciprocal matches of two dense descriptor maps, where the engine left them.

On the host they are matched there. On a GPU, by the kernels of `matching.cuda` where cuda-bindings
and NVRTC are installed, else by torch, whose array it then is. NOT RUN ON A GPU YET.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.engines.base import DeviceArray, to_numpy
from mast3r_ros.matching.cuda_device import Device, DriverDevice
from mast3r_ros.matching.nearest import Database, Searchable
from mast3r_ros.matching.reciprocal import inside_border, reciprocal_both_ways


def match_pixels(
    reference: DeviceArray,
    query: DeviceArray,
    reference_confidence: NDArray[np.float32],
    query_confidence: NDArray[np.float32],
    stride: int,
    border: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Pixels that are each other's nearest, from a grid of seeds in either image.

    Args:
        reference, query: (H, W, D) descriptors, on the host or a GPU.
        reference_confidence, query_confidence: (H, W).
        stride: of the seeds [pixels].
        border: matches nearer to an edge are dropped [pixels].

    Returns:
        (P, 2) flat indices, unique, and (P,) the lesser confidence of each pair.

    Raises:
        ValueError: NaN or inf.
    """
    on_gpu = hasattr(reference, "__cuda_array_interface__")
    device = _gpu(reference.get_device()) if on_gpu else None
    if device is not None:
        from mast3r_ros.matching.cuda import CudaDatabase, reciprocal_on_gpu

        first, second = (CudaDatabase(array, device) for array in (reference, query))
        forward = reciprocal_on_gpu([(first, second)], stride=stride)[0]
        backward = reciprocal_on_gpu([(second, first)], stride=stride)[0]
        pairs = np.unique(np.concatenate([forward, backward[:, ::-1]]), axis=0)
        pairs = pairs[
            inside_border(pairs[:, 0], reference_confidence.shape, border)
            & inside_border(pairs[:, 1], query_confidence.shape, border)
        ]
        confidence = np.minimum(
            reference_confidence.ravel()[pairs[:, 0]], query_confidence.ravel()[pairs[:, 1]]
        )
        return pairs, confidence
    return reciprocal_both_ways(
        _database(reference),
        _database(query),
        reference_confidence,
        query_confidence,
        stride=stride,
        border=border,
    )


@lru_cache
def _gpu(number: int) -> Device | None:
    """A GPU with its kernels, opened once; None where what compiles them is not installed."""
    try:
        return DriverDevice(number)
    except ModuleNotFoundError:
        return None


def _database(descriptors: DeviceArray) -> Searchable:
    if not getattr(descriptors, "is_cuda", False):
        return Database(to_numpy(descriptors))
    from mast3r_ros.engines.torch_nearest import TorchDatabase

    on_host = to_numpy(descriptors)
    if not np.isfinite(on_host).all():
        raise ValueError("descriptors: NaN or inf")
    return TorchDatabase(descriptors, on_host)
