# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pairs as a picture: both views, their depth, and some true correspondences."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.overlap import seen_again
from mast3r_ros.training.worlds.views import Pair, View

_FAR = 8.0
# A point is the same where its depths in the two views agree this well.
_SAME_DEPTH = 0.02


def draw_pair(pair: Pair, lines: int = 12) -> NDArray[np.uint8]:
    """A row of four images (RGB): reference, query, and their depths."""
    images = np.concatenate([pair.reference.image, pair.query.image], 1)
    width = pair.reference.camera.width
    points, pixels = correspondences(pair, stride=max(4, width // 24))
    chosen = np.random.default_rng(0).permutation(len(points))[:lines]
    for i in chosen:
        hue = np.array([[[int(180 * i / len(points)), 255, 255]]], np.uint8)
        color = tuple(int(c) for c in cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0])
        ends = [tuple(np.rint(points[i]).astype(int).tolist())]
        ends.append(tuple(np.rint(pixels[i] + (width, 0)).astype(int).tolist()))
        cv2.line(images, ends[0], ends[1], color, 1, cv2.LINE_AA)
    depths = [draw_depth(view.depth) for view in (pair.reference, pair.query)]
    row = np.concatenate([images, *depths], 1)
    angle = np.rad2deg(transforms.rotation_angle(pair.reference.pose, pair.query.pose))
    far = transforms.distance(pair.reference.pose, pair.query.pose)
    text = f"{pair.overlap:.2f} {angle:.0f}deg {far:.2f}m"
    cv2.putText(row, text, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1, cv2.LINE_AA)
    return np.asarray(row, np.uint8)


def draw_depth(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Depth [m] in colors, near red, far blue, nothing black."""
    z = np.nan_to_num(depth, nan=_FAR)
    near = (255 * (1 - np.clip(z / _FAR, 0, 1))).astype(np.uint8)
    colors = cv2.applyColorMap(near, cv2.COLORMAP_TURBO)[..., ::-1]
    return np.where(np.isfinite(depth)[..., None], colors, 0).astype(np.uint8)


def correspondences(pair: Pair, stride: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels of the reference, and where the query sees the same points: (N, 2) each."""
    reference, query = pair.reference, pair.query
    v, u = np.mgrid[0 : reference.camera.height : stride, 0 : reference.camera.width : stride]
    pixels = np.stack([u.ravel(), v.ravel()], 1).astype(np.float64)
    there, _, seen = seen_again(
        pixels,
        reference.depth,
        query.depth,
        reference.camera,
        query.camera,
        transforms.inverse(query.pose) @ reference.pose,
        _SAME_DEPTH,
    )
    seen &= ~_changed(reference, pixels)
    seen[seen] = ~_changed(query, there[seen])
    return pixels[seen], there[seen]


def _changed(view: View, pixels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) whether something that was moved is seen at (N, 2) pixels of a view."""
    if view.changed is None:
        return np.zeros(len(pixels), bool)
    u, v = np.rint(pixels).astype(int).T
    return np.asarray(view.changed[v, u])
