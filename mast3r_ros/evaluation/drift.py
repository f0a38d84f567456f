# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Poses as a device tracks them: exact steps with noise, which adds up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose


def drifting(
    poses: Sequence[Pose],
    first: Pose,
    rng: np.random.Generator,
    drift: float,
    turn: Callable[[float], float],
) -> Iterator[Pose]:
    """Tracked poses of a way.

    Args:
        poses: the true ones, (4, 4) each.
        first: where tracking begins.
        rng: of the noise.
        drift: standard deviation of a step's position over its length.
        turn: that of a step's orientation about each axis [rad], from its length [m].
    """
    now = first
    yield now
    for before, after in itertools.pairwise(poses):
        step = transforms.inverse(before) @ after
        way = float(np.linalg.norm(step[:3, 3]))
        rotation = transforms.rotation_from_vector(rng.normal(0, turn(way), 3))
        now = now @ step @ transforms.make(rotation, rng.normal(0, drift * way, 3))
        yield now
