# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rotary positions of the torch engine as one kernel. NOT RUN ON A GPU YET.

In PyTorch, turning queries and keys is eight kernels an attention: 576 of some 1,500 that an image
and a pair launch. Here it is one, in place, on PyTorch's current stream, so that a CUDA graph
captures it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mast3r_ros.matching.cuda_bindings import GpuError, GpuUnavailableError
from mast3r_ros.matching.cuda_device import Device, DriverDevice
from mast3r_ros.network.blocks import CrossAttention, SelfAttention
from mast3r_ros.network.mast3r import MAST3R
from mast3r_ros.network.rope import RotaryTable, rotary_tables, rotate_both

_CHANNELS = 24  # of the module of kernels, which matching loads too
_THREADS = 256
_TYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
_TURNED = np.dtype(
    [
        *((name, np.uint64) for name in ("values", "cos", "sin")),
        *((name, np.int64) for name in ("batch_stride", "token_stride")),
        *((name, np.int32) for name in ("batch", "tokens", "heads", "width")),
    ]
)
_ROTARY = np.dtype([("sides", _TURNED, 2), ("type", np.int32), ("", np.int32)])
_log = logging.getLogger(__name__)


class FusedRotary:
    """`rotate_both` in one launch, in place.

    Args:
        device: the GPU of the tensors.
        stream: PyTorch's current stream there.
    """

    def __init__(self, device: Device, stream: Callable[[], int]) -> None:
        self._device = device
        self._stream = stream

    def __call__(
        self, query: Tensor, key: Tensor, query_table: RotaryTable, key_table: RotaryTable
    ) -> tuple[Tensor, Tensor]:
        """Turn queries and keys (B, N, heads, head width), which are overwritten.

        Raises:
            ValueError: heads and their channels are not contiguous, or the types differ.
        """
        record = np.zeros((), _ROTARY)
        most = 0
        for side, x, table in (
            (record["sides"][0], query, query_table),
            (record["sides"][1], key, key_table),
        ):
            batch, tokens, heads, width = x.shape
            if x.stride(3) != 1 or x.stride(2) != width or table.cos.dtype != x.dtype:
                raise ValueError(
                    f"{x.dtype} of shape {tuple(x.shape)} and strides {x.stride()}, tables of "
                    f"{table.cos.dtype}: give contiguous heads and tables of the same type"
                )
            side["values"] = x.data_ptr()
            side["cos"], side["sin"] = table.cos.data_ptr(), table.sin.data_ptr()
            side["batch_stride"], side["token_stride"] = x.stride(0), x.stride(1)
            side["batch"], side["tokens"] = batch, tokens
            side["heads"], side["width"] = heads, width
            most = max(most, x.numel() // 2)
        record["type"] = _TYPES[query.dtype]
        grid = (-(-most // _THREADS), 2, 1)
        self._device.launch("rotate", _CHANNELS, grid, _THREADS, record, stream=self._stream())
        return query, key


def fuse_rotary(model: MAST3R, device: torch.device) -> bool:
    """Let a network on a GPU turn its queries and keys by the fused kernel.

    Where the kernel cannot be used, it says so in the log, and PyTorch turns them as before.
    """
    number = device.index

    def stream() -> int:
        return int(torch.cuda.current_stream(number).cuda_stream)

    try:
        fused = FusedRotary(DriverDevice(number), stream)
        _compare(fused, model, device)
    except (GpuError, GpuUnavailableError) as error:
        _log.warning("rotary positions run in PyTorch, more slowly: %s", error)
        return False
    use(model, fused)
    return True


def use(model: MAST3R, fused: FusedRotary) -> None:
    """Put the kernel into every attention of a network."""
    for module in model.modules():
        if isinstance(module, SelfAttention | CrossAttention):
            module.rotate = fused


def _compare(fused: FusedRotary, model: MAST3R, device: torch.device) -> None:
    """Compile the kernel, and compare it with PyTorch on a small example.

    Raises:
        GpuUnavailableError: the results differ.
    """
    dtype = model.decoder_embed.weight.dtype
    tables = rotary_tables((3, 4), 16, 100.0, device, dtype)
    x = torch.linspace(-2, 2, 2 * 12 * 3 * 2 * 16, device=device).reshape(2, 12, 3, 2, 16)
    query, key = x.to(dtype).unbind(2)[:2]
    expected = rotate_both(query, key, *tables)
    found = fused(query, key, *tables)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    limit = 4 * torch.finfo(dtype).eps * 2
    for mine, theirs in zip(found, expected, strict=True):
        if not (mine.float() - theirs.float()).abs().max() <= limit:
            raise GpuUnavailableError(
                "rotary positions: the kernel's differ from PyTorch's; please report the GPU's "
                "model and its driver's version"
            )
