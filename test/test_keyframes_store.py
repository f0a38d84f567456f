# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A map on disk: the same again, or the reason why not, and whole whatever happens."""

import hashlib
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from synthetic import camera_pose, make_camera, view
from told import ToldFrontEnd, numbered

from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.store import FORMAT_VERSION, MapError, read_manifest

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


def _files(path: Path) -> dict[str, tuple[int, bytes]]:
    """Inode and content of every file under a folder."""
    return {
        str(file.relative_to(path)): (file.stat().st_ino, file.read_bytes())
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


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

    _assert_same(keyframes, back)
    query = keyframes[2].description
    assert [k.id for k in back.nearest(query, 5)] == [k.id for k in keyframes.nearest(query, 5)]
    assert back.add(view(camera_pose()), camera_pose()) == 3


def test_cameras_and_stamps_come_back(saved):
    _assert_same(_some(), KeyframeMap.load(saved, ToldFrontEnd()))


def test_an_empty_map_comes_back(tmp_path):
    keyframes = _some()
    for keyframe in list(keyframes):
        keyframes.remove(keyframe.id)

    keyframes.save(tmp_path / "map")

    assert (tmp_path / "map/map.yaml").read_text().endswith("keyframes: []\n")
    back = KeyframeMap.load(tmp_path / "map", ToldFrontEnd())
    assert (len(back), back.next_id) == (0, 3)


def test_the_manifest_is_for_people(saved):
    text = (saved / "map.yaml").read_text()

    assert text.startswith("# mast3r_ros map\n")
    assert max(map(len, text.splitlines())) < 200
    said = yaml.safe_load(text)
    assert (said["format"], said["front_end"], said["fingerprint"]) == (
        FORMAT_VERSION,
        "told",
        "told-1",
    )
    assert [entry["id"] for entry in said["keyframes"]] == [0, 1, 2]
    assert read_manifest(saved) == said
    files = {p.name for p in (saved / "keyframes").iterdir()}
    stems = [entry["file"] for entry in said["keyframes"]]
    assert files == {f"{stem}.{kind}" for stem in stems for kind in ("npz", "jpg")}
    for entry in said["keyframes"]:
        data = (saved / "keyframes" / f"{entry['file']}.npz").read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]


def test_numpy_alone_can_read_a_keyframe(saved):
    file = next((saved / "keyframes").glob("000002-*.npz"))

    with np.load(file) as archive:
        assert archive["number"].tolist() == [2]
        assert json.loads(str(archive["about"]))["camera"]["model"] == "equidistant"


def test_saving_again_writes_no_keyframe_again(saved):
    before = _files(saved)
    keyframes = KeyframeMap.load(saved, ToldFrontEnd())

    keyframes.save(saved)

    after = _files(saved)
    assert after.pop("map.yaml")[1] == before.pop("map.yaml")[1]
    assert after == before


def test_only_what_changed_is_written_and_what_is_gone_is_swept(saved):
    before = _files(saved)
    keyframes = KeyframeMap.load(saved, ToldFrontEnd())
    keyframes.remove(1)
    keyframes.add(numbered(77), np.eye(4))

    keyframes.save(saved)

    after = _files(saved)
    numbers = lambda files: {re.search(r"(\d{6})-", f).group(1) for f in files if "npz" in f}  # noqa: E731
    assert numbers(after) == {"000000", "000002", "000003"}
    kept = before.keys() & after.keys() - {"map.yaml"}
    assert len(kept) == 4
    assert all(after[name] == before[name] for name in kept)
    _assert_same(keyframes, KeyframeMap.load(saved, ToldFrontEnd()))


def test_a_damaged_file_is_written_again(saved):
    file = next((saved / "keyframes").glob("000001-*.npz"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])

    _some().save(saved)

    assert file.read_bytes() == whole


