# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A map on disk: the same again, or the reason why not, and whole whatever happens."""

import hashlib
import io
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import zipfile
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import camera_pose, make_camera, view
from told import ToldFrontEnd, numbered

from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.keyframes import archive, retrieval, trained_index
from mast3r_ros.keyframes.database import FILE, FORMAT_VERSION, MapError
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.store import Store

_FISHEYE = Camera(64, 48, 30.0, 31.0, 31.5, 23.5, (0.01, 0.002, 0.0, 0.0), "equidistant")


def _some(count: int = 3) -> KeyframeMap:
    keyframes = KeyframeMap(ToldFrontEnd())
    for number in range(count):
        camera = (None, make_camera(64, 48), _FISHEYE)[number % 3]
        mask = None if number % 2 else np.arange(48 * 64).reshape(48, 64) % 7 > number
        stamp = 1_700_000_000_123_456_789 + number
        frame = numbered(number, camera=camera, stamp=stamp, mask=mask)
        keyframes.add(frame, camera_pose(0.1 * number, turn=0.3 * number))
    return keyframes


def _assert_same(one: KeyframeMap, other: KeyframeMap) -> None:
    assert one.next_id == other.next_id
    assert [k.id for k in one] == [k.id for k in other]
    for a, b in zip(one, other, strict=True):
        for name in ("camera", "stamp", "frame_id", "size", "thumbnail", "sensed"):
            assert getattr(a, name) == getattr(b, name), name
        np.testing.assert_array_equal(a.pose, b.pose)
        assert (a.mask is None) == (b.mask is None)
        if a.mask is not None:
            np.testing.assert_array_equal(a.mask, b.mask)
            assert a.mask.dtype == b.mask.dtype == np.uint8
        assert a.description.arrays().keys() == b.description.arrays().keys()
        for name, array in a.description.arrays().items():
            back = getattr(b.description, name)
            assert (back.dtype, back.shape, back.tobytes()) == (
                array.dtype,
                array.shape,
                array.tobytes(),
            ), name


