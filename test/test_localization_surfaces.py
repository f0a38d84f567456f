# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whether another place has the shape that an image shows: on walls whose points are known."""

from dataclasses import replace

import numpy as np
import pytest

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.localization.ambiguity import Explanation
from mast3r_ros.localization.surfaces import Surfaces, lacks_surfaces

_CAMERA = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
_HERE = np.eye(4)
_THERE = transforms.make(np.eye(3), [30.0, 0.0, 0.0])
# A step aside and a look back at the same things.
_ASIDE = transforms.make(transforms.rotation_from_vector([0.0, -0.25, 0.0]), [1.0, 0.0, 0.0])
_PIXELS = np.random.default_rng(0).uniform(0, (640, 480), (2000, 2))
_LEFT = _PIXELS[:, 0] < 320


def _points(pose, right=4.0, left=4.0):
    """A wall across the image, its halves at two depths [m]."""
    depth = np.where(_LEFT, left, right)
    return transforms.apply(pose, _CAMERA.unproject(_PIXELS, depth))


def _explanation(pose, chosen=slice(None), right=4.0, sigma=0.01):
    pixels = _PIXELS[chosen]
    points = _points(pose, right)[chosen]
    return Explanation(pose, pixels, points, pixels, [], np.full(len(pixels), sigma))


def _known(there, sigma=0.01, seen_from=_THERE):
    """The map: a box 2 m ahead in the right half of this place, and points of the other one."""
    here = _points(_HERE, 2.0)
    return Surfaces(
        np.concatenate([here, there]),
        np.full(len(here) + len(there), sigma),
        np.repeat([0, 1], [len(here), len(there)]),
        [(_HERE, _CAMERA), (seen_from, _CAMERA)],
    )


def _lacks(known, sigma=0.01):
    """Both places explain the left half; this one also the box on the right."""
    right = _explanation(_HERE, right=2.0, sigma=sigma)
    other = _explanation(_THERE, _LEFT)
    lacks = lacks_surfaces(right, other, known, _CAMERA)
    assert not lacks_surfaces(other, right, known, _CAMERA)
    return lacks


@pytest.mark.parametrize("aside", [_HERE, _ASIDE])
def test_a_place_where_keyframes_see_through_what_the_image_shows_is_another_one(aside):
    assert _lacks(_known(_points(_THERE), seen_from=_THERE @ aside))


def test_a_place_where_a_wall_hides_what_the_image_shows_is_another_one():
    # Nothing is seen there at the box's pixels by its keyframe, which looks from aside.
    there = transforms.apply(_THERE, _CAMERA.unproject(_PIXELS[~_LEFT], np.full((~_LEFT).sum(), 1)))
    assert _lacks(_known(there, seen_from=_THERE @ _ASIDE))


def test_a_place_of_the_same_shape_is_not_told_apart():
    assert not _lacks(_known(_points(_THERE, 2.0)))


def test_what_nobody_has_seen_at_the_other_place_says_nothing():
    assert not _lacks(_known(_points(_THERE)[_LEFT]))


def test_points_whose_depth_is_guessed_say_nothing():
    assert not _lacks(_known(_points(_THERE), sigma=0.3), sigma=0.3)


def test_what_both_poses_explain_says_nothing_of_shape():
    right = _explanation(_HERE, right=2.0)
    both = _explanation(_THERE)
    assert not lacks_surfaces(right, both, _known(_points(_THERE)), _CAMERA)
    alone = replace(both, near=both.near[_LEFT])
    assert lacks_surfaces(right, alone, _known(_points(_THERE)), _CAMERA)


def test_keyframes_without_a_camera_say_nothing():
    known = _known(_points(_THERE), seen_from=_THERE @ _ASIDE)
    blind = replace(known, views=[(pose, None) for pose, _ in known.views])
    assert not _lacks(blind)
