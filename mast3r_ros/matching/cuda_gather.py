# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Values of arrays on a GPU at some pixels: one upload, one launch and one download for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.matching.cuda_device import Device

_THREADS = 256
_GATHER = np.dtype(
    [
        *(("from", np.uint64), ("index", np.uint64), ("to", np.uint64)),
        *(("width", np.int32), ("count", np.int32)),
    ]
)


def gather_on_gpu(
    device: Device, channels: int, arrays: Sequence[Any], indices: Sequence[NDArray[np.int64]]
) -> list[NDArray[np.float32]]:
    """Values of each array at its own flat pixels.

    Args:
        device: on which the arrays lie.
        channels: of the module of kernels that is loaded.
        arrays: (H, W, ...) float32, C-contiguous, with ``__cuda_array_interface__``.
        indices: (...) for each array.

    Returns:
        for each array (..., ...), the index's shape and then the array's beyond (H, W).

    Raises:
        TypeError: another type or layout.
        IndexError: a pixel outside its array.
    """
    records = np.zeros(len(arrays), _GATHER)
    shapes = []
    for record, array, index in zip(records, arrays, indices, strict=True):
        interface = array.__cuda_array_interface__
        shape = tuple(interface["shape"])
        if interface["typestr"] != "<f4" or interface.get("strides") is not None:
            raise TypeError(
                f"an array of shape {shape}, type {interface['typestr']} and strides "
                f"{interface.get('strides')} on the GPU; give contiguous float32 (<f4)"
            )
        if index.size and not 0 <= index.min() <= index.max() < shape[0] * shape[1]:
            raise IndexError(f"pixels {index.min()} to {index.max()} of an image {shape[:2]}")
        if interface.get("stream"):
            device.wait_for(int(interface["stream"]))
        record["from"] = interface["data"][0]
        record["width"], record["count"] = np.prod(shape[2:], dtype=int), index.size
        shapes.append((*index.shape, *shape[2:]))
    most = int((records["count"].astype(np.int64) * records["width"]).max(initial=0))
    if not most:
        return [np.empty(shape, np.float32) for shape in shapes]
    # The table, the indices and the results, in one piece of memory.
    counts = records["count"].astype(np.int64)
    flat = np.concatenate([index.ravel() for index in indices]).astype(np.int32)
    start = records.nbytes + flat.nbytes
    sizes = counts * records["width"]
    buffer = device.allocate(start + 4 * int(sizes.sum()))
    records["index"] = buffer.pointer + records.nbytes + 4 * _starts(counts)
    records["to"] = buffer.pointer + start + 4 * _starts(sizes)
    device.upload(
        buffer.pointer, np.concatenate([records.view(np.uint8).ravel(), flat.view(np.uint8)])
    )
    grid = (min(-(-most // _THREADS), 1024), len(arrays), 1)
    device.launch("gather", channels, grid, _THREADS, buffer.pointer)
    values = np.empty(int(sizes.sum()), np.float32)
    device.download(buffer.pointer + start, values)
    parts = np.split(values, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _starts(counts: NDArray[np.int64]) -> NDArray[np.uint64]:
    return np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.uint64)