def _sql(saved: Path, statement: str, *values) -> list[tuple]:
    """Execute a statement on a map's database."""
    with closing(sqlite3.connect(saved / FILE)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def _content(saved: Path) -> bytes:
    return (saved / FILE).read_bytes()


def _load(path: Path, front_end=None) -> KeyframeMap:
    """Open a map, and read all of it."""
    keyframes = KeyframeMap.load(path, front_end or ToldFrontEnd())
    for error in keyframes.verify():
        raise error
    return keyframes


def _refused(path: Path, said: str, front_end=None) -> None:
    with pytest.raises(MapError, match=said) as raised:
        _load(path, front_end)
    assert str(path) in str(raised.value)
    assert len(str(raised.value)) < 1000


@pytest.fixture
def saved(tmp_path) -> Path:
    """A folder with a map of three keyframes."""
    _some().save(tmp_path / "map")
    return tmp_path / "map"


def test_a_map_comes_back_bit_by_bit(tmp_path):
    keyframes = KeyframeMap(SiftFrontEnd(SiftOptions(max_keypoints=200)))
    for x in (0.0, 0.2, 0.4):
        keyframes.add(view(camera_pose(x), depth=x > 0.1), camera_pose(x, turn=x))
    keyframes.remove(1)

    keyframes.save(tmp_path / "a/b/map")
    back = KeyframeMap.load(tmp_path / "a/b/map", SiftFrontEnd())

    assert back.sensed.tolist() == keyframes.sensed.tolist()
    _assert_same(keyframes, back)
    query = keyframes[2].description
    assert [k.id for k in back.nearest(query, 5)] == [k.id for k in keyframes.nearest(query, 5)]
    assert back.add(view(camera_pose()), camera_pose()) == 3


def test_cameras_and_stamps_come_back(saved):
    _assert_same(_some(), _load(saved))


def test_an_empty_map_comes_back_and_can_grow(tmp_path):
    keyframes = _some()
    for keyframe in list(keyframes):
        keyframes.remove(keyframe.id)

    keyframes.save(tmp_path / "map")
    back = _load(tmp_path / "map")
    assert (len(back), back.next_id) == (0, 3)

    back.add(numbered(5), np.eye(4))
    back.save(tmp_path / "map")
    _assert_same(back, _load(tmp_path / "map"))


def test_one_file_at_rest_which_says_what_it_is(saved):
    assert [p.name for p in saved.iterdir()] == [FILE]
    with closing(Store(saved)) as store:
        header = store.header
    assert (header.front_end, header.fingerprint, header.next_id) == ("told", "told-1", 3)
    assert _sql(saved, "PRAGMA user_version") == [(FORMAT_VERSION,)]
    assert _sql(saved, "PRAGMA integrity_check") == [("ok",)]


def test_numpy_alone_can_read_a_keyframe(saved):
    ((arrays,),) = _sql(saved, "SELECT arrays FROM contents WHERE id = 2")

    with np.load(io.BytesIO(arrays)) as archive:
        assert archive["number"].tolist() == [2]
    ((about,),) = _sql(saved, "SELECT about FROM keyframe WHERE id = 2")
    assert json.loads(about)["camera"]["model"] == "equidistant"


# ---- what is read, and when -------------------------------------------------------------------
def test_contents_are_read_when_they_are_asked_for(saved, monkeypatch):
    asked, own = [], Store.contents
    monkeypatch.setattr(Store, "contents", lambda s, i: asked.append(i) or own(s, i))
    keyframes = KeyframeMap.load(saved, ToldFrontEnd())

    found = keyframes.nearest(ToldFrontEnd().describe(numbered(0)), 2)

    assert [k.id for k in found] == [0, 1]
    np.testing.assert_array_equal(keyframes.poses[1], found[1].pose)
    assert [k.stamp for k in keyframes] == [k.stamp for k in _some()]
    assert found[1].camera == _some()[1].camera
    assert asked == []
    assert found[1].description.number.tolist() == [1]
    assert keyframes[1].mask is None
    assert keyframes[1] is found[1]
    assert asked == [1]
    with pytest.raises(AttributeError, match="no attribute 'depth'"):
        _ = found[1].depth


def test_what_was_read_stays_while_it_fits(tmp_path):
    keyframes = _some(9)
    keyframes.save(tmp_path)
    (one,) = {3 * k.description.number.nbytes for k in keyframes}
    assert one == 24
    back = KeyframeMap.load(tmp_path, ToldFrontEnd(), cache_mb=0.008)

    _assert_same(keyframes, back)

    cache = back._keyframes.cache
    assert 0.004 < cache.megabytes <= 0.008
    assert 2 <= len(cache) < 9
    assert 8 in [i for i in range(9) if cache.get(i)]


def test_a_keyframe_in_use_outlives_the_cache_and_the_saves(tmp_path):
    keyframes = _some(4)
    keyframes.save(tmp_path / "one")
    back = KeyframeMap.load(tmp_path / "one", ToldFrontEnd(), cache_mb=0)
    held, unread = back[0], back[1]
    assert held.description.number.tolist() == [0]
    for number in (2, 3):
        assert back[number].description.number.tolist() == [number]
    assert len(back._keyframes.cache) == 1

    back.save(tmp_path / "two")

    assert held.description.number.tolist() == [0]
    assert unread.description.number.tolist() == [1]
    back.remove(3)
    back.save(tmp_path / "two")
    assert [k.id for k in _load(tmp_path / "two")] == [0, 1, 2]
    assert [k.id for k in _load(tmp_path / "one")] == [0, 1, 2, 3]


def test_a_changed_keyframe_is_in_memory_until_it_is_saved(saved):
    keyframes = KeyframeMap.load(saved, ToldFrontEnd(), cache_mb=0)
    mapping = keyframes._keyframes

    moved = replace(keyframes[1], pose=camera_pose(5.0))
    mapping[1] = moved
    assert keyframes[1] is moved
    keyframes.save(saved)

    assert mapping._changed == {}
    np.testing.assert_array_equal(keyframes[1].pose, camera_pose(5.0))
    back = _load(saved)
    np.testing.assert_array_equal(back[1].pose, camera_pose(5.0))
    np.testing.assert_array_equal(back.poses, keyframes.poses)


# ---- saving again -----------------------------------------------------------------------------
def test_saving_again_writes_what_has_changed_and_no_more(tmp_path, monkeypatch):
    keyframes = _some(40)
    keyframes.save(tmp_path)
    inode = (tmp_path / FILE).stat().st_ino
    back = KeyframeMap.load(tmp_path, ToldFrontEnd())
    encoded, own = [], archive.encode
    monkeypatch.setattr(archive, "encode", lambda k: encoded.append(k.id) or own(k))

    back.remove(1)
    back.add(numbered(77), np.eye(4))
    back.save(tmp_path)
    assert encoded == [40]
    back.add(numbered(78), np.eye(4))
    back.save(tmp_path)
    back.save(tmp_path)

    assert encoded == [40, 41]
    assert (tmp_path / FILE).stat().st_ino == inode
    assert [p.name for p in tmp_path.iterdir()] == [FILE]
    again = _load(tmp_path)
    _assert_same(back, again)
    assert [k.id for k in again] == [0, *range(2, 42)]


def test_a_map_saved_to_another_place_is_a_copy_and_goes_on_there(saved, tmp_path):
    before = _content(saved)
    keyframes = KeyframeMap.load(saved, ToldFrontEnd())
    keyframes.remove(0)
    keyframes.add(numbered(9), np.eye(4))

    keyframes.save(tmp_path / "other")
    keyframes.remove(1)
    keyframes.save(tmp_path / "other")

    assert _content(saved) == before
    assert [k.id for k in _load(tmp_path / "other")] == [2, 3]
    _assert_same(keyframes, _load(tmp_path / "other"))


def test_another_map_is_replaced_whole(saved, tmp_path):
    _some(7).save(tmp_path / "other")

    KeyframeMap.load(saved, ToldFrontEnd()).save(tmp_path / "other")

    _assert_same(_some(), _load(tmp_path / "other"))
    assert [p.name for p in (tmp_path / "other").iterdir()] == [FILE]


def test_what_changes_while_a_map_is_written_is_saved_the_next_time(saved):
    keyframes = KeyframeMap.load(saved, ToldFrontEnd())
    keyframes.add(numbered(3), np.eye(4))
    keyframes.add(numbered(4), np.eye(4))

    saving = keyframes.prepare_saving(saved)
    keyframes.remove(4)
    keyframes.remove(0)
    keyframes.add(numbered(5), np.eye(4))
    keyframes.finish_saving(saving, saving.write())

    assert [k.id for k in _load(saved)] == [0, 1, 2, 3, 4]
    keyframes.save(saved)
    assert [k.id for k in _load(saved)] == [1, 2, 3, 5]
    _assert_same(keyframes, _load(saved))


def test_the_trained_index_of_a_large_map_is_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(retrieval, "EXACT", 30)
    keyframes, front_end = _some(40), ToldFrontEnd()
    keyframes.save(tmp_path)
    assert _sql(tmp_path, "SELECT count(*) FROM centroid") == [(6,)]
    assert _sql(tmp_path, "SELECT count(*) FROM cell") == [(40,)]

    trained = []
    monkeypatch.setattr(trained_index, "train", lambda d: trained.append(len(d)))
    back = KeyframeMap.load(tmp_path, front_end)
    back.add(numbered(60), camera_pose(7.0))
    back.remove(3)
    query = front_end.describe(numbered(60))
    assert [k.id for k in back.nearest(query, 3)] == [40, 39, 38]
    back.save(tmp_path)
    # Of cells that make no sense, and of those that are missing, the right ones are found again.
    _sql(tmp_path, "UPDATE cell SET cell = 77 WHERE id < 9")
    _sql(tmp_path, "DELETE FROM cell WHERE id = 39")
    again = KeyframeMap.load(tmp_path, front_end)

    assert trained == []
    assert [k.id for k in again.nearest(query, 3)] == [40, 39, 38]
    again.save(tmp_path / "copy")
    cells = dict(_sql(tmp_path / "copy", "SELECT id, cell FROM cell"))
    before = dict(_sql(tmp_path, "SELECT id, cell FROM cell WHERE id >= 9"))
    assert {i: cells[i] for i in before} == before
    assert len(cells) == 40
    assert 3 not in cells
    # Four times as large as when it was trained.
    monkeypatch.undo()
    monkeypatch.setattr(retrieval, "EXACT", 30)
    for number in range(110):
        again.add(numbered(number % 70), np.eye(4))
    again.save(tmp_path / "copy")
    assert _sql(tmp_path / "copy", "SELECT count(*) FROM centroid") == [(12,)]
    assert len(_load(tmp_path / "copy")) == 150


def test_visual_words_are_saved_and_those_of_other_words_are_not_used(tmp_path, monkeypatch):
    sift = SiftFrontEnd(SiftOptions(max_keypoints=100))
    keyframes = KeyframeMap(sift)
    for x in (0.0, 0.3):
        keyframes.add(view(camera_pose(x)), camera_pose(x))
    keyframes.save(tmp_path)
    # A commit writes what has changed.
    keyframes.add(view(camera_pose(0.6)), camera_pose(0.6))
    keyframes.remove(0)
    keyframes.save(tmp_path)
    assert _sql(tmp_path, "SELECT id FROM code ORDER BY id") == [(1,), (2,)]

    back, described = KeyframeMap.load(tmp_path, sift), []
    monkeypatch.setattr(sift, "local_features", lambda d: described.append(1) or d.descriptors)
    query = keyframes[2].description
    assert [k.id for k in back.nearest(query, 2)] == [2, 1]
    assert len(described) == 1, "the words of keyframes come from the file"
    back.save(tmp_path / "copy")
    codes = [_sql(folder, "SELECT * FROM code") for folder in (tmp_path, tmp_path / "copy")]
    assert codes[0] == codes[1]

    _sql(tmp_path, "UPDATE code SET book = 'other' WHERE id = 1")
    alone = KeyframeMap.load(tmp_path, sift)
    assert [k.id for k in alone.nearest(query, 2)] == [2, 1]
    assert len(described) == 1, "looks alone"
    _sql(tmp_path / "copy", "UPDATE code SET words = x'00' WHERE id = 1")
    _refused(tmp_path / "copy", "damaged: visual words", sift)


# ---- several programs -------------------------------------------------------------------------
def test_two_read_one_map_while_another_saves_to_it(saved):
    one, other, writer = (KeyframeMap.load(saved, ToldFrontEnd(), cache_mb=0) for _ in range(3))
    assert one[0].description.number.tolist() == [0]

    writer.add(numbered(9), np.eye(4))
    writer.remove(1)
    writer.save(saved)

    for reader in (one, other):
        assert reader[2].description.number.tolist() == [2]
        with pytest.raises(MapError, match=r"keyframe 1 was removed or moved since .*: load it"):
            _ = reader[1].description
    assert [k.id for k in _load(saved)] == [0, 2, 3]


def test_a_map_that_another_program_has_saved_is_not_overwritten(saved, tmp_path):
    one, other = (KeyframeMap.load(saved, ToldFrontEnd()) for _ in range(2))
    one.add(numbered(8), np.eye(4))
    one.save(saved)
    before = _content(saved)
    other.add(numbered(9), np.eye(4))

    with pytest.raises(MapError, match="was saved by another program since it was loaded"):
        other.save(saved)

    assert _content(saved) == before
    other.save(tmp_path / "other")
    assert [k.description.number[0] for k in _load(tmp_path / "other")] == [0, 1, 2, 9]


def test_a_map_on_a_read_only_medium_is_read(saved, tmp_path):
    """Mounted so where that is allowed; otherwise without the permission to write."""
    (saved / FILE).chmod(0o444)
    saved.chmod(0o555)
    try:
        before = _content(saved)
        _assert_same(_some(), _load(saved))
        assert [p.name for p in saved.iterdir()] == [FILE]
        assert _content(saved) == before
        if os.geteuid():
            with pytest.raises(MapError, match=r"cannot save the map to .*untouched"):
                _some().save(saved)
    finally:
        saved.chmod(0o755)


# ---- what cannot be saved ---------------------------------------------------------------------
@pytest.mark.parametrize("name", ["photo.jpg", "map.yaml"])
def test_a_folder_of_others_is_left_alone(tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")

    with pytest.raises(MapError, match=f"holds other files .'{name}'. and no map.sqlite"):
        _some().save(tmp_path)

    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {name: b"mine"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is of another program: choose an empty folder"),
        (b"no database, but a text of more than one hundred characters" * 9, "of another program"),
    ],
)
def test_a_database_of_others_is_left_alone(tmp_path, content, said):
    if content is None:
        _sql(tmp_path, "CREATE TABLE mine(a)")
    else:
        (tmp_path / FILE).write_bytes(content)
    before = _content(tmp_path)

    with pytest.raises(MapError, match=said):
        _some().save(tmp_path)

    assert _content(tmp_path) == before
    _refused(tmp_path, "of another program")


def test_a_map_is_not_saved_through_a_link(saved, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / FILE).symlink_to(saved / FILE)
    before = _content(saved)

    # Of a package that colcon installs with links: it is read.
    _assert_same(_some(), _load(linked))
    for keyframes in (_some(2), _load(linked)):
        keyframes.add(numbered(1), np.eye(4))
        with pytest.raises(MapError, match=r"map\.sqlite is a link"):
            keyframes.save(linked)
    assert _content(saved) == before


@pytest.mark.parametrize("under", ["", "map", "deep/map"])
def test_a_path_that_cannot_be_is_named(tmp_path, under):
    (tmp_path / "file").write_bytes(b"mine")

    with pytest.raises(MapError, match=r"cannot save the map to .*file.*untouched"):
        _some().save(tmp_path / "file" / under)

    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.parametrize("limit", [0, 40_000, 200_000])
@pytest.mark.parametrize("place", ["same", "other"])
def test_a_full_disk_leaves_the_old_map(saved, limit, place):
    """Files that may not grow fail as a full disk does; `python3 -m bench maps` fills one."""
    before = _content(saved)
    changed = KeyframeMap.load(saved, ToldFrontEnd()) if place == "same" else _some(40)
    for number in range(40):
        changed.add(numbered(number), np.eye(4))
    changed.remove(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(MapError, match=r"cannot save the map to .*untouched"):
            changed.save(saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    _assert_same(_some(), _load(saved))
    assert _content(saved) == before
    assert [p.name for p in saved.iterdir()] == [FILE]
    changed.save(saved)
    _assert_same(changed, _load(saved))


# ---- killed -----------------------------------------------------------------------------------
def test_the_leftovers_of_a_killed_save_are_cleaned(tmp_path):
    (tmp_path / ".saving-abc").write_bytes(b"half")
    (tmp_path / f"{FILE}-journal").write_bytes(b"of a map that is gone")

    _some().save(tmp_path)

    assert [p.name for p in tmp_path.iterdir()] == [FILE]
    _assert_same(_some(), _load(tmp_path))


@pytest.mark.no_cover
def test_killed_at_any_moment_the_old_map_or_the_new_one_is_whole(tmp_path):
    """25 kills; `python3 -m bench maps` has 100."""
    environment = {**os.environ, "PYTHONPATH": f"{Path.cwd()}:{os.environ.get('PYTHONPATH', '')}"}
    script = "import sys; from pathlib import Path; from bench._map_faults import killed_saves\n"
    script += "print(*killed_saves(Path(sys.argv[1]), 25))"

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env=environment,
    )

    assert done.returncode == 0, done.stderr
    commits, hot = map(int, done.stdout.split())
    assert commits > 10
    # Some kills fell into a commit.
    assert hot > 0
    # A journal that was not begun in earnest may stay, until the next save.
    keyframes = KeyframeMap.load(tmp_path, SiftFrontEnd())
    keyframes.remove(int(keyframes.ids[0]))
    keyframes.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


@pytest.fixture
def hot(saved, tmp_path) -> Path:
    """A copy of a map whose last save was killed, with its journal."""
    keyframes = KeyframeMap.load(saved, ToldFrontEnd())
    connection = sqlite3.connect(saved / FILE, isolation_level=None)
    # Pages that do not fit into the cache are written before the commit.
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN")
    connection.execute("UPDATE keyframe SET flags = 3")
    connection.execute("UPDATE contents SET thumbnail = zeroblob(300000)")
    shutil.copytree(saved, tmp_path / "hot")
    connection.execute("ROLLBACK")
    connection.close()
    del keyframes
    assert len(list((tmp_path / "hot").iterdir())) == 2
    return tmp_path / "hot"


def test_the_map_of_before_a_killed_save_is_put_back(hot):
    _assert_same(_some(), _load(hot))
    assert [p.name for p in hot.iterdir()] == [FILE]


def test_a_reader_sees_the_map_of_before_where_a_save_is_killed_meanwhile(saved, hot):
    keyframes = KeyframeMap.load(saved, ToldFrontEnd(), cache_mb=0)
    # As if the save had been killed here: the same file, and its journal.
    (saved / FILE).write_bytes(_content(hot))
    shutil.copy(hot / f"{FILE}-journal", saved)

    assert keyframes[0].description.number.tolist() == [0]
    assert [p.name for p in saved.iterdir()] == [FILE]


def test_a_killed_save_is_followed_by_another(hot):
    _some(5).save(hot)

    _assert_same(_some(5), _load(hot))
    assert [p.name for p in hot.iterdir()] == [FILE]


def test_a_journal_that_names_another_file_is_not_played_back(hot, tmp_path):
    (tmp_path / "precious").write_bytes(b"mine")
    journal = hot / f"{FILE}-journal"
    name = str(tmp_path / "precious").encode()
    page, magic = (1 << 30).to_bytes(4, "big"), bytes.fromhex("d9d505f920a163d7")
    total = sum(name).to_bytes(4, "big")
    with journal.open("ab") as stream:
        stream.write(page + name + len(name).to_bytes(4, "big") + total + magic)

    _refused(hot, "journal is not of a map: delete it")

    assert (tmp_path / "precious").read_bytes() == b"mine"


# ---- what is no map ---------------------------------------------------------------------------
def test_no_map_there(tmp_path):
    _refused(tmp_path / "nowhere", "no map at .*nowhere: there is no such folder")
    _refused(tmp_path, "no map at .*: map.sqlite is missing")


def test_a_map_of_the_format_of_before_is_named(tmp_path):
    (tmp_path / "map.yaml").write_text("# mast3r_ros map\nformat: 2\n")

    _refused(
        tmp_path,
        rf"older format \(map.yaml\), .* format {FORMAT_VERSION}: build the map again .*map build",
    )


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_a_file_that_is_none_is_refused(tmp_path, kind):
    file = tmp_path / FILE
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")

    _refused(tmp_path, "is not a regular file")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            f"PRAGMA user_version = {FORMAT_VERSION + 1}",
            f"map format {FORMAT_VERSION + 1}, this version reads {FORMAT_VERSION}: "
            "update mast3r_ros",
        ),
        ("PRAGMA user_version = 2", "map format 2, .*: build the map again"),
        ("PRAGMA user_version = -1", "map format -1, .*: build the map again"),
        ("PRAGMA application_id = 1", "is of another program"),
        ("UPDATE meta SET value = 'sift' WHERE name = 'front_end'", r"'sift' \(told-1\), running"),
        (
            "UPDATE meta SET value = 'told-9' WHERE name = 'fingerprint'",
            r"\(told-9\), running is 'told' \(told-1\)",
        ),
        ("DELETE FROM meta WHERE name = 'fingerprint'", "is damaged: it has no 'fingerprint'"),
        ("UPDATE meta SET value = 'three' WHERE name = 'next_id'", "next_id = 'three'"),
        ("UPDATE meta SET value = 3.5 WHERE name = 'next_id'", "next_id = 3.5"),
        ("UPDATE meta SET value = -1 WHERE name = 'next_id'", "next_id = -1"),
        ("UPDATE meta SET value = 4294967296 WHERE name = 'next_id'", r"4294967296: must .*\[0"),
        ("UPDATE meta SET value = NULL WHERE name = 'revision'", "revision = None"),
        ("UPDATE meta SET value = zeroblob(1000000) WHERE name = 'identity'", "identity = None"),
        ("UPDATE meta SET value = 100000 WHERE name = 'length'", "length = 100000"),
        ("UPDATE meta SET value = 5 WHERE name = 'length'", "row does not have its checksum"),
        ("UPDATE meta SET value = 0 WHERE name = 'length'", "row does not have its checksum"),
        ("UPDATE keyframe SET id = -1 WHERE id = 0", "id = -1: must be a whole number"),
        ("UPDATE keyframe SET id = 4294967295 WHERE id = 2", "id = 4294967295: must be"),
        ("UPDATE keyframe SET flags = 4", "keyframe 0: flags = 4"),
        ("UPDATE keyframe SET flags = 'x'", "keyframe 0: flags = 'x'"),
        ("INSERT INTO centroid VALUES (0, x'0000')", "a centroid has another length"),
        ("INSERT INTO centroid VALUES (0, x'0000c07f0000c07f')", "a centroid is not finite"),
        ("UPDATE keyframe SET entry_crc = 0 WHERE id = 1", "keyframe 1: .*its checksum"),
        ("UPDATE keyframe SET entry = 'text' WHERE id = 1", "keyframe 1: .*its checksum"),
        ("UPDATE keyframe SET entry = NULL WHERE id = 1", "keyframe 1: .*its checksum"),
        ("UPDATE keyframe SET about = '{}' WHERE id = 1", "keyframe 1 is damaged: .*checksum"),
        ("UPDATE contents SET arrays = 'text' WHERE id = 1", "keyframe 1 is damaged: its data"),
        ("UPDATE contents SET arrays = zeroblob(9) WHERE id = 1", "keyframe 1 .* checksum in the"),
        ("UPDATE contents SET thumbnail = x'00' WHERE id = 2", "keyframe 2 .*thumbnail does not"),
        ("DELETE FROM contents WHERE id = 1", "keyframe 1 was removed or moved"),
        ("DROP TABLE contents", "its tables are not those of a map"),
        ("CREATE TABLE more(a)", "its tables are not those of a map"),
        ("CREATE INDEX more ON keyframe(flags)", "its tables are not those of a map"),
        ("ALTER TABLE keyframe ADD COLUMN more", "its tables are not those of a map"),
    ],
)
def test_a_map_that_does_not_fit_is_named(saved, statement, said):
    _sql(saved, statement)

    _refused(saved, said)


