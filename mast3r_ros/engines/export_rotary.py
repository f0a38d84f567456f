# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rotary positions as ONNX's RotaryEmbedding, which TensorRT has as a layer from 10.15 on.

It turns channel i of a head with channel i + D/2. Ours turns within each half of a head, by rows in
the first and by columns in the second. With the middle quarters of each head exchanged, in the
weights of queries and of keys alike, the two are the same, and so are the products of attention.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mast3r_ros.network.blocks import CrossAttention, SelfAttention
from mast3r_ros.network.mast3r import MAST3R
from mast3r_ros.network.rope import RotaryTable

OPSET = 23  # the first that has it
TENSORRT = (10, 15)  # likewise


def use_rotary_layer(model: MAST3R) -> None:
    """Prepare a network for an export with RotaryEmbedding nodes, and for nothing but that."""
    for module in model.modules():
        if isinstance(module, SelfAttention):
            _exchange(module.qkv, module.heads, 2)
            module.rotate = _rotate_both
        elif isinstance(module, CrossAttention):
            _exchange(module.projq, module.heads, 1)
            _exchange(module.projk, module.heads, 1)
            module.rotate = _rotate_both


def _exchange(layer: nn.Linear, heads: int, parts: int) -> None:
    """Exchange the middle quarters of each head in the first `parts` x heads of a layer's rows."""
    count = parts * layer.in_features if layer.out_features != layer.in_features else None
    with torch.no_grad():
        for values in (layer.weight, layer.bias):
            rows = values[:count]
            quarters = rows.reshape(parts * heads, 4, -1, *rows.shape[1:])
            rows.copy_(quarters[:, [0, 2, 1, 3]].reshape(rows.shape))


def _rotate_both(
    query: Tensor, key: Tensor, query_table: RotaryTable, key_table: RotaryTable
) -> tuple[Tensor, Tensor]:
    return _rotate(query, query_table), _rotate(key, key_table)


def _rotate(x: Tensor, table: RotaryTable) -> Tensor:
    """Turn (B, N, heads, D), whose tables are the same for all of a batch.

    The layer wants tables as long as the batch: so a batch goes in as more heads.
    """
    _, tokens, heads, width = x.shape
    cos, sin = (_half(values) for values in table)
    one = x.transpose(1, 2).reshape(1, -1, tokens, width)
    turned: Tensor = torch.onnx.ops.rotary_embedding(one, cos, sin)
    return turned.reshape(-1, heads, tokens, width).transpose(1, 2)


def _half(values: Tensor) -> Tensor:
    """(1, N, 1, D) -> (1, N, D/2): the second member of each pair, whose sine is not negated."""
    quarters = values[:, :, 0].chunk(4, dim=-1)
    return torch.cat((quarters[1], quarters[3]), dim=-1)
