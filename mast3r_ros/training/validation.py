# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How good a network is on rooms and textures that it never saw: a few figures, quickly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mast3r_ros.common.size import ImageSize
from mast3r_ros.network.mast3r import MAST3R
from mast3r_ros.training.data import Pairs, collate
from mast3r_ros.training.ground_truth import Batch, correspondences
from mast3r_ros.training.recipes import Recipe

_PROBES = 128  # pixels of each pair whose nearest descriptor is looked up


def held_out(recipe: Recipe, seed: int, count: int, version: int) -> list[Batch]:
    """The same `count` pairs of a version of the worlds at every call, in batches."""
    last = recipe.curriculum[-1].first
    pairs = Pairs(recipe, seed, "held-out", (version,))
    numbers = range(last, last + count)
    return [
        collate([pairs[number, False] for number in numbers[i : i + 16]])
        for i in range(0, count, 16)
    ]


@dataclass(frozen=True)
class Probe:
    """What a network says of a batch, at a few pixels of each pair.

    Attributes:
        points: (B, H, W, 3) [m], the references' own.
        pair: (M,) the pair of each pixel probed.
        reference: (M,) flat pixel of the reference.
        query: (M,) flat pixel of the query whose descriptor is nearest.
        distances: (M,) from there to the true match [px].
    """

    points: Tensor
    pair: Tensor
    reference: Tensor
    query: Tensor
    distances: Tensor


def probe(model: MAST3R, batch: Batch) -> Probe:
    """Run the network on a batch, and look the nearest descriptors of some true matches up."""
    height, width = batch.images.shape[-2:]
    size = ImageSize(width, height)
    reference, query = (model.encode(images) for images in batch.images)
    decoded = model.decode(reference, query, size, size)
    points, _ = model.points(model.point_levels(reference, decoded.levels), size)
    first, second = decoded.reference.descriptors, decoded.query.descriptors
    found = correspondences(batch)
    probed, nearest = [], []
    for pair in range(len(points)):
        own = (found.pair == pair).nonzero().flatten()
        own = own[:: max(1, len(own) // _PROBES)]
        descriptors = first[pair].flatten(0, 1)[found.reference[own]]
        nearest.append((descriptors @ second[pair].flatten(0, 1).T).argmax(1))
        probed.append(own)
    chosen, there = torch.cat(probed), torch.cat(nearest)
    truth = found.query[chosen]
    x, y = there % width - truth % width, there // width - truth // width
    distances = torch.hypot(x.float(), y.float())
    return Probe(points, found.pair[chosen], found.reference[chosen], there, distances)


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
            found = probe(model, some)
            ratio = found.points[..., 2] / some.depth[0]
            scale = ratio.flatten(1).nanmedian(1).values
            distances.append(found.distances)
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
