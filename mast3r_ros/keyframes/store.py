# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A map on disk, open for reading: of its database, only what is needed is read."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.untrusted import MAX_UINT32, brief, whole
from mast3r_ros.frontends.base import FrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.archive import MAX_ABOUT
from mast3r_ros.keyframes.database import (
    MapError,
    connect,
    find,
    inode,
    journal_of,
    read_header,
    recover,
)
from mast3r_ros.keyframes.match_kernel import Code, Codebook
from mast3r_ros.keyframes.usage import Usage

# Larger ones are not of a map [bytes]; a keyframe of `mast3r` with all details takes 10 MB.
_MAX_ARRAYS, _MAX_THUMBNAIL = 1 << 28, 1 << 24
# The visual words of an image are fewer than those of a codebook.
_MAX_CODE = 10 << 16
# Rows that are read at a time.
_BATCH = 2048
SENSED, CALIBRATED = 1, 2


class Entries(NamedTuple):
    """Short rows of several keyframes.

    Attributes:
        ids: (N,) int64, increasing.
        poses: (N, 4, 4), map <- camera.
        flags: (N,) uint8, SENSED | CALIBRATED.
        descriptors: (N, G) float32.
    """

    ids: NDArray[np.int64]
    poses: NDArray[np.float64]
    flags: NDArray[np.uint8]
    descriptors: NDArray[np.float32]


def pack_entry(pose: Pose, descriptor: NDArray[np.float32]) -> bytes:
    """What `Entries` are made of."""
    return pose.astype("<f8").tobytes() + descriptor.astype("<f4").tobytes()


def unpack_pose(entry: bytes) -> Pose:
    """The pose in what `pack_entry` made."""
    return np.frombuffer(entry, "<f8", 16).reshape(4, 4).astype(np.float64)


def unpack_descriptor(entry: bytes) -> NDArray[np.float32]:
    """The global descriptor, (G,), in what `pack_entry` made."""
    return np.frombuffer(entry, "<f4", offset=_POSE_BYTES).astype(np.float32)


_POSE_BYTES = 16 * 8