def test_the_leftovers_of_a_killed_save_are_cleaned(tmp_path):
    path = tmp_path / "map"
    staging = path / ".saving-abc"
    staging.mkdir(parents=True)
    (staging / "000000-0123456789ab.npz").write_bytes(b"half")
    (path / "keyframes").mkdir()
    (path / "keyframes/000009-0123456789ab.npz").write_bytes(b"orphan")

    _some().save(path)

    assert {p.name for p in path.iterdir()} == {"map.yaml", "keyframes"}
    assert not list(path.glob("keyframes/000009*"))
    _assert_same(_some(), KeyframeMap.load(path, ToldFrontEnd()))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"photo.jpg": b"mine"}, "holds other files and no map.yaml"),
        ({"map.yaml": b"image: floor.pgm\nresolution: 0.05\n"}, "map.yaml is of another program"),
    ],
)
def test_a_folder_of_others_is_left_alone(tmp_path, content, said):
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    before = _files(tmp_path)

    with pytest.raises(MapError, match=said):
        _some().save(tmp_path)

    assert _files(tmp_path) == before


def test_files_of_others_among_the_keyframes_are_left_alone(tmp_path):
    folder = tmp_path / "keyframes"
    folder.mkdir()
    (folder / "holiday.jpg").write_bytes(b"mine")
    (folder / "more").mkdir()

    _some().save(tmp_path)

    assert (folder / "holiday.jpg").read_bytes() == b"mine"
    assert (folder / "more").is_dir()
    _assert_same(_some(), KeyframeMap.load(tmp_path, ToldFrontEnd()))


@pytest.mark.parametrize("under", ["", "map", "deep/map"])
def test_a_path_that_cannot_be_is_named(tmp_path, under):
    (tmp_path / "file").write_bytes(b"mine")

    with pytest.raises(MapError, match=r"cannot save the map to .*file.*untouched"):
        _some().save(tmp_path / "file" / under)

    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.parametrize("limit", [0, 100, 700])
def test_a_full_disk_leaves_the_old_map(saved, limit):
    before, changed = _files(saved), _some(6)
    changed.remove(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(MapError, match=r"cannot save the map to .*File too large"):
            changed.save(saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    after = _files(saved)
    assert {name: after[name] for name in before} == before
    assert not list(saved.glob(".saving-*"))
    _assert_same(_some(), KeyframeMap.load(saved, ToldFrontEnd()))
    changed.save(saved)
    _assert_same(changed, KeyframeMap.load(saved, ToldFrontEnd()))


_KILL = """
import os, random, signal, sys, time
from pathlib import Path
from test_keyframes_store import MapError, KeyframeMap, ToldFrontEnd, _assert_same, _some

path, one, other = Path(sys.argv[1]), _some(5), _some(8)
for number in (0, 2):
    other.remove(number)
one.save(path)
start = time.monotonic()
other.save(path)
one.save(path)
cycle = time.monotonic() - start
chance, seen, cut = random.Random(0), set(), 0
for _ in range(25):
    child = os.fork()
    if child == 0:
        while True:
            other.save(path)
            one.save(path)
    time.sleep(chance.uniform(0.2, 2.0) * cycle)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    cut += any(path.glob(".saving-*"))
    back = KeyframeMap.load(path, ToldFrontEnd())
    _assert_same(back, other if len(back) == len(other) else one)
    seen.add(len(back))
one.save(path)
_assert_same(KeyframeMap.load(path, ToldFrontEnd()), one)
assert {p.name for p in path.iterdir()} == {"map.yaml", "keyframes"}
assert len(list(path.glob("keyframes/*"))) == 2 * len(one)
print(len(seen), cut)
"""


def test_killed_at_any_moment_the_old_map_or_the_new_one_is_whole(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _KILL, str(tmp_path / "map")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": f"{Path.cwd()}:{os.environ.get('PYTHONPATH', '')}"},
    )

    assert done.returncode == 0, done.stderr
    maps, cut = map(int, done.stdout.split())
    # Both were found, and most kills fell into a save.
    assert maps == 2
    assert cut >= 10


def test_a_power_cut_finds_synced_what_a_rename_makes_visible(tmp_path, monkeypatch):
    done, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda f: done.append(Path(os.readlink(f"/proc/self/fd/{f}")).name) or sync(f)
    )
    monkeypatch.setattr(
        os, "replace", lambda a, b: done.append(f"-> {Path(b).name}") or replace(a, b)
    )

    _some().save(tmp_path / "map")

    renamed = [step[3:] for step in done if step.startswith("-> ")]
    assert len(renamed) == 7
    for name in renamed:
        assert name in done[: done.index(f"-> {name}")]
    # The keyframes are there before the manifest that names them, and the manifest at the end.
    assert done[-5:] == [f"-> {renamed[-2]}", "keyframes", "map.yaml", "-> map.yaml", "map"]


def _refused(path: Path, said: str, front_end=None) -> None:
    with pytest.raises(MapError, match=said):
        KeyframeMap.load(path, front_end or ToldFrontEnd())


def test_no_map_there(tmp_path):
    _refused(tmp_path / "nowhere", "no map at .*nowhere")
    _refused(tmp_path, r"map\.yaml is missing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff\xfe\x00\x81", "cannot read .*map.yaml"),
        (b"format: [1", "cannot read .*map.yaml"),
        (b"", "not the manifest of a mast3r_ros map"),
        (b"- 1\n", "not the manifest of a mast3r_ros map"),
        (b"image: floor.pgm\n", "not the manifest of a mast3r_ros map"),
    ],
)
def test_a_manifest_that_is_none_is_named(saved, text, said):
    (saved / "map.yaml").write_bytes(text)

    _refused(saved, said)


