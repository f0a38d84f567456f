# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Arithmetic and memory traffic of the network by stage, counted on the code itself.

Every operation of the network runs on the meta device, where it computes nothing, and is counted:
multiplications and additions by torch's counter, bytes as what each operation reads and writes.
The times are what a device would need at 60 % of its peaks: arithmetic, not measurements.

    python -m bench roofline
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from mast3r_ros.common.size import ImageSize
from mast3r_ros.network.config import MAST3RConfig
from mast3r_ros.network.mast3r import MAST3R

SIZE = ImageSize(512, 384)
_USED = 0.6  # of the peaks
_FREE = {"view", "expand", "transpose", "permute", "unflatten", "t", "slice", "select", "unsqueeze"}

# Dense peaks as their makers state them: fp16 with float32 sums, TF32 [TFLOP/s], memory [GB/s].
DEVICES = (
    ("Orin Nano 8 GB", 17.0, 8.5, 102.0),
    ("Orin NX 16 GB", 25.0, 12.5, 102.0),
    ("AGX Orin 64 GB", 42.5, 21.0, 205.0),
    ("Thor T5000", 258.0, 129.0, 273.0),
    ("RTX 4070", 58.0, 29.0, 504.0),
    ("H100 SXM", 989.0, 495.0, 3350.0),
)


@dataclass(frozen=True)
class Cost:
    """Of one stage: multiplications and additions, and bytes read and written."""

    flops: float
    bytes: float

    def seconds(self, tflops: float, gigabytes: float) -> float:
        """What a device needs that reaches `_USED` of both peaks."""
        return max(self.flops / (_USED * tflops * 1e12), self.bytes / (_USED * gigabytes * 1e9))


class _Traffic(TorchDispatchMode):
    """Bytes that operations read and write, views left out."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__.strip("_") not in _FREE:
            self.bytes += sum(
                leaf.numel() * leaf.element_size()
                for leaf in tree_leaves((args, kwargs, out))
                if isinstance(leaf, torch.Tensor)
            )
        return out


def count(work: Callable[[], object]) -> Cost:
    """The cost of what `work` runs on the meta device."""
    counter, traffic = FlopCounterMode(display=False), _Traffic()
    with torch.inference_mode(), counter:
        work()
    with torch.inference_mode(), traffic:
        work()
    return Cost(float(counter.get_total_flops()), float(traffic.bytes))


def stages(config: MAST3RConfig, size: ImageSize, batch: int) -> dict[str, Cost]:
    """The cost of an image's encoder, and of `batch` pairs by stage, in half precision."""
    with torch.device("meta"):
        model = MAST3R(config).eval().set_precision(torch.float16)
        images = torch.empty(1, config.input_channels, *size.shape)
        rows, columns = config.grid(size)
        tokens = torch.empty(batch, rows * columns, config.encoder_width, dtype=torch.float16)
        level = torch.empty(batch, rows * columns, config.decoder_width)
    heads, grid = (model.downstream_head1, model.downstream_head2), config.grid(size)
    levels = [level if i else tokens for i in config.point_levels]
    return {
        "encoder": count(lambda: model.encode(images)),
        "decoder": count(lambda: model.decoder_levels(tokens, tokens, size, size)),
        "descriptors": count(lambda: [head.descriptors(tokens, level, grid) for head in heads]),
        "points": count(lambda: model.points(levels, size)),
    }


def lines(config: MAST3RConfig | None = None, size: ImageSize = SIZE) -> list[str]:
    """The page's tables."""
    config = config or MAST3RConfig()
    alone = stages(config, size, 1)
    page = [
        f"One image, one pair, {size}:",
        "",
        "| stage | TFLOP | GB moved, every operation alone |",
        "|---|---|---|",
        *(f"| {name} | {c.flops / 1e12:.3f} | {c.bytes / 1e9:.2f} |" for name, c in alone.items()),
        "",
        "A query against K keyframes, one of which matched, in ms. Before: points of all K, and "
        "all heads in TF32. After: points of one, heads in half precision.",
        "",
        "| device | K = 1 before | after | K = 2 before | after | K = 8 before | after |",
        "|---|---|---|---|---|---|---|",
    ]
    by_batch = {k: stages(config, size, k) for k in (1, 2, 8)}
    for name, half, single, memory in DEVICES:
        cells = [name]
        for cost in by_batch.values():
            backbone = sum(cost[s].seconds(half, memory) for s in ("encoder", "decoder"))
            before = [cost[s].seconds(single, memory) for s in ("descriptors", "points")]
            after = [
                cost["descriptors"].seconds(half, memory),
                alone["points"].seconds(half, memory),
            ]
            cells += [f"{1e3 * (backbone + sum(heads)):.0f}" for heads in (before, after)]
        page.append(f"| {' | '.join(cells)} |")
    return page


def main() -> None:
    """Print the tables."""
    print("\n".join(lines()))


if __name__ == "__main__":
    main()
