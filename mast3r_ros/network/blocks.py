# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Transformer blocks of the encoder and of the two decoders (pre-norm, arXiv 2010.11929).

The stream of tokens and its LayerNorms stay in float32; the matrix products run in the type of
their weights (float32, or the half precision of the backbone). That costs little memory traffic and
takes away the usual cause of drift in half precision.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mast3r_ros.network.rope import RotaryTables, RotateBoth, rotate_both

EPS = 1e-6


def layer_norm(width: int) -> nn.LayerNorm:
    """LayerNorm as the published network has it."""
    return nn.LayerNorm(width, eps=EPS)


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend, (B, N, heads, D) to (B, M, heads, D) -> (B, N, heads x D).

    Queries come scaled (see `rotary_tables`).
    """
    query, value = query.transpose(1, 2), value.transpose(1, 2)
    if torch.compiler.is_exporting():
        # The pattern that TensorRT fuses: two products and a softmax, one transpose an operand.
        out = (query @ key.permute(0, 2, 3, 1)).softmax(dim=-1) @ value
    else:
        out = F.scaled_dot_product_attention(query, key.transpose(1, 2), value, scale=1.0)
    return out.transpose(1, 2).flatten(2)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, heads x D) -> (B, N, heads, D)."""
    return torch.unflatten(x, -1, (heads, -1))


class Mlp(nn.Module):
    """Two linear layers with an exact (erf) GELU between them."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., out), in the type of the weights."""
        y: Tensor = self.fc2(F.gelu(self.fc1(x.to(self.fc1.weight.dtype))))
        return y


class SelfAttention(nn.Module):
    """Multi-head attention of tokens among themselves, with rotary positions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.rotate: RotateBoth = rotate_both
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, tables: RotaryTables) -> Tensor:
        """(B, N, width) -> (B, N, width)."""
        parts = self.qkv(x.to(self.qkv.weight.dtype)).chunk(3, dim=-1)
        query, key, value = (split_heads(part, self.heads) for part in parts)
        query, key = self.rotate(query, key, tables.query, tables.key)
        out: Tensor = self.proj(attention(query, key, value))
        return out


class CrossAttention(nn.Module):
    """Multi-head attention of one view's tokens to the other's; each has its own positions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.rotate: RotateBoth = rotate_both
        self.projq = nn.Linear(width, width)
        self.projk = nn.Linear(width, width)
        self.projv = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(
        self, x: Tensor, y: Tensor, x_tables: RotaryTables, y_tables: RotaryTables
    ) -> Tensor:
        """x (B, N, width) looks at y (B, M, width); the answer has x's shape."""
        dtype = self.projq.weight.dtype
        x, y = x.to(dtype), y.to(dtype)
        query = split_heads(self.projq(x), self.heads)
        key = split_heads(self.projk(y), self.heads)
        value = split_heads(self.projv(y), self.heads)
        query, key = self.rotate(query, key, x_tables.query, y_tables.key)
        out: Tensor = self.proj(attention(query, key, value))
        return out


class EncoderBlock(nn.Module):
    """Self-attention and MLP, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = layer_norm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = layer_norm(width)
        self.mlp = Mlp(width, 4 * width, width)

    def forward(self, x: Tensor, tables: RotaryTables) -> Tensor:
        """(B, N, width) float32 -> the same."""
        x = x + self.attn(self.norm1(x), tables)
        x = x + self.mlp(self.norm2(x))
        return x


class DecoderBlock(nn.Module):
    """Self-attention, attention to the other view's previous level, and MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = layer_norm(width)
        self.attn = SelfAttention(width, heads)
        self.cross_attn = CrossAttention(width, heads)
        self.norm2 = layer_norm(width)
        self.norm3 = layer_norm(width)
        self.mlp = Mlp(width, 4 * width, width)
        self.norm_y = layer_norm(width)

    def forward(
        self, x: Tensor, y: Tensor, x_tables: RotaryTables, y_tables: RotaryTables
    ) -> Tensor:
        """x (B, N, width) and the other view's y (B, M, width), float32 -> x's next level."""
        x = x + self.attn(self.norm1(x), x_tables)
        x = x + self.cross_attn(self.norm2(x), self.norm_y(y), x_tables, y_tables)
        x = x + self.mlp(self.norm3(x))
        return x
