# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What training minimizes: metric points with their confidence, and descriptors that match.

After DUSt3R (arXiv 2312.14132, section 3.3) and MASt3R (arXiv 2406.09756, sections 3.1 and 3.2),
with two departures that a small network needs; each is named where it is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def log_points(points: Tensor) -> Tensor:
    """Points (..., 3) [m] with their length d made log(1 + d): what the head put out before exp."""
    distance = torch.linalg.vector_norm(points, dim=-1, keepdim=True)
    scaled: Tensor = points * (distance.log1p() / distance.clamp(min=1e-6))
    return scaled


def point_errors(predicted: Tensor, truth: Tensor) -> Tensor:
    """How far points (..., 3) [m] are from the truth, each; 0 where the truth is unknown.

    A departure: meters are compared by their logarithm. An error of a meter would pin every
    confidence to its floor (alpha = 0.2 suits losses of about 0.2), and being 20 % wrong is as bad
    near as far. Against a loss in proportion to the truth it does not favor too short a guess.
    """
    known = truth.isfinite().all(-1)
    truth = torch.where(known[..., None], truth, predicted.detach())
    # The norm's own gradient at zero is not finite.
    squared = (log_points(predicted) - log_points(truth)).square().sum(-1)
    return torch.where(known, (squared + 1e-12).sqrt(), 0)


def confident_loss(errors: Tensor, confidence: Tensor, known: Tensor, alpha: float) -> Tensor:
    """The mean of confidence x error - alpha log confidence, over what is known (DUSt3R, eq. 4)."""
    loss = confidence * errors - alpha * confidence.log()
    return (loss * known).sum() / known.sum().clamp(min=1)


@dataclass(frozen=True)
class Matches:
    """Pixels drawn from each pair of a batch, as flat indices.

    Attributes:
        reference, query: (B, N) int64. Where `true`, they see the same point.
        true: (B, N) bool. The others see nothing of the other view, and serve as mismatches.
        near: (B, N, K) int64 pixels of the query a little beside each of `query`.
        near_wrong: (B, N, K) bool, which of them are not in fact the match itself.
    """

    reference: Tensor
    query: Tensor
    true: Tensor
    near: Tensor
    near_wrong: Tensor


def match_losses(
    reference: Tensor, query: Tensor, near: Tensor, matches: Matches, temperature: float
) -> Tensor:
    """InfoNCE in both directions for each match drawn (MASt3R, eq. 10).

    A departure: beside the other matches' pixels, each match competes against a few right beside
    its own. A small network would otherwise learn regions, not pixels.

    Args:
        reference, query: (B, N, D) unit descriptors at the pixels drawn.
        near: (B, N, K, D) unit descriptors at `matches.near`.
        matches: which of them are true.
        temperature: tau.

    Returns:
        (B, N): the mean of both directions [nats]; for a mismatch, what chance would give.
    """
    scores = reference @ query.transpose(1, 2) / temperature
    beside = torch.einsum("bnd,bnkd->bnk", reference, near) / temperature
    beside = beside.masked_fill(~matches.near_wrong, -torch.inf)
    own = scores.diagonal(dim1=1, dim2=2)
    forward = torch.cat((scores, beside), dim=2).logsumexp(2) - own
    backward = scores.logsumexp(1) - own
    chance = math.log(scores.shape[1])
    return torch.where(matches.true, (forward + backward) / 2, chance)


def match_loss(losses: Tensor, true: Tensor) -> Tensor:
    """The mean over the true matches."""
    return (losses * true).sum() / true.sum().clamp(min=1)


def match_confidence_loss(losses: Tensor, raw: Tensor) -> Tensor:
    """Teach the descriptors' confidence c = exp(raw) how bad a match is: c x loss - log c.

    A departure: the descriptors themselves do not feel it. Weighted by it, the hard matches, most
    of what there is at first, would be given up. Mismatches teach it what no match looks like.

    Args:
        losses: (B, N) of `match_losses`.
        raw: (2, B, N) the head's output before exp, at the pixels drawn.
    """
    joint = raw.mean(0)
    return (joint.exp() * losses.detach() - joint).mean()


def unit(descriptors: Tensor) -> Tensor:
    """Descriptors (..., D) made of length 1."""
    return F.normalize(descriptors, dim=-1)
