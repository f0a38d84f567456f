# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a network makes of a few held-out pairs, to look at."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mast3r_ros.network.mast3r import MAST3R
from mast3r_ros.training.ground_truth import Batch
from mast3r_ros.training.validation import probe
from mast3r_ros.training.worlds.sheet import draw_depth

_ZOOM = 2
_GOOD = 2.0  # a match nearer to the truth than this is drawn green [px]


def draw(model: MAST3R, batch: Batch, count: int = 6) -> NDArray[np.uint8]:
    """Rows of reference and query with matches, true and predicted depth (RGB).

    Args:
        model: the network, on the device of `batch`.
        batch: pairs with their truth.
        count: rows, of the batch's first pairs.
    """
    with torch.no_grad():
        found = probe(model, batch)
    rows = []
    for i in range(min(count, batch.images.shape[1])):
        colors = (batch.images[:, i, :3] / 2 + 0.5).clamp(0, 1).mul(255).byte().cpu().numpy()
        views = np.concatenate(list(colors.transpose(0, 2, 3, 1)), axis=1)
        depths = [batch.depth[0, i], found.points[i, ..., 2]]
        drawn = [draw_depth(depth.cpu().numpy()) for depth in depths]
        row = np.concatenate([views, *drawn], axis=1).repeat(_ZOOM, 0).repeat(_ZOOM, 1)
        own = (found.pair == i).nonzero().flatten().cpu()[::4]
        for k in own.tolist():
            good = float(found.distances[k]) <= _GOOD
            ends = []
            for view, pixel in enumerate((int(found.reference[k]), int(found.query[k]))):
                width = colors.shape[-1]
                x, y = pixel % width + view * width, pixel // width
                ends.append((_ZOOM * x, _ZOOM * y))
            color = (60, 220, 60) if good else (230, 60, 60)
            cv2.line(row, ends[0], ends[1], color, 1, cv2.LINE_AA)
        rows.append(row)
    return np.concatenate(rows)
