# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the engines take of a GPU's memory, computed before anything is built.

Weights are counted on the network itself and compared with plans that TensorRT for RTX builds,
inputs and outputs from its sizes. The scratch memory of TensorRT's contexts is an upper bound by
the largest layers. It is arithmetic: no GPU was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import Precision
from mast3r_ros.network.config import MAST3RConfig

_GB = 1e9
# CUDA's context, TensorRT's library and kernels, and the node itself where memory is shared.
_RUNTIME = 0.6 * _GB
# A plan holds more than its weights. Of the published network in fp16, TensorRT for RTX 1.7 builds
# (SM89, 512x384, no GPU) an encoder 2.1 % larger, a decoder 2.9 %, a point head 5.7 %.
_PLAN_OVERHEAD = 1.06
# Live at once in a transformer block: the stream in float32, its norm, the widest layer, and its
# product; in a point head, the finest maps.
_LIVE_MAPS = 3

# (name, memory [GB], what the system and its desktop take of it where it is shared [GB])
DEVICES = (
    ("Orin 8 GB", 8.0, 2.5),
    ("Orin 16 GB", 16.0, 3.0),
    ("Orin 32 GB", 32.0, 3.5),
    ("AGX Orin 64 GB", 64.0, 4.0),
    ("card of 8 GB", 8.0, 0.5),
    ("card of 24 GB", 24.0, 0.5),
)


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of a GPU's memory, for `batch` pairs of one size and `point_maps` point maps.

    Attributes:
        weights: of the three engines, as their plans hold them.
        buffers: inputs and outputs of the engines, matcher's copies included.
        scratch: what the largest engine works in; all share it.
        runtime: libraries.
    """

    weights: int
    buffers: int
    scratch: int
    runtime: int

    @property
    def total(self) -> int:
        """All together."""
        return self.weights + self.buffers + self.scratch + self.runtime

    def __str__(self) -> str:
        parts = (
            f"{name} {getattr(self, name) / _GB:.2f}"
            for name in ("weights", "buffers", "scratch", "runtime")
        )
        return f"{self.total / _GB:.2f} GB ({', '.join(parts)})"


def memory_plan(
    config: MAST3RConfig,
    sizes: Sequence[ImageSize],
    precision: Precision,
    batch: int,
    point_maps: int = 2,
    cuda_graphs: bool = False,
) -> MemoryPlan:
    """The memory of the engines of some sizes, each decoded against itself.

    Args:
        config: the network's sizes.
        sizes: image sizes; every one has three engines with weights of their own.
        precision: of products and convolutions.
        batch: most pairs at once.
        point_maps: most point maps at once.
        cuda_graphs: graphs keep inputs and outputs of batches of 1, 2, 4, 8 ... .
    """
    item = 4 if precision == "fp32" else 2
    weights = int(_PLAN_OVERHEAD * sum(parameters(config).values()) * item * len(sizes))
    largest = max(sizes, key=lambda size: size.width * size.height)
    rows, columns = config.grid(largest)
    tokens, pixels = rows * columns, largest.width * largest.height
    levels = sum(1 for level in config.point_levels if level)
    pair = (
        2 * tokens * config.encoder_width * item  # tokens, in
        + 2 * pixels * (config.descriptor_size + 1) * 4  # descriptors and confidence, out
        + 2 * pixels * config.descriptor_size * 4  # packed for the matcher
        + levels * tokens * config.decoder_width * (2 if precision == "fp16" else 4)
    )
    point_map = pixels * 4 * 4 + tokens * config.encoder_width * item
    copies = 3 if cuda_graphs else 1  # 8 + 4 + 2 + 1 pairs in graphs, and 8 of the caller's
    buffers = copies * (batch * pair + min(point_maps, batch) * point_map)
    return MemoryPlan(
        weights, buffers, _scratch(config, largest, item, batch, point_maps), int(_RUNTIME)
    )


def parameters(config: MAST3RConfig) -> dict[str, int]:
    """Parameters of the three graphs, by name: what their files weigh in units of an item."""
    e, d = config.encoder_width, config.decoder_width
    patch = config.patch_size**2
    encoder = (
        config.input_channels * patch * e
        + e
        + config.encoder_depth * (_attention(e) + _mlp(e) + 4 * e)
        + 2 * e
    )
    block = 2 * _attention(d) + _mlp(d) + 8 * d
    wide = e + d
    hidden = config.local_features_ratio * wide
    features = hidden * (wide + 1) + (hidden + 1) * (config.descriptor_size + 1) * patch
    decoder = e * d + d + 2 * (config.decoder_depth * block + features) + 2 * d
    return {"encoder": encoder, "decoder": decoder, "points": _point_head(config)}


def _attention(width: int) -> int:
    return 4 * width * width + 4 * width


def _mlp(width: int) -> int:
    return 8 * width * width + 5 * width


def _point_head(config: MAST3RConfig) -> int:
    d = config.decoder_width
    if config.head == "linear":
        return (d + 1) * 4 * config.patch_size**2
    widths = (config.encoder_width, d, d, d)
    a, b, c, last = config.dpt_level_channels
    f, o = config.dpt_channels, config.dpt_last_channels
    levels = sum((w + 1) * n for w, n in zip(widths, (a, b, c, last), strict=True))
    resampling = (16 * a + 1) * a + (4 * b + 1) * b + (9 * last + 1) * last
    pyramid = 9 * f * (a + b + c + last)
    unit = 2 * (9 * f + 1) * f
    fusion = 7 * unit + 4 * (f + 1) * f  # the coarsest step uses one of its two units
    head = (9 * f + 1) * o + (9 * o + 1) * o + (o + 1) * 4
    return levels + resampling + pyramid + fusion + head


def _scratch(config: MAST3RConfig, size: ImageSize, item: int, batch: int, point_maps: int) -> int:
    """The largest of what the three engines work in."""
    rows, columns = config.grid(size)
    tokens, pixels = rows * columns, size.width * size.height

    def transformer(width: int, heads: int, streams: int) -> int:
        # An attention that is not fused holds its scores; a fused one does not.
        scores = heads * tokens * tokens * item
        return streams * tokens * width * (2 * 4 + (4 + 3) * item) + scores

    wide = config.encoder_width + config.decoder_width
    features = tokens * wide * (1 + config.local_features_ratio) * item
    features += pixels * (config.descriptor_size + 1) * (item + 4)
    encoder = transformer(config.encoder_width, config.encoder_heads, 1)
    decoder = max(transformer(config.decoder_width, config.decoder_heads, 2), 2 * features)
    points = _LIVE_MAPS * pixels * config.dpt_last_channels * item + pixels * 4 * 4
    return max(encoder, batch * decoder, min(point_maps, batch) * points)


def fitting(
    config: MAST3RConfig, size: ImageSize, precision: Precision, free: float
) -> tuple[int, MemoryPlan] | None:
    """The largest batch of 8, 4, 2 and 1 that fits `free` bytes, and its plan; None without one."""
    for batch in (8, 4, 2, 1):
        plan = memory_plan(config, [size], precision, batch)
        if plan.total <= free:
            return batch, plan
    return None


def plan_table(config: MAST3RConfig, size: ImageSize, precision: Precision) -> list[str]:
    """A line for each usual device: whether the engines fit, and with which batch."""
    lines = []
    for name, memory, taken in DEVICES:
        found = fitting(config, size, precision, (memory - taken) * _GB)
        if found is None:
            least = memory_plan(config, [size], precision, 1)
            lines.append(f"{name}: does not fit {size} in {precision}; needs {least}")
        else:
            batch, plan = found
            lines.append(f"{name}: fits {size} in {precision} with --batch {batch}: {plan}")
    return lines
