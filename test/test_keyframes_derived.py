# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Maps made of others on disk: the same as of those in memory, with no more memory than a few."""

import sqlite3
import weakref
from contextlib import closing

import numpy as np
import pytest
from synthetic import ROOM, camera_pose, view
from test_cli import run

from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.keyframes import archive
from mast3r_ros.keyframes.database import FILE, MapError
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.store import Store
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.mapping import loop_closure
from mast3r_ros.mapping.spill import Spill

# Looked at again and again: many keyframes, few images to render and describe.
COUNT, PLACES = 36, 4
# Queries whose words are remembered, the two of a pair, and one that is being read.
FEW = 8 + 2 + 1
TURN = camera_pose(x=1.0, turn=0.3)


@pytest.fixture(scope="module")
def sift():
    return SiftFrontEnd(SiftOptions(max_keypoints=150))


@pytest.fixture(scope="module")
def keyframes(sift):
    keyframes = KeyframeMap(sift)
    poses = [camera_pose(x=0.2 * i) for i in range(PLACES)]
    frames = [view(pose, ROOM) for pose in poses]
    described = [sift.describe(frame) for frame in frames]
    for number in range(COUNT):
        i = number % PLACES
        covariance = np.eye(6) * 1e-4 if number % 2 else None
        keyframes.add(frames[i], poses[i], described[i], covariance=covariance)
    return keyframes


@pytest.fixture
def saved(keyframes, tmp_path):
    keyframes.derive(keyframes).save(tmp_path / "map")
    return tmp_path / "map"


@pytest.fixture
def alive(monkeypatch):
    """After each keyframe that is read: how many that were read are still in memory."""
    known, counts, own = [], [0], archive.decode_contents

    def noted(*arguments):
        description, mask = own(*arguments)
        known[:] = [each for each in known if each() is not None]
        known.append(weakref.ref(description))
        counts.append(len(known))
        return description, mask

    monkeypatch.setattr(archive, "decode_contents", noted)
    return counts


def _rows(folder):
    """All that a map's file holds, but for its identity."""
    with closing(sqlite3.connect(folder / FILE)) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()
            for table in ("keyframe", "contents", "code")
        }


def _changed(keyframes):
    """Some of the keyframes: as they are, moved, under another id, and both."""
    every = [k for k in keyframes if k.id % 3]
    for number, keyframe in enumerate(every):
        if number % 2:
            covariance = keyframe.covariance if number % 3 else 2e-4 * np.eye(6)
            keyframe = keyframe.moved(TURN @ keyframe.pose, covariance)
        yield keyframe.renamed(100 + number) if number % 5 == 3 else keyframe


def test_a_map_derived_from_one_on_disk_is_that_of_one_in_memory(
    keyframes, saved, sift, tmp_path, alive
):
    there = KeyframeMap.load(saved, sift)

    derived = there.derive(_changed(there))

    assert alive == [0], "nothing is read for it"
    expected = keyframes.derive(_changed(keyframes))
    np.testing.assert_array_equal(derived.ids, expected.ids)
    np.testing.assert_array_equal(derived.poses, expected.poses)
    query = keyframes[5].description
    assert [k.id for k in derived.nearest(query, 9)] == [k.id for k in expected.nearest(query, 9)]
    some = derived[int(derived.ids[3])]
    assert some.description.arrays().keys() == query.arrays().keys()
    derived.save(tmp_path / "derived")
    expected.save(tmp_path / "expected")
    assert _rows(tmp_path / "derived") == _rows(tmp_path / "expected")
    assert alive == [0, 1]
    # It goes on from its own file.
    derived.remove(int(derived.ids[0]))
    derived.save(tmp_path / "derived")
    assert len(KeyframeMap.load(tmp_path / "derived", sift)) == len(expected) - 1


def test_words_that_a_map_has_not_are_found_with_one_keyframe_in_memory(
    saved, sift, alive, tmp_path
):
    words = _rows(saved)["code"]
    with closing(sqlite3.connect(saved / FILE)) as connection, connection:
        connection.execute("UPDATE code SET book = 'other'")
    there = KeyframeMap.load(saved, sift, cache_mb=0)

    there.derive(there).save(tmp_path / "derived")

    assert len(alive) == 1 + COUNT
    assert max(alive) <= 2
    assert _rows(tmp_path / "derived")["code"] == words


