# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Readers of maps and of network weights under mutations, as `test_fuzz_readers` has it.

A map or checkpoint may come from anybody: its checksums are those of whoever made it.
"""

import contextlib
import hashlib
import io
import json
import pickle
import sqlite3
import zipfile
import zlib
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzing import EDITS, fuzz, mutated
from hypothesis import strategies as st
from network_reference import random_network
from safetensors.torch import save_file
from synthetic import camera_pose, view

from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.keyframes.database import FILE, PAGE_SIZE
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.network import checkpoint

# Values of YAML, JSON and pickles that no reader should trust.
VALUES = st.one_of(
    st.none(), st.booleans(), st.floats(), st.text(max_size=20),
    st.integers(-(10**22), 10**22), st.sampled_from([0, 1, -1, 2**31, 2**32, 2**63, 10**400]),
    st.lists(st.integers(0, 3), max_size=5), st.dictionaries(st.text(max_size=3), st.none()),
)  # fmt: skip
BYTES = st.integers(0, 255)


@cache
def _front_end() -> SiftFrontEnd:
    return SiftFrontEnd(SiftOptions(max_keypoints=60))


@cache
def _query():
    return view(camera_pose(0.1))


def _use(folder: Path) -> None:
    """What becomes of a map that is read: it is searched, matched, changed, saved and copied."""
    keyframes = KeyframeMap.load(folder, _front_end())
    Relocalizer(keyframes).localize(_query())
    for error in keyframes.verify():
        raise error
    if len(keyframes) > 2:
        keyframes.remove(int(keyframes.ids[0]))
    keyframes.save(folder)
    keyframes.save(folder.parent / "again")


@pytest.fixture
def folder(tmp_path) -> Path:
    keyframes = KeyframeMap(_front_end())
    for x in (0.0, 0.1, 0.2, 0.3):
        keyframes.add(view(camera_pose(x), depth=True), camera_pose(x))
    keyframes.save(tmp_path / "map")
    whole = (tmp_path / "map" / FILE).read_bytes()
    _use(tmp_path / "map")
    (tmp_path / "map" / FILE).write_bytes(whole)
    return tmp_path / "map"


def test_a_mutated_map_is_read_or_told(folder):
    """Anywhere in the file: SQLite's pages, rows, and what is in them."""
    whole = (folder / FILE).read_bytes()

    def read(edits):
        (folder / FILE).write_bytes(mutated(whole, edits))
        _use(folder)

    fuzz("map.sqlite", EDITS, read)