def test_a_view_in_a_tables_place_is_not_run(saved):
    """It would never end."""
    _sql(saved, "DROP TABLE keyframe")
    _sql(
        saved,
        "CREATE VIEW keyframe AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id FROM n) "
        "SELECT id, 0 flags, -1 cell, x'' entry, 0 entry_crc, '' about, 0 about_crc FROM n",
    )

    _refused(saved, "its tables are not those of a map")


def test_a_pose_that_is_none_is_named(saved):
    ((entry,),) = _sql(saved, "SELECT entry FROM keyframe WHERE id = 1")
    for at, number, said in ((0, 9.0, "pose is not"), (5, np.nan, "pose is not")):
        pose = np.frombuffer(entry, "<f8", 16).copy()
        pose[at] = number
        forged = pose.tobytes() + entry[128:]
        _sql(
            saved,
            "UPDATE keyframe SET entry = ?, entry_crc = ? WHERE id = 1",
            forged,
            zlib.crc32(forged),
        )
        _refused(saved, f"keyframe 1: its {said}")
    forged = entry[:128] + np.array([np.inf, 0], "<f4").tobytes()
    _sql(saved, "UPDATE keyframe SET entry = ?, entry_crc = ?", forged, zlib.crc32(forged))
    _refused(saved, "keyframe 0: its global descriptor is not finite")


