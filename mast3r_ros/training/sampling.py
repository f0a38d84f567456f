# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which pixels the matching loss looks at."""

from __future__ import annotations

import torch
from torch import Tensor

from mast3r_ros.common.size import ImageSize
from mast3r_ros.training.ground_truth import Correspondences
from mast3r_ros.training.losses import Matches

# Of the pixels drawn, those that see nothing of the other view.
_MISMATCHES = 0.125
# Where the pixels beside a match lie [px].
_NEAR = (2.0, 7.0)


def draw(
    found: Correspondences,
    batch: int,
    size: ImageSize,
    count: int,
    near: int,
    generator: torch.Generator,
) -> Matches:
    """Draw `count` pixels a pair: true matches with repetition, and some mismatches.

    Args:
        found: every correspondence of the batch.
        batch: number of pairs.
        size: of the images.
        count: pixels drawn from each pair. All are mismatches where a pair has no correspondence.
        near: pixels of the query drawn beside each.
        generator: of the random numbers, on the device of `found`.
    """
    device = found.pair.device
    pixels = size.width * size.height

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    per_pair = torch.bincount(found.pair, minlength=batch)[:, None]
    first = per_pair.cumsum(0) - per_pair
    wanted = torch.arange(count, device=device) >= round(_MISMATCHES * count)
    true = wanted & (per_pair > 0)
    chosen = first + (uniform(batch, count) * per_pair).long().clamp(max=per_pair - 1)
    chosen = chosen.clamp(min=0, max=max(len(found.pair) - 1, 0))
    # Pixels without a correspondence come first in this order of random numbers.
    drawn = []
    for matched in (found.reference, found.query):
        order = uniform(batch, pixels)
        order[found.pair, matched] += 1
        alone = order.topk(count, dim=1, largest=False).indices
        drawn.append(torch.where(true, matched[chosen], alone) if len(matched) else alone)
    beside = _beside(drawn[1], size, uniform(2, batch, count, near))
    return Matches(drawn[0], drawn[1], true, *beside)


def _beside(center: Tensor, size: ImageSize, random: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels in a ring about each center (B, N) -> (B, N, K), and whether they lie off it."""
    angle = 2 * torch.pi * random[0]
    radius = _NEAR[0] + (_NEAR[1] - _NEAR[0]) * random[1]
    x, y = (center % size.width)[..., None], (center // size.width)[..., None]
    # At the border the ring is pushed back into the image, maybe onto the match itself.
    column = (x + radius * angle.cos()).round().clamp(0, size.width - 1).long()
    row = (y + radius * angle.sin()).round().clamp(0, size.height - 1).long()
    off = (column - x).square() + (row - y).square() >= (_NEAR[0] - 0.5) ** 2
    return row * size.width + column, off
