# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How good a network is on rooms and textures that it never saw: a few figures, quickly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mast3r_ros.network.mast3r import MAST3R
from mast3r_ros.training.data import Pairs, collate
from mast3r_ros.training.ground_truth import Batch, correspondences, reference_points
from mast3r_ros.training.recipes import Recipe

_PROBES = 128  # pixels of each pair whose nearest descriptor is looked up


def held_out(recipe: Recipe, seed: int, count: int) -> list[Batch]:
    """The same `count` pairs at every call, in batches."""
    last = recipe.curriculum[-1].first
    pairs = Pairs(recipe, seed, "held-out")
    numbers = range(last, last + count)
    return [
        collate([pairs[number, False] for number in numbers[i : i + 16]])
        for i in range(0, count, 16)
    ]


def measure(model: MAST3R, batches: Sequence[Batch], device: torch.device) -> dict[str, float]:
    """Figures of the network on pairs with known truth.

    Returns:
        match error: median distance of a pixel's nearest descriptor from the true match [px];
        within 2 px: the share of those distances;
        depth error: median of |z / true z - 1|;
        scale: median of a view's median z / true z;
        shape error: the depth error once each view has its best scale.
    """
    distances, errors, scales, shapes = [], [], [], []
    with torch.no_grad():
        for batch in batches:
            some = batch.to(device)
            size = (some.images.shape[-2], some.images.shape[-1])
            tokens = [model.encode(images) for images in some.images]
            points, _, first, _, second, _ = model.decode_batch(*tokens, size, size, False)
            distances.append(_match_distances(some, first.flatten(1, 2), second.flatten(1, 2)))
            ratio = points[..., 2] / reference_points(some)[0][..., 2]
            scale = ratio.flatten(1).nanmedian(1).values
            errors.append((ratio - 1).abs().flatten())
            scales.append(scale)
            shapes.append((ratio / scale[:, None, None] - 1).abs().flatten())
    distance = torch.cat(distances)
    return {
        "match error": float(distance.median()),
        "within 2 px": float((distance <= 2).float().mean()),
        "depth error": float(torch.cat(errors).nanmedian()),
        "scale": float(torch.cat(scales).nanmedian()),
        "shape error": float(torch.cat(shapes).nanmedian()),
    }


def _match_distances(batch: Batch, reference: Tensor, query: Tensor) -> Tensor:
    """Distances [px] of nearest descriptors from the truth, for some pixels of each pair."""
    width = batch.images.shape[-1]
    found = correspondences(batch)
    out = []
    for pair in range(len(reference)):
        own = (found.pair == pair).nonzero().flatten()
        own = own[:: max(1, len(own) // _PROBES)]
        nearest = (reference[pair, found.reference[own]] @ query[pair].T).argmax(1)
        truth = found.query[own]
        out.append(
            torch.hypot(
                (nearest % width - truth % width).float(),
                (nearest // width - truth // width).float(),
            )
        )
    return torch.cat(out)