def test_a_manifest_that_is_a_folder_is_named(tmp_path):
    (tmp_path / "map.yaml").mkdir()

    _refused(tmp_path, "cannot read .*map.yaml")


def _edit(saved: Path, old: str, new: str) -> None:
    manifest = saved / "map.yaml"
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format: 2", "format: 3", "map format 3, this version reads 2: update mast3r_ros"),
        ("format: 2", "format: 1", "map format 1, this version reads 2: build the map again"),
        ("format: 2", "format: two", "map format two, .*: build the map again"),
        ("front_end: told", "front_end: sift", r"made by front end 'sift' \(told-1\)"),
        ("told-1", "told-9", r"\(told-9\), running is 'told' \(told-1\)"),
        ("fingerprint: told-1\n", "", r"front end 'told' \(None\)"),
        ("next_id: 3\n", "", "map.yaml is damaged.*next_id"),
        ("next_id: 3\n", "next_id: three\n", "map.yaml is damaged"),
        ("keyframes:\n", "others:\n", "map.yaml is damaged.*keyframes"),
        ('"id": 1, ', "", "map.yaml is damaged.*id"),
        ('"id": 1,', '"id": "one",', "map.yaml is damaged"),
        ("000001-", "000007-", r"keyframe 1: cannot read .*000007-.*npz"),
        ('"sha256": "', '"sha256": "0', r"keyframe 0: .*npz does not have the checksum"),
    ],
)
def test_a_manifest_that_does_not_fit_is_named(saved, old, new, said):
    _edit(saved, old, new)

    _refused(saved, said)


def test_a_listing_that_is_none_is_named(saved):
    text = (saved / "map.yaml").read_text()
    (saved / "map.yaml").write_text(text.partition("keyframes:")[0] + "keyframes: 5\n")

    _refused(saved, "map.yaml is damaged")


def test_a_manifest_cannot_lead_out_of_its_folder(saved, tmp_path):
    stem = yaml.safe_load((saved / "map.yaml").read_text())["keyframes"][1]["file"]
    for kind in ("npz", "jpg"):
        (saved / f"keyframes/{stem}.{kind}").rename(tmp_path / f"{stem}.{kind}")
    _edit(saved, f'"{stem}"', f'"../../{stem}"')

    _refused(saved, "keyframe 1: cannot read")


def test_ids_in_use_are_not_given_again_whatever_the_manifest_says(saved):
    _edit(saved, "next_id: 3", "next_id: 0")

    assert KeyframeMap.load(saved, ToldFrontEnd()).next_id == 3


@pytest.mark.parametrize("kind", ["npz", "jpg"])
def test_a_missing_file_is_named(saved, kind):
    next((saved / "keyframes").glob(f"000001-*.{kind}")).unlink()

    _refused(saved, rf"keyframe 1: cannot read .*000001-.*\.{kind}")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_keyframe_is_named(saved, share):
    file = next((saved / "keyframes").glob("000001-*.npz"))
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])

    _refused(saved, r"keyframe 1: .*000001-.*npz does not have the checksum in map.yaml")