def test_ids_in_use_are_not_given_again_whatever_the_map_says(saved):
    _sql(saved, "UPDATE meta SET value = 0 WHERE name = 'next_id'")

    assert _load(saved).next_id == 3


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_map_is_named(saved, share):
    data = _content(saved)
    (saved / FILE).write_bytes(data[: int(share * len(data))])

    _refused(saved, "map.sqlite")


def test_one_flipped_bit_is_found(saved):
    ((arrays,),) = _sql(saved, "SELECT arrays FROM contents WHERE id = 2")
    data = bytearray(_content(saved))
    data[data.index(arrays[40:140]) + 50] ^= 1
    (saved / FILE).write_bytes(data)

    keyframes = KeyframeMap.load(saved, ToldFrontEnd())
    assert keyframes[1].description.number.tolist() == [1]
    with pytest.raises(MapError, match="keyframe 2 is damaged: its data does not have the check"):
        _ = keyframes[2].description
    with pytest.raises(MapError, match="keyframe 2: its data does not have the checksum"):
        keyframes.save(saved.parent / "copy")
    assert [str(e).count("keyframe 2") for e in keyframes.verify()] == [1]


def _forge(saved: Path, arrays: bytes | None = None, about: dict | None = None) -> None:
    """Other contents for keyframe 1, under checksums that are right."""
    ((said,),) = _sql(saved, "SELECT about FROM keyframe WHERE id = 1")
    said = json.loads(said) if about is None else about
    if arrays is not None:
        said["sha256"][0] = hashlib.sha256(arrays).hexdigest()
        _sql(saved, "UPDATE contents SET arrays = ? WHERE id = 1", arrays)
    text = json.dumps(said)
    _sql(
        saved,
        "UPDATE keyframe SET about = ?, about_crc = ? WHERE id = 1",
        text,
        zlib.crc32(text.encode()),
    )


