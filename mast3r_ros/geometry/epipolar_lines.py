# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Distances of a camera's rays from the epipolar lines of other cameras' rays."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose, cross

Array = NDArray[np.float64]


class EpipolarLines:
    """The epipolar lines of N matches in the image of one camera, and its rays.

    Attributes:
        distances: (N,) signed distances of the rays from the lines [pixels].
        ahead: (N,) whether the two rays of a match meet in front of both cameras.
    """

    def __init__(
        self, pose: Pose, origins: Array, directions: Array, rays: Array, focal: float | Array
    ) -> None:
        """The lines.

        Args:
            pose: map <- camera, (4, 4) or (N, 4, 4).
            origins, directions: (N, 3) the other cameras' rays in the map.
            rays: (N, 2) on the plane z = 1 of this camera.
            focal: one or (N,) [pixels].
        """
        self._pose, self._directions, self._focal = pose, directions, focal
        self._offset = origins - pose[..., :3, 3]
        # Normals of the planes through both cameras, in the map and in the camera.
        self._plane = cross(self._offset, directions)
        self._normal = transforms.turn_back(pose, self._plane)
        self._query = np.column_stack([rays, np.ones(len(rays))])
        self._length = np.hypot(self._normal[:, 0], self._normal[:, 1])
        self._across = (self._query * self._normal).sum(1)
        self.distances: Array = focal * self._across / self._length

    @cached_property
    def ahead(self) -> NDArray[np.bool_]:
        # Depths of the two rays' closest points: both must be positive.
        toward = transforms.turn(self._pose, self._query)
        across = cross(self._directions, toward)
        ahead = (cross(-self._offset, toward) * across).sum(1) > 0
        return np.asarray(ahead & ((-self._plane * across).sum(1) > 0))

    def jacobian(self) -> Array:
        """(N, 12) derivative of the distances by the pose and by that of the other camera.

        Both are in the sense of `transforms.perturb`.
        """
        by_normal = self._query / self._length[:, None]
        by_normal[:, :2] -= (self._across / self._length**3)[:, None] * self._normal[:, :2]
        by_plane = transforms.turn(self._pose, np.reshape(self._focal, (-1, 1)) * by_normal)
        # d(plane) = direction x dt and plane x dr; and offset x (dr x direction) for the other
        # camera.
        by_position = cross(by_plane, self._directions)
        by_turn = cross(self._directions, cross(by_plane, self._offset))
        return np.hstack([by_position, cross(by_plane, self._plane), -by_position, by_turn])
