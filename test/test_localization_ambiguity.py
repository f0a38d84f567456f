# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which of two poses an image speaks for: on points whose matches are chosen by hand."""

from dataclasses import replace

import numpy as np
import pytest

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.localization.ambiguity import (
    DECISIVE,
    MIN_EVIDENCE,
    Explanation,
    advantage,
    likelihood_ratio,
)
from mast3r_ros.localization.told_apart import Difference

_SIZE = (640, 480)
_CAMERA = Camera(*_SIZE, 500.0, 500.0, 319.5, 239.5)
_OFFSET = transforms.make(np.eye(3), [30.0, 0.0, 0.0])


def _explanation(pixels, pose, view=None):
    """Matches of a wall two meters ahead, with a keyframe at the query's place."""
    points = transforms.apply(pose, _CAMERA.unproject(pixels, np.full(len(pixels), 2.0)))
    seen_from = [(pose if view is None else view, _CAMERA)]
    return Explanation(pose, pixels, points, pixels, seen_from, np.full(len(pixels), 0.01))


def _pixels(seed, count=4000, part=1.0):
    """Pixels all over the image, of which a part is matched."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0, _SIZE, (count, 2))
    return pixels[rng.random(count) < part]


def _outside(pixels, left, right):
    return pixels[(pixels[:, 0] < left) | (pixels[:, 0] >= right)]


def tells_apart(right, other, size):
    return likelihood_ratio(right, other, size) >= MIN_EVIDENCE


@pytest.mark.parametrize("part", [1.0, 0.6, 0.4])
def test_equal_places_are_not_told_apart_whichever_side_matches_better(part):
    right = _explanation(_pixels(1), np.eye(4))
    other = _explanation(_pixels(1, part=part), _OFFSET)
    assert not tells_apart(right, other, _SIZE)
    assert not tells_apart(other, right, _SIZE)


@pytest.mark.parametrize("part", [1.0, 0.4])
def test_a_region_that_one_side_alone_matches_tells_them_apart(part):
    right = _explanation(_pixels(1), np.eye(4))
    other = _explanation(_outside(_pixels(1, part=part), 200, 320), _OFFSET)
    assert tells_apart(right, other, _SIZE)
    assert not tells_apart(other, right, _SIZE)


def test_a_region_that_the_other_sides_keyframes_do_not_see_says_nothing():
    right = _explanation(_pixels(1), np.eye(4))
    # Its keyframe looks half an image to the side: the left half was never mapped there.
    turn = transforms.make(transforms.rotation_from_vector([0, np.arctan(0.64), 0]), np.zeros(3))
    other = _explanation(_outside(_pixels(1), 0, 320), _OFFSET, _OFFSET @ turn)
    evidence = advantage(right, other, _SIZE)
    unlimited = replace(other, views=[(_OFFSET, _CAMERA)])
    assert advantage(right, unlimited, _SIZE) > 4 * evidence
    assert tells_apart(right, unlimited, _SIZE)


def test_regions_on_both_sides_contradict_each_other():
    right = _explanation(_outside(_pixels(1), 400, 520), np.eye(4))
    other = _explanation(_outside(_pixels(1), 200, 320), _OFFSET)
    assert not tells_apart(right, other, _SIZE)
    assert not tells_apart(other, right, _SIZE)


def test_places_with_nothing_in_common_are_not_compared():
    right = _explanation(_outside(_pixels(1), 0, 330), np.eye(4))
    other = _explanation(_outside(_pixels(1), 310, 640), _OFFSET)
    assert advantage(right, other, _SIZE) == 0.0


def test_what_agrees_roughly_with_the_other_pose_does_not_differ():
    right = _explanation(_pixels(1), np.eye(4))
    other = _explanation(_outside(_pixels(1), 200, 320), _OFFSET)
    assert tells_apart(right, other, _SIZE)
    assert not tells_apart(right, replace(other, near=_pixels(1)), _SIZE)


def test_one_feature_counts_once_however_many_keyframes_match_it():
    right = _explanation(_pixels(1, count=300), np.eye(4))
    other = _explanation(_outside(right.pixels, 200, 250), _OFFSET)
    doubled = _explanation(np.concatenate([right.pixels] * 3), np.eye(4))

    assert advantage(doubled, other, _SIZE) == pytest.approx(advantage(right, other, _SIZE))


def test_few_features_that_one_cell_lacks_say_little():
    right = _explanation(_pixels(1, count=400), np.eye(4))
    cell = (np.abs(right.pixels - (340, 260)) < 20).all(1)
    other = _explanation(right.pixels[~cell], _OFFSET)
    evidence = advantage(right, other, _SIZE) - advantage(other, right, _SIZE)
    assert 0.0 < evidence < 5.0
    assert not tells_apart(right, other, _SIZE)


@pytest.mark.parametrize(
    ("ratios", "shape", "said"),
    [
        ((3.0, MIN_EVIDENCE), False, (True, False, False)),
        ((3.0,), True, (True, False, False)),
        ((DECISIVE, -3.0), False, (True, True, False)),
        ((1 - DECISIVE,), False, (False, False, False)),
        ((3.0, -DECISIVE), False, (False, False, True)),
        ((3.0, -DECISIVE), True, (True, False, False)),
        ((MIN_EVIDENCE, -DECISIVE), False, (True, False, False)),
    ],
)
def test_views_that_contradict_each_other_do_not_turn_an_answer(ratios, shape, said):
    difference = Difference(ratios, shape)

    assert (difference.distinguished, difference.sure, difference.reversed) == said
