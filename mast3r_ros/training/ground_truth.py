# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What is true of a batch of rendered pairs: points in the reference frame, and correspondences."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# A point is the same surface where its depths in the two views agree this well.
_DEPTH_TOLERANCE = 0.02


@dataclass(frozen=True)
class Batch:
    """Pairs as the network takes them, with their truth; all images of one size.

    Attributes:
        images: (2, B, C, H, W) float32, references then queries, as the network takes them.
        depth: (2, B, H, W) float32, z [m], NaN where there is nothing.
        intrinsics: (2, B, 4) float32: fx, fy, cx, cy [px].
        relative: (B, 4, 4) float32, reference <- query.
        changed: (2, B, H, W) bool, where something is seen that was moved between the views.
        overlap: (B,) float32.
    """

    images: Tensor
    depth: Tensor
    intrinsics: Tensor
    relative: Tensor
    changed: Tensor
    overlap: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(**{k: v.to(device, non_blocking=True) for k, v in vars(self).items()})

    def pin_memory(self) -> Batch:
        """The same in memory that a GPU can read by itself; the loader asks for it."""
        return Batch(**{k: v.pin_memory() for k, v in vars(self).items()})


@dataclass(frozen=True)
class Correspondences:
    """Pixels that see the same point, as flat indices.

    Attributes:
        reference, query: (M,) int64 flat pixel indices y * W + x.
        pair: (M,) int64, the pair in the batch, ascending.
    """

    reference: Tensor
    query: Tensor
    pair: Tensor


def unproject(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """(B, H, W) depths and (B, 4) intrinsics -> (B, H, W, 3) [m] in the camera's own frame."""
    height, width = depth.shape[1:]
    fx, fy, cx, cy = (value[:, None, None] for value in intrinsics.unbind(-1))
    x = (torch.arange(width, device=depth.device) - cx) / fx
    y = (torch.arange(height, device=depth.device)[:, None] - cy) / fy
    return torch.stack((x * depth, y * depth, depth), dim=-1)


def transform(poses: Tensor, points: Tensor) -> Tensor:
    """(B, 4, 4) poses a <- b applied to (B, H, W, 3) points in b."""
    rotated = torch.einsum("bij,bhwj->bhwi", poses[:, :3, :3], points)
    return rotated + poses[:, None, None, :3, 3]


def reference_points(batch: Batch) -> tuple[Tensor, Tensor]:
    """Both views' points (B, H, W, 3) [m] in the reference camera's frame, NaN without depth."""
    own = [unproject(*view) for view in zip(batch.depth, batch.intrinsics, strict=True)]
    return own[0], transform(batch.relative, own[1])


def correspondences(batch: Batch) -> Correspondences:
    """All pixels that are each other's in the truth (reciprocal, arXiv 2406.09756 section 3.2).

    A pixel's point is projected into the other view and rounded to a pixel there, and must come
    back to where it began; both depths have to agree. Hence no more than half a pixel of rounding,
    and the pairs are one to one. What was moved between the views has no correspondence: a picture
    hung elsewhere on its wall would match the bare wall.
    """
    count, height, width = batch.depth.shape[1:]
    there = _projected(batch.depth, batch.intrinsics, batch.relative.inverse(), 0)
    back = _projected(batch.depth, batch.intrinsics, batch.relative, 1)
    reference = torch.arange(height * width, device=there.device).expand(count, -1)
    found = there >= 0
    returned = back.gather(1, there.clamp(min=0))
    moved = batch.changed.flatten(2)
    mutual = found & (returned == reference) & ~moved[0] & ~moved[1].gather(1, there.clamp(min=0))
    pair, pixel = mutual.nonzero(as_tuple=True)
    return Correspondences(pixel, there[pair, pixel], pair)


def _projected(depth: Tensor, intrinsics: Tensor, pose: Tensor, view: int) -> Tensor:
    """(B, H W): for each pixel of `view` the flat pixel of the other view, -1 where unseen.

    Args:
        depth, intrinsics: of both views, as in `Batch`.
        pose: (B, 4, 4), other view <- view.
        view: 0 or 1.
    """
    height, width = depth.shape[2:]
    points = transform(pose, unproject(depth[view], intrinsics[view])).flatten(1, 2)
    fx, fy, cx, cy = (value[:, None] for value in intrinsics[1 - view].unbind(-1))
    x, y, z = points.unbind(-1)
    # NaN, where a pixel has no depth, fails every comparison.
    in_front = z > 1e-3
    columns = torch.where(in_front, fx * x / z + cx, torch.nan).round()
    rows = torch.where(in_front, fy * y / z + cy, torch.nan).round()
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    index = torch.where(inside, rows * width + columns, 0).long()
    seen = depth[1 - view].flatten(1).gather(1, index)
    # A slanted surface changes its depth within the pixel that the projection was rounded to.
    return torch.where(inside & ((seen - z).abs() < _DEPTH_TOLERANCE * z), index, -1)