def test_a_map_may_be_replaced_by_one_derived_from_it(saved, sift):
    there = KeyframeMap.load(saved, sift)
    there.derive(k.moved(TURN @ k.pose, None) for k in there if k.id < 3).save(saved)

    back = KeyframeMap.load(saved, sift)

    np.testing.assert_array_equal(back.poses, [TURN @ p for p in there.poses[:3]])
    assert back[1].covariance is None
    assert list(back.verify()) == []


def test_what_another_program_has_changed_meanwhile_is_not_taken(saved, sift, tmp_path):
    there = KeyframeMap.load(saved, sift)
    derived = there.derive(k.moved(TURN @ k.pose, None) for k in there)
    other = KeyframeMap.load(saved, sift)
    other.remove(7)
    other.save(saved)

    with pytest.raises(MapError, match="keyframe 7"):
        derived.save(tmp_path / "derived")
    assert not (tmp_path / "derived" / FILE).exists()


@pytest.mark.parametrize(
    "verb",
    [
        ("crop", "MAP", "--min", "-9", "-9", "-9", "--out", "OUT"),
        ("transform", "MAP", "--translation", "1", "2", "3", "--out", "OUT"),
        ("prune", "MAP", "--covered", "0.5", "--out", "OUT"),
        ("refine", "MAP", "--alike", "2", "--successors", "0", "--out", "OUT"),
        ("export", "MAP", "--format", "ply", "--out", "OUT"),
        ("show", "MAP", "OUT"),
    ],
    ids=lambda verb: verb[0],
)
def test_verbs_keep_few_keyframes_in_memory(verb, saved, tmp_path, alive, monkeypatch):
    own = KeyframeMap.load
    monkeypatch.setattr(KeyframeMap, "load", lambda path, front_end: own(path, front_end, 0.0))
    places = {"MAP": saved, "OUT": tmp_path / "out"}
    read, contents = [], Store.contents
    monkeypatch.setattr(Store, "contents", lambda s, i: read.append(i) or contents(s, i))

    run("map", *(places.get(word, word) for word in verb))

    assert set(read) == set(range(COUNT))
    assert max(alive) <= FEW
    assert (tmp_path / "out").exists()


def _adding(keyframes, others):
    """Add keyframes of another map, one a step."""
    for keyframe in others:
        keyframes._insert(keyframe)
        yield keyframe.id


def test_a_map_that_is_made_keeps_on_disk_what_does_not_fit_into_memory(keyframes, sift, tmp_path):
    folder, most = tmp_path / "maps" / "new", 0
    made = KeyframeMap(sift, cache_mb=0.5)
    with Spill(folder) as spill:
        for _ in spill.over(made, _adding(made, keyframes)):
            most = max(most, len(made._keyframes._changed))
        assert most == 15, "after the 16th they are on disk"
        (there,) = folder.parent.iterdir()
        assert there.name.startswith(".new-")
        links = [list(loop_closure.find_closures(m, [(0, 1), (0, 6), (3, 2)], RelocalizerOptions()))
                 for m in (keyframes, made)]  # fmt: skip
        made.save(folder)
    assert [p.name for p in folder.parent.iterdir()] == ["new"]
    for link, expected in zip(links[1], links[0], strict=True):
        np.testing.assert_array_equal(link.pose, expected.pose)
    keyframes.derive(keyframes).save(tmp_path / "expected")
    assert _rows(folder) == _rows(tmp_path / "expected")


def test_a_map_that_fits_into_memory_is_written_once(keyframes, sift, tmp_path):
    made = KeyframeMap(sift)
    with Spill(tmp_path / "new") as spill:
        assert list(spill.over(made, _adding(made, keyframes))) == list(range(COUNT))
        assert not list(tmp_path.iterdir())
    assert made.unsaved_mb == pytest.approx(keyframes.unsaved_mb)
