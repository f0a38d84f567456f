# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How often keyframes were of use: counted, kept with the map, and judged by."""

import os
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic import camera_pose
from told import ToldFrontEnd, numbered

from mast3r_ros.keyframes.database import FILE, MapError
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.usage import Usage
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.result import KeyframeMatch, Localization, Reason
from mast3r_ros.localization.usage import usage_of
from mast3r_ros.mapping import pruning
from mast3r_ros.matching.correspondences import Correspondences

SOME = {0: Usage(3, 2, 50, 0, 70), 2: Usage(1, 0, 0, 1, 0)}


@pytest.fixture
def keyframes():
    keyframes = KeyframeMap(ToldFrontEnd())
    for number in range(3):
        keyframes.add(numbered(number), camera_pose(x=number))
    return keyframes


def _load(path):
    return KeyframeMap.load(path, ToldFrontEnd())


def test_counts_add_up_and_are_kept(keyframes, tmp_path):
    keyframes.count(SOME)
    keyframes.count({0: Usage(1, 1, 10, 0, 90), 8: Usage(5, 5, 5, 0, 5)})
    assert keyframes.usage == {0: Usage(4, 3, 60, 0, 90), 2: SOME[2]}

    keyframes.save(tmp_path / "map")
    assert (
        keyframes.usage == _load(tmp_path / "map").usage == {0: Usage(4, 3, 60, 0, 90), 2: SOME[2]}
    )

    again = _load(tmp_path / "map")
    again.count(SOME)
    again.save(tmp_path / "map")
    again.save(tmp_path / "copy")
    expected = {0: Usage(7, 5, 110, 0, 90), 2: Usage(2, 0, 0, 2, 0)}
    assert _load(tmp_path / "map").usage == _load(tmp_path / "copy").usage == expected


def test_two_programs_count_in_one_map_and_one_of_them_saves(keyframes, tmp_path):
    keyframes.save(tmp_path / "map")
    one, other = _load(tmp_path / "map"), _load(tmp_path / "map")
    for program in (one, other):
        program.count(SOME)
        program.write_usage()
        program.write_usage()  # nothing is counted twice
    one.add(numbered(5), camera_pose(x=5.0))
    one.remove(2)

    one.save(tmp_path / "map")

    assert _load(tmp_path / "map").usage == {0: Usage(6, 4, 100, 0, 70)}
    # The other one goes on counting; of what is not there any more, nothing is kept.
    other.count(SOME)
    other.write_usage()
    assert _load(tmp_path / "map").usage == {0: Usage(9, 6, 150, 0, 70)}


def test_a_derived_map_keeps_what_is_known(keyframes):
    keyframes.count(SOME)

    derived = keyframes.derive(k for k in keyframes if k.id)

    assert derived.usage == {2: SOME[2]}


def test_there_is_nothing_to_write_to_before_the_first_save(keyframes):
    keyframes.count(SOME)

    with pytest.raises(MapError, match="not saved yet"):
        keyframes.write_usage()


def test_another_map_in_its_place_is_left_alone(keyframes, tmp_path):
    keyframes.save(tmp_path / "map")
    reader = _load(tmp_path / "map")
    reader.count(SOME)
    (tmp_path / "map" / FILE).unlink()
    keyframes.derive(keyframes).save(tmp_path / "map")

    with pytest.raises(MapError, match="another map by now"):
        reader.write_usage()
    assert _load(tmp_path / "map").usage == {}


def test_what_is_no_count_is_left_out(keyframes, tmp_path):
    keyframes.count(SOME)
    keyframes.save(tmp_path / "map")
    with closing(sqlite3.connect(tmp_path / "map" / FILE)) as connection, connection:
        connection.execute("UPDATE usage SET used = 'many' WHERE id = 0")

    assert _load(tmp_path / "map").usage == {2: SOME[2]}


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_map_that_cannot_be_written_says_so(keyframes, tmp_path):
    keyframes.save(tmp_path / "map")
    (tmp_path / "map" / FILE).chmod(0o400)
    keyframes.count(SOME)

    with pytest.raises(MapError, match="cannot write"):
        keyframes.write_usage()


def _match(keyframe_id, inliers, of=40, view=0):
    pixels, ones = np.zeros((of, 2)), np.ones(of)
    found = Correspondences(pixels, pixels, ones, np.zeros((of, 3)), ones, ones > 0)
    return KeyframeMatch(keyframe_id, found, np.arange(of) < inliers, view=view)


def _counted(keyframes, answer, cameras=1):
    relocalizer = SimpleNamespace(map=keyframes, min_inliers=20, options=RelocalizerOptions())
    return usage_of(relocalizer, answer, [np.eye(4)] * cameras, 1234)


def test_an_answer_says_which_keyframes_hold_it_and_which_contradict_it(keyframes):
    near, far = camera_pose(x=0.5), camera_pose(x=9.0)
    matches = (_match(0, 30), _match(1, 2), _match(2, 0, of=19))
    answer = Localization(Reason.LOCALIZED, "", near, np.eye(6), matches=matches)

    assert _counted(keyframes, answer) == {
        0: Usage(1, 1, 30, 0, 1234),
        1: Usage(1, 1, 2, 1, 1234),
        2: Usage(1, 0, 0, 0, 0),  # too few matches to contradict anything
    }
    # From there, nobody must see what they show.
    elsewhere = Localization(Reason.LOCALIZED, "", far, np.eye(6), matches=matches)
    assert _counted(keyframes, elsewhere)[1] == Usage(1, 1, 2, 0, 1234)


def test_a_refused_image_counts_as_compared_alone(keyframes):
    answer = Localization(Reason.FEW_INLIERS, "", matches=(_match(0, 10), _match(1, 0)))

    assert _counted(keyframes, answer) == {0: Usage(1), 1: Usage(1)}


def test_images_of_before_are_not_counted_again(keyframes):
    matches = (_match(0, 30), _match(0, 25, view=1), _match(1, 25, view=2))
    answer = Localization(Reason.LOCALIZED, "", camera_pose(), np.eye(6), matches=matches)

    assert _counted(keyframes, answer, cameras=2) == {0: Usage(2, 2, 55, 0, 1234)}


def test_what_the_images_speak_against_goes(keyframes):
    keyframes.count(
        {0: Usage(50, 0, 0, 0, 0), 1: Usage(50, 9, 300, 10, 5), 2: Usage(50, 30, 900, 20, 5)}
    )

    assert list(pruning.useless(keyframes, unused=50, contradicted=10)) == [0, 1]
    assert list(pruning.useless(keyframes, unused=51, contradicted=11)) == []
    assert pruning.useless(keyframes, unused=0, contradicted=0) == {}
