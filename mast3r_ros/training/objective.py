# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One step's loss: the network on a batch of pairs, against their truth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mast3r_ros.common.size import ImageSize
from mast3r_ros.network.heads import ViewHead
from mast3r_ros.network.mast3r import MAST3R
from mast3r_ros.training import losses
from mast3r_ros.training.ground_truth import Batch, correspondences, reference_points
from mast3r_ros.training.recipes import Recipe
from mast3r_ros.training.sampling import draw


class Objective(nn.Module):
    """The network and its loss as one module, as distributed training wants it."""

    def __init__(self, model: MAST3R, recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss of a batch, under `loss`, and its parts by name."""
        recipe, model = self.recipe, self.model
        count, _, *size = batch.images.shape[1:]
        height, width = size
        image_size = ImageSize(width, height)
        encoded = model.encode(batch.images.flatten(0, 1)).chunk(2)
        levels = model.decoder_levels(encoded[0], encoded[1], image_size, image_size)
        heads = (model.downstream_head1, model.downstream_head2)
        grid = model.config.grid(image_size)

        errors, points_loss = [], torch.zeros((), device=batch.images.device)
        for head, tokens, level, truth in zip(
            heads, encoded, levels, reference_points(batch), strict=True
        ):
            # Three digits, as bfloat16 has them, are too few for meters.
            with torch.autocast(batch.images.device.type, enabled=False):
                points, confidence = head.points(model.point_levels(tokens, level), grid)
            known = truth.isfinite().all(-1)
            error = losses.point_errors(points, truth)
            errors.append((error * known).sum() / known.sum().clamp(min=1))
            points_loss = points_loss + losses.confident_loss(
                error, confidence, known, recipe.points_alpha
            )

        matches = draw(
            correspondences(batch),
            count,
            ImageSize(width, height),
            recipe.matches,
            recipe.near,
            generator,
        )
        features = [
            _features(head, tokens, level[-1], grid)
            for head, tokens, level in zip(heads, encoded, levels, strict=True)
        ]
        reference = _pick(features[0], matches.reference)
        query, near = _pick(features[1], matches.query), _pick(features[1], matches.near)
        each = losses.match_losses(
            losses.unit(reference[..., :-1]),
            losses.unit(query[..., :-1]),
            losses.unit(near[..., :-1]),
            matches,
            recipe.temperature,
        )
        match_loss = losses.match_loss(each, matches.true)
        raw = torch.stack((reference[..., -1], query[..., -1]))
        confidence_loss = losses.match_confidence_loss(each, raw)
        total = points_loss / 2 + recipe.match_weight * (match_loss + 0.1 * confidence_loss)
        return {
            "loss": total,
            "points/reference": errors[0],
            "points/query": errors[1],
            "points/weighted": points_loss / 2,
            "match/loss": match_loss,
            "match/confidence": confidence_loss,
        }


def _features(head: ViewHead, encoded: Tensor, last: Tensor, grid: tuple[int, int]) -> Tensor:
    """The local features before their activation, as (B, H W, D + 1) float32.

    Only those drawn are normalized: over all pixels it would take an eighth of a step.
    """
    return head.local_features(encoded, last, grid).flatten(1, 2).float()


def _pick(features: Tensor, pixels: Tensor) -> Tensor:
    """(B, P, C) at the flat pixels (B, ...) -> (B, ..., C)."""
    index = pixels.flatten(1)[..., None].expand(-1, -1, features.shape[-1])
    return features.gather(1, index).reshape(*pixels.shape, -1)