def test_one_flipped_bit_is_found(saved):
    file = next((saved / "keyframes").glob("000002-*.npz"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)

    _refused(saved, "keyframe 2: .*does not have the checksum")


def test_a_swapped_thumbnail_is_named(saved):
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    other = KeyframeMap(ToldFrontEnd())
    other.add(type(numbered(0))(image), np.eye(4))
    file = next((saved / "keyframes").glob("000001-*.jpg"))
    file.write_bytes(other[0].thumbnail)

    _refused(saved, "keyframe 1: .*thumbnail is not the one that was saved")


def _forge(saved: Path, data: bytes) -> None:
    """Other contents for keyframe 1, under a checksum that is right."""
    file = next((saved / "keyframes").glob("000001-*.npz"))
    _edit(saved, hashlib.sha256(file.read_bytes()).hexdigest(), hashlib.sha256(data).hexdigest())
    file.write_bytes(data)


def _arrays(saved: Path) -> dict[str, np.ndarray]:
    with np.load(next((saved / "keyframes").glob("000001-*.npz"))) as archive:
        return {name: archive[name] for name in archive.files}


def _pack(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data", [b"", b"not an archive", b"PK\x03\x04 nor this", b"\x93NUMPY\x01\x00"]
)
def test_a_file_that_is_no_archive_is_named(saved, data):
    _forge(saved, data)

    _refused(saved, "keyframe 1: .*is damaged")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"about": None}, "about"),
        ({"number": None}, "number"),
        ({"more": np.ones(2)}, "more"),
        ({"about": np.array("[]")}, ""),
        ({"about": np.array("{")}, "JSON"),
    ],
)
def test_arrays_that_do_not_fit_are_named(saved, change, said):
    arrays = {**_arrays(saved), **change}
    _forge(saved, _pack({name: a for name, a in arrays.items() if a is not None}))

    _refused(saved, f"keyframe 1: .*is damaged.*{said}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pose", np.zeros((4, 4)).tolist()),
        ("pose", np.full((4, 4), np.nan).tolist()),
        ("pose", [0, 0]),
        ("camera", {"width": 64}),
        ("camera", {"width": 0, "height": 1, "fx": 1, "fy": 1, "cx": 0, "cy": 0, "distortion": []}),
        ("size", [64]),
        ("stamp", "late"),
        ("sensed", ...),
    ],
)
def test_a_keyframe_that_makes_no_sense_is_named(saved, key, value):
    arrays = _arrays(saved)
    about = json.loads(str(arrays["about"]))
    about[key] = value
    if value is ...:
        del about[key]
    _forge(saved, _pack({**arrays, "about": np.array(json.dumps(about))}))

    _refused(saved, "keyframe 1: .*is damaged")


def test_pickled_objects_are_never_loaded(saved):
    with zipfile.ZipFile(io.BytesIO(_pack(_arrays(saved)))) as archive:
        assert "about.npy" in archive.namelist()
    _forge(saved, _pack({**_arrays(saved), "number": np.array([object], object)}))

    _refused(saved, "keyframe 1: .*is damaged.*allow_pickle")


def test_global_descriptors_of_another_length_are_named(saved):
    arrays = _arrays(saved)
    _forge(saved, _pack({**arrays, "global_descriptor": np.ones(5, np.float32)}))

    _refused(saved, "keyframe 1: global descriptor of length 5, the map's have 2")


def test_a_map_may_be_copied(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "copy")

    _assert_same(_some(), KeyframeMap.load(tmp_path / "copy", ToldFrontEnd()))


def _outside(saved: Path, tmp_path: Path, kind: str) -> Path:
    """Keyframe 1's file moved out of the map; returns where it was."""
    file = next((saved / "keyframes").glob(f"000001-*.{kind}"))
    file.rename(tmp_path / file.name)
    return file


