# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What is fixed to the camera is found by several keyframes, cell by cell of the query."""

import numpy as np
from synthetic import camera_pose, make_camera
from told import ToldFrontEnd, numbered

from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.body import fixed_to_camera
from mast3r_ros.matching.correspondences import Correspondences

_CAMERA = make_camera()
_SIZE = (_CAMERA.width, _CAMERA.height)
_POSES = [camera_pose(0.0), camera_pose(0.5, 0.0, 0.2, turn=0.3)]
_QUERY = camera_pose(0.2, 0.1, 0.0, turn=0.1)


def _keyframes():
    keyframes = KeyframeMap(ToldFrontEnd())
    for number, pose in enumerate(_POSES):
        keyframes.add(numbered(number, _SIZE, camera=_CAMERA), pose)
    return list(keyframes)


def _matches(reference, query, points) -> Correspondences:
    ones = np.ones(len(query), np.float32)
    arrays = (np.asarray(a, np.float32) for a in (reference, query))
    return Correspondences(*arrays, ones, np.float32(points), 0.01 * ones, metric=True)


def _scene(count, seed):
    """What each keyframe sees of the place in the upper half of the query."""
    random = np.random.default_rng(seed)
    pixels = random.uniform((20, 20), (_SIZE[0] - 20, _SIZE[1] / 2), (count, 2))
    points = transforms.apply(_QUERY, _CAMERA.unproject(pixels, random.uniform(2, 4, count)))
    parts = []
    for pose in _POSES:
        local = transforms.apply(transforms.inverse(pose), points)
        parts.append((_CAMERA.project(local), pixels, local))
    return parts


def _bumper(count, seed):
    """Pixels at the lower edge, the same in all images, half a meter away."""
    random = np.random.default_rng(seed)
    pixels = random.uniform((10, _SIZE[1] - 30), (90, _SIZE[1] - 5), (count, 2))
    return pixels, _CAMERA.unproject(pixels, np.full(count, 0.5))


def test_a_body_is_fixed_and_the_place_is_not():
    pixels, points = _bumper(300, 0)
    # A fifth of the bumper's texture is mistaken for another part of itself.
    wrong = np.arange(300) % 5 == 0
    reference = np.where(wrong[:, None], pixels[::-1], pixels)
    body = (reference, pixels, points)
    found = [
        _matches(*(np.concatenate(pair) for pair in zip(part, body, strict=True)))
        for part in _scene(60, 1)
    ]

    fixed = fixed_to_camera(_CAMERA, _keyframes(), found, 1.0)

    for of_keyframe in fixed:
        assert not of_keyframe[:60].any()
        assert of_keyframe[60:][~wrong].all()
        # Where most of a cell are fixed, the mistaken ones are on the body too.
        assert of_keyframe[60:][wrong].mean() > 0.6


def test_one_keyframe_cannot_know():
    pixels, points = _bumper(40, 0)
    found = [_matches(pixels, pixels, points)]

    (fixed,) = fixed_to_camera(_CAMERA, _keyframes()[:1], found, 1.0)

    assert not fixed.any()