def test_a_map_of_other_pages_is_read_or_told(folder):
    """Bytes of SQLite's own structure: the first bytes of each page."""
    whole = (folder / FILE).read_bytes()
    flips = st.lists(
        st.tuples(st.integers(0, len(whole) // PAGE_SIZE - 1), st.integers(0, 120), BYTES),
        min_size=1,
        max_size=6,
    )

    def read(edits):
        data = bytearray(whole)
        for page, at, value in edits:
            data[page * PAGE_SIZE + at] = value
        (folder / FILE).write_bytes(data)
        _use(folder)

    fuzz("map.sqlite, pages", flips, read)


def test_a_map_of_other_rows_is_read_or_told(folder):
    """Well-formed databases: other values anywhere, under checksums that are right or not."""
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        # As of a large map.
        connection.execute("INSERT INTO cell SELECT id, 0 FROM keyframe")
        connection.execute("INSERT INTO centroid SELECT id, substr(entry, 129) FROM keyframe")
    whole = (folder / FILE).read_bytes()
    columns = {
        "meta": ("name", "value"),
        "keyframe": ("id", "flags", "entry", "entry_crc", "about", "about_crc"),
        "contents": ("id", "arrays", "thumbnail"),
        "centroid": ("cell", "vector"),
        "cell": ("id", "cell"),
    }
    places = st.sampled_from([(table, c) for table, names in columns.items() for c in names])
    values = st.one_of(
        st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary(max_size=300),
        st.sampled_from([0, 1, 2, 3, -1, 2**32, "sift", "", "x" * 70_000]),
    )  # fmt: skip

    def read(changes):
        (folder / FILE).write_bytes(whole)
        with closing(sqlite3.connect(folder / FILE)) as connection, connection:
            for (table, column), value, row in changes:
                name = connection.execute(f"SELECT * FROM {table} LIMIT 1 OFFSET {row}").fetchone()
                if name is None:
                    continue
                key = columns[table][0]
                with contextlib.suppress(sqlite3.IntegrityError):
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (value, name[0])
                    )
        _use(folder)

    fuzz(
        "map.sqlite, rows",
        st.lists(st.tuples(places, values, st.integers(0, 5)), min_size=1, max_size=3),
        read,
    )


def _forge(folder: Path, whole: bytes, about: str, arrays: bytes) -> None:
    """Other contents for a keyframe of a map, under checksums that are right."""
    (folder / FILE).write_bytes(whole)
    with contextlib.suppress(ValueError, TypeError, LookupError):
        said = json.loads(about)
        said["sha256"][0] = hashlib.sha256(arrays).hexdigest()
        about = json.dumps(said)
    checksum = zlib.crc32(about.encode())
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        connection.execute("UPDATE contents SET arrays = ? WHERE id = 1", (arrays,))
        connection.execute(
            "UPDATE keyframe SET about = ?, about_crc = ? WHERE id = 1", (about, checksum)
        )


def _keyframe(folder: Path) -> tuple[str, bytes]:
    """What is said about a keyframe, and its arrays."""
    with closing(sqlite3.connect(folder / FILE)) as connection:
        return connection.execute(
            "SELECT about, arrays FROM keyframe JOIN contents USING (id) WHERE id = 1"
        ).fetchone()


def test_a_mutated_keyframe_with_its_checksum_is_read_or_told(folder):
    about, arrays = _keyframe(folder)
    whole = (folder / FILE).read_bytes()

    def read(edits):
        _forge(folder, whole, about, mutated(arrays, edits))
        _use(folder)

    fuzz("keyframe, bytes", EDITS, read)


def _packed(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


_SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)
_DTYPES = st.sampled_from(["f2", "f4", "f8", "i8", "u1", "?", "U5", "S3", "c8", "M8[s]", ">f4"])
_FILLS = st.sampled_from([0, 1, -1, np.nan, np.inf, 1e30, 65504.0])


def test_a_keyframe_of_other_values_is_read_or_told(folder):
    """Well-formed archives: other arrays, and other values of what is said about the keyframe."""
    text, packed = _keyframe(folder)
    whole = (folder / FILE).read_bytes()
    with np.load(io.BytesIO(packed)) as archive:
        arrays = {key: archive[key] for key in archive.files}
    about = json.loads(text)
    said = st.tuples(st.just("about"), st.sampled_from(sorted(about)), VALUES)
    calibrated = st.tuples(st.just("camera"), st.sampled_from(sorted(about["camera"])), VALUES)
    shaped = st.tuples(st.just("array"), st.sampled_from(sorted(arrays)), _SHAPES, _DTYPES)
    filled = st.tuples(st.just("fill"), st.sampled_from(sorted(arrays)), _FILLS)

    def read(changes):
        forged, now = dict(arrays), json.loads(json.dumps(about))
        for kind, key, *values in changes:
            if kind == "about":
                now[key] = values[0]
            elif kind == "camera" and isinstance(now["camera"], dict):
                now["camera"][key] = values[0]
            elif kind == "array":
                forged[key] = np.zeros(*values)
            elif kind == "fill" and forged[key].dtype.kind == "f":
                forged[key] = np.full_like(forged[key], values[0])
        _forge(folder, whole, json.dumps(now), _packed(forged))
        _use(folder)

    fuzz(
        "keyframe, values",
        st.lists(st.one_of(said, calibrated, shaped, filled), min_size=1, max_size=3),
        read,
    )


# ---- weights ----------------------------------------------------------------------------------
@cache
def _network():
    return random_network()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_mutated_weights_are_read_or_told(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    checkpoint.save_checkpoint(_network(), path)
    whole = path.read_bytes()
    # Most of a file is numbers: structure is at its front, and of an archive at its end too.
    front, back = whole[:20_000], whole[20_000:]
    cut = len(back) - 20_000

    def read(one):
        at_front, edits = one
        if at_front or suffix != ".pth":
            path.write_bytes(mutated(front, edits) + back)
        else:
            path.write_bytes(front + back[:cut] + mutated(back[cut:], edits))
        checkpoint.load_checkpoint(path)

    fuzz(f"weights {suffix}", st.tuples(st.booleans(), EDITS), read)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_of_other_sizes_are_read_or_told(tmp_path, suffix):
    """Well-formed files: other sizes in the configuration, and tensors of other kinds."""
    config, state = _network().config.to_dict(), dict(_network().state_dict())
    sized = st.tuples(st.just("config"), st.sampled_from(sorted(config)), VALUES)
    keys = ["patch_embed.proj.weight", "decoder_embed.weight", "enc_blocks.0.norm1.weight"]
    keys += [key for key in state if "fc1.weight" in key or "dpt.head.0" in key or "_rn" in key]
    shaped = st.tuples(
        st.just("tensor"),
        st.sampled_from(sorted(keys)),
        st.lists(st.integers(0, 70), max_size=4),
        st.sampled_from([torch.float32, torch.float16, torch.int8, torch.bool]),
    )
    spread = st.tuples(
        st.just("expand"), st.sampled_from(sorted(keys)), st.lists(st.just(2**15), max_size=4)
    )

    path = tmp_path / f"weights{suffix}"

    def read(one):
        with_config, changes = one
        now, forged = dict(config), dict(state)
        for kind, key, *values in changes:
            if kind == "config":
                now[key] = values[0]
            elif kind == "tensor":
                forged[key] = torch.zeros(values[0], dtype=values[1])
            elif suffix == ".pth":
                forged[key] = torch.zeros([1] * len(values[0])).expand(values[0])
        if suffix == ".pth":
            torch.save({"model": forged} | ({"config": now} if with_config else {}), path)
        else:
            metadata = {"config": json.dumps(now)} if with_config else None
            save_file({k: v.contiguous() for k, v in forged.items()}, path, metadata)
        checkpoint.load_checkpoint(path)

    changes = st.lists(st.one_of(sized, shaped, spread), min_size=1, max_size=3)
    fuzz(f"sizes of weights {suffix}", st.tuples(st.booleans(), changes), read)


def _refused(path: Path, said: str) -> None:
    with pytest.raises(checkpoint.CheckpointError, match=said):
        checkpoint.load_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("encoder_heads", 0, r"encoder_heads = 0: must be a whole number in \[1, 256\]"),
        ("encoder_depth", 10**9, "encoder_depth = 1000000000: must be a whole number"),
        ("decoder_width", 10**400, "decoder_width = a number of 1329 bits"),
        ("rope_base", float("nan"), "rope_base = nan"),
        ("dpt_level_channels", (1, 2, 3), "dpt_level_channels = .*must be 4"),
    ],
)
def test_sizes_that_no_network_has_are_named(tmp_path, name, value, said):
    path = tmp_path / "weights.pth"
    content = {"model": _network().state_dict(), "config": _network().config.to_dict()}
    content["config"][name] = value
    torch.save(content, path)

    _refused(path, said)


def test_a_tensor_of_the_wrong_rank_is_named(tmp_path):
    path, state = tmp_path / "weights.safetensors", dict(_network().state_dict())
    state["patch_embed.proj.weight"] = torch.zeros(12)
    save_file(state, path)

    _refused(path, r"patch_embed.proj.weight has shape \(12,\): expected 4 sides")


def test_a_tensor_that_the_file_does_not_hold_is_not_made(tmp_path):
    path, state = tmp_path / "weights.pth", dict(_network().state_dict())
    state["patch_embed.proj.weight"] = torch.zeros(1, 1, 1, 1).expand(2**20, 2**20, 16, 16)
    torch.save({"model": state}, path)

    _refused(path, "has more numbers than the file holds for it")


def test_a_compressed_checkpoint_is_refused(tmp_path):
    path, other = tmp_path / "weights.pth", tmp_path / "packed.pth"
    torch.save({"model": {"a": torch.zeros(1_000_000)}}, path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            new.writestr(member, old.read(member))

    _refused(other, "is compressed")


def test_a_pickle_of_before_archives_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"model": {}}))

    _refused(path, "weights.pth is damaged, or no PyTorch checkpoint of version 1.6 or later")
