# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keyframes of two places that see them from the same sides."""

import numpy as np
from synthetic import OTHER_ROOM, camera_pose, make_camera, view
from told import ToldFrontEnd, numbered

from mast3r_ros.frontends import create
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.look_alikes import counterparts, pair_sides
from mast3r_ros.localization.relocalizer import Relocalizer

_CAMERA = make_camera()
_AWAY = camera_pose(20.0)
_QUERY = camera_pose(0.1, 0.0, 0.0, turn=0.05)


def _map(*poses):
    keyframes = KeyframeMap(ToldFrontEnd({}))
    for number, pose in enumerate(poses):
        keyframes.add(numbered(number, (_CAMERA.width, _CAMERA.height), camera=_CAMERA), pose)
    return keyframes


def test_counterparts_stand_in_the_other_place_where_matched_ones_stand_in_this_one():
    here = [camera_pose(), camera_pose(0.4, 0.0, 0.0, turn=0.1)]
    keyframes = _map(*here, _AWAY @ here[0], _AWAY @ here[1], camera_pose(10.0))
    matched = [keyframes[0], keyframes[1], keyframes[2]]

    missing = counterparts(keyframes, _QUERY, _AWAY @ _QUERY, matched, 3.0)

    assert [k.id for k in missing] == [3]


def test_a_keyframe_of_the_other_place_that_stands_elsewhere_is_no_counterpart():
    keyframes = _map(camera_pose(), _AWAY @ camera_pose(1.5, 0.0, 0.0))

    assert not counterparts(keyframes, _QUERY, _AWAY @ _QUERY, [keyframes[0]], 3.0)


def test_sides_are_paired_with_each_others_nearest():
    ones = [camera_pose(), camera_pose(0.3), camera_pose(5.0)]
    others = [camera_pose(0.05), camera_pose(5.0, turn=1.0)]

    assert pair_sides(ones, others, 3.0) == ([0], [0])
    assert pair_sides(ones, [], 3.0) == ([], [])
    # One may be nearer, but not much, nor as far aside.
    assert pair_sides(ones[:1], [camera_pose(0.0, 0.0, 0.65)], 3.0) == ([0], [0])
    assert pair_sides(ones[:1], [camera_pose(0.0, 0.0, 0.75)], 3.0) == ([], [])
    assert pair_sides(ones[:1], [camera_pose(0.65, 0.0, 0.0)], 3.0) == ([], [])
    np.testing.assert_array_equal(pair_sides(others, ones, 3.0), ([0], [0]))


def test_a_map_that_was_matched_whole_is_not_searched_for_more(monkeypatch):
    searched = []
    for name in ("by_words", "alike"):
        monkeypatch.setattr(KeyframeMap, name, lambda *_: searched.append(1) or [])
    keyframes = KeyframeMap(create("sift"))
    keyframes.add(view(camera_pose()), camera_pose())

    assert Relocalizer(keyframes).localize(view(_QUERY)).localized
    assert not searched
    for x in range(10, 70, 10):
        keyframes.add(view(camera_pose(), OTHER_ROOM), camera_pose(float(x)))
    assert Relocalizer(keyframes).localize(view(_QUERY)).localized
    assert searched
