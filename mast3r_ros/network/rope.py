# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding in two dimensions (RoPE, arXiv 2104.09864, applied by axis).

A head's channels are halved: the first half turns with the token's row, the second with its column.
Inside a half of D channels, channel i is paired with i + D/2 and the pair is turned by
position x base^(-2i/D).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor


class RotaryTable(NamedTuple):
    """Cosines and signed sines of a token grid, (1, N, 1, head width)."""

    cos: Tensor
    sin: Tensor


class RotaryTables(NamedTuple):
    """The tables of queries and of keys; the queries' holds the scale of the attention too."""

    query: RotaryTable
    key: RotaryTable


@lru_cache(maxsize=64)
def rotary_tables(
    grid: tuple[int, int],
    head_width: int,
    base: float,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> RotaryTables:
    """The tables of a (rows, columns) grid of row-major tokens.

    Angles are computed in float64: in half precision those of far tokens would be wrong. Their
    cosines and sines are stored in the type of the tokens that they turn, so that a half-precision
    attention has no float32 in it. The queries' table is multiplied by 1 / sqrt(head width), which
    saves the attention a pass over its operands. The results are shared: do not write to them.
    """
    rows, columns = grid
    half = head_width // 2
    with torch.inference_mode(False), torch.no_grad():
        exponents = torch.arange(0, half, 2, dtype=torch.float64) / half
        frequencies = (base**-exponents).repeat(2)
        y = torch.arange(rows, dtype=torch.float64).repeat_interleave(columns)
        x = torch.arange(columns, dtype=torch.float64).repeat(rows)
        angles = torch.cat((y[:, None] * frequencies, x[:, None] * frequencies), dim=1)
        # The rotation of a pair (a, b) is (a cos - b sin, b cos + a sin): the sign of the first
        # member's sine is put into the table, so that applying it needs no negation.
        sign = torch.ones(half, dtype=torch.float64)
        sign[: half // 2] = -1
        sin = angles.sin() * sign.repeat(2)
        cos = angles.cos()
        scaled = (
            RotaryTable(*((s * x).to(device, dtype)[None, :, None] for x in (cos, sin)))
            for s in (head_width**-0.5, 1.0)
        )
        return RotaryTables(*scaled)


RotateBoth = Callable[[Tensor, Tensor, RotaryTable, RotaryTable], tuple[Tensor, Tensor]]
"""`rotate_both`, or what does the same faster."""


def rotate_both(
    query: Tensor, key: Tensor, query_table: RotaryTable, key_table: RotaryTable
) -> tuple[Tensor, Tensor]:
    """Turn queries and keys (B, N, heads, head width), each by its own table."""
    return rotate(query, query_table), rotate(key, key_table)


def rotate(x: Tensor, table: RotaryTable) -> Tensor:
    """Turn queries or keys (B, N, heads, head width) by their positions; the type is kept."""
    a, b, c, d = x.chunk(4, dim=-1)
    swapped = torch.cat((b, a, d, c), dim=-1)
    return (x * table.cos + swapped * table.sin).to(x.dtype)
