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

# Dense peaks: fp16 with float32 sums, TF32 [TFLOP/s]; memory [GB/s]; where they come from. Those of
# an Orin follow from its processors (SM) and clock: 2,048 operations in fp16 a clock and SM, as AGX
# Orin's 170 sparse TOPS in int8 say, of which dense fp16 is a quarter.
_BRIEF = "[technical brief](http://mzph.cn/web/30785.shtml)"
DEVICES = (
    (
        *("Orin Nano 8 GB", 16.7, 8.4, 102.0),
        "8 SM at 1.02 GHz, 102 GB/s in mode MAXN SUPER: [description](https://www.brojogopalsapui.com"
        "/ai-foundations/sub_contents/AI_hardware/jetson_orin_nano_light.html)",
    ),
    (
        *("Orin NX 16 GB", 15.0, 7.5, 102.0),
        "8 SM at 918 MHz: [device query](https://gist.github.com/atinfinity"
        "/8cede915acda05d0ff427c09604735dd); no page found for the bandwidth",
    ),
    (
        *("AGX Orin 64 GB", 42.5, 21.3, 205.0),
        f"16 SM, 170 sparse TOPS in int8: {_BRIEF}, in Chinese; no page found for the bandwidth",
    ),
    (
        *("Thor T5000", 258.0, 129.0, 273.0),
        "fp16: [table](https://huggingface.co/hardware/jetson-t5000); TF32 taken to be half of it; "
        "no page found for the bandwidth",
    ),
    (
        *("RTX 4070", 58.3, 29.1, 504.0),
        "46 SM at 2,475 MHz, 504 GB/s: [table](https://www.thefpsreview.com/gpu-family"
        "/nvidia-geforce-rtx-4070-gpu-family-specifications); 512 operations a clock and SM with "
        "float32 sums: no page found",
    ),
    (
        *("H100 SXM", 989.0, 495.0, 3350.0),
        "[table](https://glennklockwood.com/garden/processors/h100)",
    ),
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
    for name, half, single, memory, _ in DEVICES:
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
    page += [
        "",
        "| device | fp16 [TFLOP/s] | TF32 | memory [GB/s] | source |",
        "|---|---|---|---|---|",
        *(f"| {name} | {a:g} | {b:g} | {c:g} | {source} |" for name, a, b, c, source in DEVICES),
    ]
    return page


def main() -> None:
    """Print the tables."""
    print("\n".join(lines()))


if __name__ == "__main__":
    main()