def _arrays(saved: Path) -> dict[str, np.ndarray]:
    ((arrays,),) = _sql(saved, "SELECT arrays FROM contents WHERE id = 1")
    with np.load(io.BytesIO(arrays)) as archive:
        return {name: archive[name] for name in archive.files}


def _about(saved: Path) -> dict:
    ((about,),) = _sql(saved, "SELECT about FROM keyframe WHERE id = 1")
    return json.loads(about)


def _pack(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data", [b"", b"not an archive", b"PK\x03\x04 nor this", b"\x93NUMPY\x01\x00"]
)
def test_data_that_are_no_archive_are_named(saved, data):
    _forge(saved, data)

    _refused(saved, "keyframe 1 is damaged")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mask": None}, "mask"),
        ({"number": None}, "number"),
        ({"more": np.ones(2)}, "more"),
        ({"mask": np.ones((4, 4), np.uint8)}, "mask of shape"),
        ({"number": np.array([object], object)}, "allow_pickle"),
        ({"global_descriptor": np.ones(5, np.float32)}, "of length 5, the map's have 2"),
    ],
)
def test_arrays_that_do_not_fit_are_named(saved, change, said):
    arrays = {**_arrays(saved), **change}
    _forge(saved, _pack({name: a for name, a in arrays.items() if a is not None}))

    _refused(saved, f"keyframe 1 is damaged: .*{said}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("camera", {"width": 64}),
        ("camera", {"width": 0, "height": 1, "fx": 1, "fy": 1, "cx": 0, "cy": 0, "distortion": []}),
        ("size", [64]),
        ("size", [64, 10**400]),
        ("stamp", "late"),
        ("frame_id", "x" * 300),
        ("sha256", ["00"]),
        ("sha256", ...),
    ],
)
def test_a_keyframe_that_makes_no_sense_is_named(saved, key, value):
    about = _about(saved)
    about[key] = value
    if value is ...:
        del about[key]
    _forge(saved, about=about)

    _refused(saved, "keyframe 1 is damaged")