@pytest.mark.parametrize("kind", ["npz", "jpg"])
def test_a_link_out_of_the_map_is_refused(saved, tmp_path, kind):
    file = _outside(saved, tmp_path, kind)
    file.symlink_to(tmp_path / file.name)

    _refused(saved, f"keyframe 1: .*{kind} is a link out of the map, to .*: copy the map")


def test_a_link_for_the_folder_of_keyframes_is_refused(saved, tmp_path):
    (saved / "keyframes").rename(tmp_path / "elsewhere")
    (saved / "keyframes").symlink_to(tmp_path / "elsewhere")

    _refused(saved, "keyframe 0: .* is a link out of the map")
    with pytest.raises(MapError, match="keyframes is a link"):
        _some().save(saved)


def test_a_map_whose_files_are_all_links_is_read(saved, tmp_path):
    """Of a package that colcon installs with links."""
    installed = tmp_path / "install"
    (installed / "keyframes").mkdir(parents=True)
    for name in _files(saved):
        (installed / name).symlink_to(saved / name)

    _assert_same(_some(), KeyframeMap.load(installed, ToldFrontEnd()))


@pytest.mark.parametrize("stem", ["/etc/passwd", "../000001-000000000000", "a" * 5000, "\0", ""])
def test_other_files_cannot_be_named(saved, stem):
    old = yaml.safe_load((saved / "map.yaml").read_text())["keyframes"][1]["file"]
    _edit(saved, f'"{old}"', json.dumps(stem))

    _refused(
        saved, "cannot read .{0,60}: not the name of a map's file|file = .{0,40}: must be a text"
    )


@pytest.mark.parametrize("name", ["map.yaml", "keyframes/000001.npz"])
def test_a_file_without_end_is_refused(saved, name):
    file = saved / name if name == "map.yaml" else next((saved / "keyframes").glob("000001-*.npz"))
    file.unlink()
    os.mkfifo(file)

    _refused(saved, "is not a regular file")


_LAUGHS = "a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n" + "".join(
    f"{n}: &{n} [{','.join([f'*{o}'] * 9)}]\n"
    for o, n in zip("bcdefghij", "cdefghijk", strict=True)
)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("next_id: 3\n", "next_id: 99999999999999999999\n", r"next_id = 9+: must be .*\[0, 4294"),
        ("next_id: 3\n", f"next_id: {'9' * 5000}\n", "cannot read .*map.yaml"),
        ("next_id: 3\n", "next_id: -1\n", "next_id = -1"),
        ("next_id: 3\n", "next_id: 3.0\n", "next_id = 3.0"),
        ("next_id: 3\n", "next_id: true\n", "next_id = True"),
        ("next_id: 3\n", "next_id: !!int ''\n", "cannot read .*map.yaml"),
        ("next_id: 3\n", "next_id: !!timestamp x\n", "cannot read .*map.yaml"),
        ("next_id: 3\n", "next_id: !!bool x\n", "cannot read .*map.yaml"),
        ('"id": 1', '"id": 99999999999999999999', "id = 9+: must be a whole number"),
        ('"id": 1', '"id": 4294967295', "id = 4294967295: must be a whole number"),
        ('"id": 1', '"id": 0', "two keyframes have the same id"),
        ("fingerprint: told-1\n", _LAUGHS + "fingerprint: *k\n", "fingerprint = .*must be a text"),
        ("format: 2\n", _LAUGHS + "format: *k\n", "map format .{0,400}, this version"),
        ("keyframes:\n", _LAUGHS + "keyframes: *k\nothers:\n", "map.yaml is damaged"),
    ],
)
def test_numbers_and_texts_beyond_all_limits_are_named(saved, old, new, said):
    _edit(saved, old, new)

    _refused(saved, said)


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

    _refused(saved, f"keyframe 1: .*is damaged.*number.*{said}")


def test_a_compressed_archive_is_refused(saved):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{**_arrays(saved), "number": np.zeros(10_000_000, np.int64)})
    assert len(buffer.getvalue()) < 100_000
    _forge(saved, buffer.getvalue())

    _refused(saved, "keyframe 1: .*is damaged.*larger than the file")


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

    _refused(tmp_path, f"keyframe 1: .*is damaged.*{said}".replace("(5,", f"({count},"), front_end)