class Store:
    """A map's database, open for reading. One at a time reads; threads wait for one another."""

    def __init__(self, path: Path) -> None:
        """Open the map in a folder.

        Raises:
            MapError: none, another program's, another version's, or damaged.
        """
        self.path = path
        self.file = find(path)
        self._lock = threading.Lock()
        self._connection = connect(self.file, "ro")
        try:
            with self._reading():
                self._begin()
                self._connection.execute("COMMIT")
            self.inode = inode(self.file)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Read no more."""
        self._connection.close()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Hold the lock; say of SQLite's errors whose they are."""
        with self._lock:
            try:
                yield
            except sqlite3.OperationalError as error:
                raise MapError(f"cannot read {self.file}: {error}") from error
            except sqlite3.Error as error:
                raise MapError(f"{self.file} is damaged, or of another program: {error}") from error

    def _run(self, query: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Execute a query; put the old map back where a save was killed."""
        try:
            return self._connection.execute(query, values)
        except sqlite3.OperationalError:
            if not journal_of(self.file).exists():
                raise
            within = self._connection.in_transaction
            self._connection.close()
            self._connection = recover(self.file)
            if within:
                self._connection.execute("BEGIN")
            return self._connection.execute(query, values)

    def _begin(self) -> None:
        """Begin a transaction: until its end the map stays as the header, read here, says."""
        self._connection.execute("BEGIN")
        try:
            self._run("SELECT count(*) FROM sqlite_master").fetchone()
            self.header = read_header(self._connection, self.file)
            (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
            (size,) = self._connection.execute("PRAGMA page_size").fetchone()
            there = self.file.stat().st_size
            if there != pages * size:
                raise MapError(
                    f"{self.file} is damaged: it has {there} bytes of {pages * size}: copy the "
                    "map again"
                )
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    @property
    def _entry_size(self) -> int:
        return _POSE_BYTES + 4 * self.header.length

    def require(self, front_end: FrontEnd) -> None:
        """Raise MapError where another front end described the keyframes."""
        made_by = self.header.front_end, self.header.fingerprint
        if made_by != (front_end.name, front_end.fingerprint):
            raise MapError(
                f"{self.path} was made by front end {brief(made_by[0])} ({made_by[1]}), running "
                f"is '{front_end.name}' ({front_end.fingerprint}): set `front_end`, and for "
                "mast3r its `checkpoint` (--front-end mast3r=CHECKPOINT), or build the map again"
            )

    def entries(self) -> Iterator[Entries]:
        """The short rows of all keyframes, some at a time, by increasing id.

        Raises:
            MapError: one is damaged.
        """
        query = (
            "SELECT id, flags, entry_crc, "
            "CASE WHEN typeof(entry) = 'blob' AND length(entry) = ? THEN entry END "
            "FROM keyframe ORDER BY id"
        )
        last = -1
        with self._reading():
            self._begin()
            try:
                cursor = self._connection.execute(query, (self._entry_size,))
                while rows := cursor.fetchmany(_BATCH):
                    try:
                        batch = _entries(rows, last, self.header.length)
                    except ValueError as error:
                        raise MapError(f"{self.file} is damaged: {error}") from error
                    last = int(batch.ids[-1])
                    yield batch
            finally:
                self._connection.execute("ROLLBACK")

    def centroids(self) -> NDArray[np.float32]:
        """(C, G) of the trained index of descriptors; none where the map is small.

        Raises:
            MapError: they are damaged.
        """
        size = 4 * self.header.length
        with self._reading():
            rows = self._run(
                "SELECT CASE WHEN typeof(vector) = 'blob' AND length(vector) = ? THEN vector END "
                "FROM centroid ORDER BY cell",
                (size,),
            ).fetchall()
        if any(vector is None for (vector,) in rows):
            raise MapError(f"{self.file} is damaged: a centroid has another length")
        found = np.frombuffer(b"".join(vector for (vector,) in rows), "<f4")
        found = found.reshape(-1, max(self.header.length, 1)).astype(np.float32)
        if not np.isfinite(found).all():
            raise MapError(f"{self.file} is damaged: a centroid is not finite")
        return found

    def cells(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids (N,), increasing, and cells (N,) of the trained index; -1 for what is none."""
        with self._reading():
            rows = self._run(
                "SELECT id, CASE WHEN typeof(cell) = 'integer' THEN cell ELSE -1 END FROM cell "
                "ORDER BY id"
            ).fetchall()
        table = np.array(rows, np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def codes(self, codebook: Codebook) -> dict[int, Code]:
        """Visual words of keyframes, by id; those of other words are left out.

        Raises:
            MapError: one is damaged.
        """
        return self._codes("", codebook)

    def code(self, keyframe_id: int, codebook: Codebook) -> Code | None:
        """Visual words of a keyframe; None where it has none of these. Errors as of `codes`."""
        return self._codes(" AND id = ?", codebook, keyframe_id).get(keyframe_id)

    def _codes(self, which: str, codebook: Codebook, *values: int) -> dict[int, Code]:
        with self._reading():
            rows = self._run(
                "SELECT id, CASE WHEN typeof(words) = 'blob' AND length(words) <= ? THEN words END "
                f"FROM code WHERE book = ?{which}",
                (_MAX_CODE, codebook.identity, *values),
            ).fetchall()
        try:
            return {i: Code.unpacked(words, len(codebook.words)) for i, words in rows}
        except (TypeError, ValueError) as error:
            raise MapError(f"{self.file} is damaged: visual words: {error}") from error

    def usage(self) -> dict[int, Usage]:
        """How often keyframes were of use, by id; rows that are none are left out."""
        with self._reading():
            rows = self._run(f"SELECT id, {', '.join(Usage._fields)} FROM usage").fetchall()
        numbers = [row for row in rows if all(type(n) is int and n >= 0 for n in row)]
        return {keyframe_id: Usage(*counts) for keyframe_id, *counts in numbers}

    def short(self, keyframe_id: int) -> tuple[int, bytes, str]:
        """Flags, entry (`pack_entry`) and JSON of a keyframe.

        Raises:
            KeyError: there is none of that id.
            ValueError: it is damaged.
            MapError: the file cannot be read.
        """
        with self._reading():
            row = self._run(
                "SELECT flags, CASE WHEN typeof(entry) = 'blob' AND length(entry) = ? "
                "THEN entry END, entry_crc, CASE WHEN typeof(about) = 'text' "
                "AND length(about) <= ? THEN about END, about_crc FROM keyframe WHERE id = ?",
                (self._entry_size, MAX_ABOUT, keyframe_id),
            ).fetchone()
        if row is None:
            raise KeyError(keyframe_id)
        flags, entry, entry_crc, about, about_crc = row
        if None in row or zlib.crc32(entry) != entry_crc or zlib.crc32(about.encode()) != about_crc:
            raise ValueError("its row does not have its checksum")
        return whole(flags, "flags", 0, SENSED | CALIBRATED), entry, about

    def contents(self, keyframe_id: int) -> tuple[bytes, bytes]:
        """Arrays and thumbnail of a keyframe; errors as of `short`."""
        with self._reading():
            row = self._run(
                "SELECT CASE WHEN typeof(arrays) = 'blob' AND length(arrays) <= ? "
                "THEN arrays END, CASE WHEN typeof(thumbnail) = 'blob' "
                "AND length(thumbnail) <= ? THEN thumbnail END FROM contents WHERE id = ?",
                (_MAX_ARRAYS, _MAX_THUMBNAIL, keyframe_id),
            ).fetchone()
        if row is None:
            raise KeyError(keyframe_id)
        if None in row:
            raise ValueError("its data are none, or larger than any keyframe's")
        return row[0], row[1]


def _entries(rows: list[tuple[Any, ...]], last: int, length: int) -> Entries:
    """Rows of the table `keyframe`, checked; ValueError names the first that is none."""
    ids, flags, _, blobs = zip(*rows, strict=True)
    for keyframe_id, flag, checksum, blob in rows:
        whole(keyframe_id, "id", last + 1, MAX_UINT32 - 1)
        last = keyframe_id
        if blob is None or zlib.crc32(blob) != checksum:
            raise ValueError(f"keyframe {keyframe_id}: its row does not have its checksum")
        whole(flag, f"keyframe {keyframe_id}: flags", 0, SENSED | CALIBRATED)
    numbers = np.frombuffer(b"".join(blobs), np.uint8).reshape(len(rows), -1)
    poses = numbers[:, :_POSE_BYTES].copy().view("<f8").reshape(-1, 4, 4)
    descriptors = numbers[:, _POSE_BYTES:].copy().view("<f4").reshape(-1, length)
    for bad, said in (
        (~transforms.are_rigid(poses), "its pose is not a rigid transform"),
        (~np.isfinite(descriptors).all(1), "its global descriptor is not finite"),
    ):
        if bad.any():
            raise ValueError(f"keyframe {ids[int(bad.argmax())]}: {said}")
    return Entries(
        np.array(ids, np.int64),
        poses.astype(np.float64, copy=False),
        np.array(flags, np.uint8),
        descriptors.astype(np.float32, copy=False),
    )