@pytest.mark.parametrize("text", ["[]", "{", "[" * 60_000, "x" * 70_000, ""])
def test_what_is_said_about_a_keyframe_may_be_anything(saved, text):
    _sql(
        saved,
        "UPDATE keyframe SET about = ?, about_crc = ? WHERE id = 1",
        text,
        zlib.crc32(text.encode()),
    )

    _refused(saved, "keyframe 1 is damaged")


def test_a_map_may_be_copied(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "copy")

    _assert_same(_some(), _load(tmp_path / "copy"))


def _npy(shape: tuple[int, ...], kind: str, data: bytes) -> bytes:
    stream = io.BytesIO()
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + data


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (_npy((2**40,), "<f8", b""), r"takes 8796093022208 bytes, but 0 follow"),
        (_npy((2**62, 2**62), "<f8", b""), "bytes, but 0 follow"),
        (_npy((-1,), "<i8", b"12345678"), "side = -1"),
        (_npy((1,), "<i8", b"1234567"), "takes 8 bytes, but 7 follow"),
        (_npy((1,), "|O", b"12345678"), "allow_pickle is off"),
        (_npy((1,), [("a", "<i8")], b"12345678"), "allow_pickle is off"),
        (b"\x93NUMPY\x09\x00", "version"),
    ],
)
def test_an_array_that_the_file_cannot_fill_is_not_made(saved, member, said):
    arrays = _arrays(saved)
    del arrays["number"]
    buffer = io.BytesIO(_pack(arrays))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("number.npy", member)
    _forge(saved, buffer.getvalue())

    _refused(saved, f"keyframe 1 is damaged.*number.*{said}")


