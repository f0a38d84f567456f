# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The descriptors of images on a GPU, and what the kernels need of them besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mast3r_ros.matching.cuda_device import Buffer, Device

# As in the kernels.
_BLOCK, _PATCH, _WARPS, _STEP = 64, 8, 4, 32
_POINTERS = (*("rows", "axes", "low", "high", "radius", "bytes", "largest", "residual", "longest"),)
IMAGE = np.dtype(
    [(name, np.uint64) for name in _POINTERS]
    + [(name, np.int32) for name in ("count", "height", "width", "blocks")]
)
_STRIDED = np.dtype(
    [
        *(("from", np.uint64), ("to", np.uint64)),
        *(("strides", np.int64, 3), ("shape", np.int32, 3), ("", np.int32)),
    ]
)


class CudaImage:
    """The descriptors of one image on a GPU.

    Args:
        descriptors: (N, D), or (H, W, D) over an image. A float32 array on the GPU (anything with
            ``__cuda_array_interface__``: torch, cupy) is used where it lies and must not change;
            one that is not C-contiguous is made so by a copy there. An array on the host is copied
            to the GPU.
        device: that it is to be searched on.

    Raises:
        ValueError: empty, another rank, or another type than float32 on the GPU.
    """

    def __init__(self, descriptors: Any, device: Device) -> None:
        self.device = device
        interface: dict[str, Any] | None = getattr(descriptors, "__cuda_array_interface__", None)
        array = np.asarray(descriptors, np.float32) if interface is None else np.empty(0)
        shape = tuple(interface["shape"]) if interface else array.shape
        if len(shape) not in (2, 3) or 0 in shape:
            raise ValueError(
                f"descriptors: shape {shape}; give (N, D) or (H, W, D), none of them 0"
            )
        self.shape: tuple[int, int] | None = (shape[0], shape[1]) if len(shape) == 3 else None
        self.channels: int = shape[-1]
        self.count = int(np.prod(shape[:-1]))
        self.record: np.void | None = None  # of IMAGE, once packed
        self._keep: list[Any] = [descriptors]
        # In floats, as if over (H, W, D); None where the rows are contiguous.
        self.strides: tuple[int, ...] | None = None
        if interface:
            self.rows_pointer = self._adopt(interface, shape)
        else:
            buffer = device.allocate(array.nbytes)
            device.upload(buffer.pointer, array)
            self.keep(buffer)
            self.rows_pointer = buffer.pointer

    def keep(self, buffer: Buffer) -> None:
        """Keeps memory as long as the image."""
        self._keep.append(buffer)

    def _adopt(self, interface: dict[str, Any], shape: tuple[int, ...]) -> int:
        if interface["typestr"] != "<f4":
            raise ValueError(
                f"descriptors: type {interface['typestr']} on the GPU; give float32 (<f4)"
            )
        strides = interface.get("strides")
        if strides is not None and tuple(strides) != _contiguous(shape):
            if any(stride % 4 for stride in strides):
                raise ValueError(f"descriptors: strides {strides}; give multiples of 4 bytes")
            outer = (0,) if len(shape) == 2 else ()
            self.strides = (*outer, *(stride // 4 for stride in strides))
        if interface.get("stream"):
            self.device.wait_for(int(interface["stream"]))
        return int(interface["data"][0])


def pack(images: Sequence[CudaImage]) -> None:
    """Packs all that are not yet packed, in one launch of each kernel. Does not wait."""
    pending = list({id(image): image for image in images if image.record is None}.values())
    if not pending:
        return
    _compact([image for image in pending if image.strides is not None])
    device, channels = pending[0].device, pending[0].channels
    records = np.zeros(len(pending), IMAGE)
    steps = -(-channels // _STEP)
    sizes = []
    for record, image in zip(records, pending, strict=True):
        height, width = image.shape or (0, 0)
        blocks = -(-image.count // _BLOCK)
        if image.shape:
            blocks = -(-height // _PATCH) * -(-width // _PATCH)
        parts = -(-blocks // _BLOCK)
        record["rows"] = image.rows_pointer
        for name, number in zip(
            ("count", "height", "width", "blocks"),
            (image.count, height, width, blocks),
            strict=True,
        ):
            record[name] = number
        cone = 4 * parts * _BLOCK
        sizes.append(
            {
                **{"bytes": 16 * blocks * _WARPS * steps * _STEP, "low": cone, "high": cone},
                **{"radius": cone, "axes": cone * channels, "largest": 4 * parts},
                **{"residual": 4 * parts, "longest": 4},
            }
        )
    # What the kernels expect to be 0 lies at the end, and is cleared at once.
    names = ["bytes", "low", "high", "radius", "axes", "largest", "residual", "longest"]
    places = {}
    end = 0
    for name in names:
        for i, size in enumerate(sizes):
            places[name, i] = end
            end += size[name] + -size[name] % 16
    buffer = device.allocate(end + records.nbytes)
    for (name, i), place in places.items():
        records[name][i] = buffer.pointer + place
    first = places["axes", 0]
    device.clear(buffer.pointer + first, end - first)
    device.upload(buffer.pointer + end, records)
    grid = (int(records["blocks"].max()), len(pending), 1)
    device.launch("pack", channels, grid, _BLOCK, buffer.pointer + end)
    device.launch("round_rows", channels, grid, _WARPS * 32, buffer.pointer + end)
    for image, record in zip(pending, records, strict=True):
        image.keep(buffer)
        image.record = record


def _compact(images: Sequence[CudaImage]) -> None:
    """Makes the rows of some images contiguous."""
    if not images:
        return
    device, channels = images[0].device, images[0].channels
    table = np.zeros(len(images), _STRIDED)
    most = 0
    for record, image in zip(table, images, strict=True):
        size = image.count * channels
        buffer = device.allocate(4 * size)
        record["from"], record["to"] = image.rows_pointer, buffer.pointer
        record["strides"] = image.strides or 0
        record["shape"] = (*(image.shape or (1, image.count)), channels)
        image.keep(buffer)
        image.rows_pointer, image.strides = buffer.pointer, None
        most = max(most, size)
    argument = device.allocate(table.nbytes)
    device.upload(argument.pointer, table)
    device.launch("compact", channels, (min(-(-most // 256), 1024), len(images), 1), 256,
                  argument.pointer)  # fmt: skip


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(4 * int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
