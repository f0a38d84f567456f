# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which keyframes were of use to an answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.usage import Usage
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import KeyframeMatch, Localization

# A camera that stands and looks so like a keyframe sees most of what that shows [m, rad].
_NEAR, _ALONG = 1.0, np.deg2rad(30.0)


def usage_of(
    relocalizer: Relocalizer, answer: Localization, cameras: Sequence[Pose], stamp: int
) -> dict[int, Usage]:
    """What an answer says of the keyframes that were compared, by id.

    Args:
        relocalizer: gave the answer.
        answer: to the images of an instant, alone or with earlier ones.
        cameras: body <- camera, (4, 4), of that instant's images, the first ones among the views;
            the earlier images were counted in their time.
        stamp: of that instant [ns].
    """
    counts: dict[int, Usage] = {}
    for match in answer.matches:
        if match.view < len(cameras):
            contradicted = answer.pose is not None and _contradicts(
                relocalizer, match, answer.pose @ cameras[match.view]
            )
            inliers = int(match.inliers.sum()) if answer.localized else 0
            found = Usage(1, inliers > 0, inliers, contradicted, stamp if inliers else 0)
            counts[match.keyframe_id] = counts.get(match.keyframe_id, Usage()).plus(found)
    return counts


def _contradicts(relocalizer: Relocalizer, match: KeyframeMatch, camera: Pose) -> bool:
    """Whether a keyframe that the camera must see matches well, but tells another pose."""
    needed = relocalizer.options.needed_ratio(
        match.correspondences.min_inlier_ratio, relocalizer.map.front_end.min_inlier_ratio
    )
    if len(match.inliers) < relocalizer.min_inliers or match.inlier_ratio >= needed:
        return False
    pose = relocalizer.map[match.keyframe_id].pose
    return bool(
        transforms.distance(pose, camera) < _NEAR
        and transforms.rotation_angle(pose, camera) < _ALONG
    )