def test_a_compressed_archive_is_refused(saved):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{**_arrays(saved), "number": np.zeros(10_000_000, np.int64)})
    assert len(buffer.getvalue()) < 100_000
    _forge(saved, buffer.getvalue())

    _refused(saved, "keyframe 1 is damaged.*larger than the file")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"descriptors": np.zeros((5, 64), np.float16)}, r"descriptors of shape \(5, 64\)"),
        ({"keypoints": np.zeros((5, 2))}, "keypoints .* type float64"),
        ({"keypoints": np.full((5, 2), np.nan, np.float32)}, "keypoints: all must be finite"),
        ({"points": np.full((5, 3), np.inf, np.float32)}, "points: must be finite, or NaN"),
        ({"scores": np.array(["a"] * 5)}, "scores"),
        ({"size": np.array([64, 49])}, "features of an image"),
        ({"global_descriptor": np.full(560, np.nan, np.float32)}, "global descriptor is not"),
        ({"global_descriptor": np.zeros((0,), np.float32)}, "global descriptor of shape"),
        ({"global_descriptor": np.array(["x"])}, "TypeError"),
    ],
)
def test_features_of_another_kind_are_named(tmp_path, change, said):
    front_end = SiftFrontEnd(SiftOptions(max_keypoints=8))
    keyframes = KeyframeMap(front_end)
    for _ in range(2):
        keyframes.add(view(camera_pose()), np.eye(4))
    keyframes.save(tmp_path)
    arrays = _arrays(tmp_path)
    count = len(arrays["keypoints"])
    change = {k: v[:1].repeat(count, 0) if len(v) == 5 else v for k, v in change.items()}
    _forge(tmp_path, _pack({**arrays, **change}))

    _refused(tmp_path, f"keyframe 1 is damaged.*{said}".replace("(5,", f"({count},"), front_end)
