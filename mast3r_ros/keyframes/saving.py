# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Saving a map: a commit to the file that it was read from, or a new file renamed into place.

Killed at any moment, the old map or the new one is there. A commit is a transaction of SQLite: the
pages that it replaces are in a journal that is synced first, and the next program that opens the
map puts them back. A new file is written beside, synced, and renamed over what was there.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.untrusted import brief
from mast3r_ros.keyframes import archive
from mast3r_ros.keyframes.database import (
    APPLICATION,
    FILE,
    FORMAT_VERSION,
    PAGE_SIZE,
    TABLES,
    Header,
    MapError,
    connect,
    inode,
    journal_of,
    read_header,
    recover,
)
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.match_kernel import Code
from mast3r_ros.keyframes.store import CALIBRATED, SENSED, Store, pack_entry
from mast3r_ros.keyframes.stored import StoredKeyframe
from mast3r_ros.keyframes.usage import Usage, total

_STAGING = ".saving-"
# So many keyframes' short rows lie together in a new file: opening a map reads those alone.
_RUN = 1024
_Short = tuple[int, int, bytes, int, str, int]
_Long = tuple[int, bytes, bytes]


@dataclass(frozen=True)
class Saving:
    """A map at one moment, ready to be written by any thread.

    Attributes:
        path: the map's folder.
        header: what it will say of itself.
        changed: those that are not in `store`, or others there.
        borrowed: those of other maps on disk, with what is different in this one.
        removed: ids in `store` that it no longer has.
        ids: of all its keyframes; None for a commit to `store`, which writes what has changed.
        cells: of the trained index, by id: of what has changed, or of all with `centroids`.
        centroids: (C, G) of that index, None where it is not written, or as it is there.
        codes: visual words, by id: of what has changed, or of all with `ids`.
        book: identity of the codebook that they are of.
        store: where the other keyframes are.
        usage: of keyframes, by id, since the map was saved last.
    """

    path: Path
    header: Header
    changed: dict[int, Keyframe]
    borrowed: dict[int, StoredKeyframe]
    removed: frozenset[int]
    ids: tuple[int, ...] | None
    cells: dict[int, int]
    centroids: NDArray[np.float32] | None
    codes: dict[int, Code]
    book: str
    store: Store | None
    usage: dict[int, Usage]

    def write(self) -> Header:
        """Write it; returns what the file says of itself now.

        Raises:
            MapError: it cannot be written, or the folder holds something else.
        """
        try:
            if self.ids is None:
                assert self.store is not None
                return self._commit(self.path / FILE, self.store)
            return self._copy(self.path / FILE, self.ids)
        except (OSError, sqlite3.Error) as error:
            said = error.strerror if isinstance(error, OSError) else None
            raise MapError(
                f"cannot save the map to {self.path}: {said or error}; "
                "the map that was there is untouched"
            ) from error

    def _commit(self, file: Path, store: Store) -> Header:
        """Write what has changed since the map was read."""
        header = replace(self.header, revision=store.header.revision + 1)
        with contextlib.closing(connect(file, "rw")) as connection:
            _be_durable(connection)
            # Pages that leave the cache before the commit would lock readers out until then.
            connection.execute("PRAGMA cache_spill = OFF")
            with _transaction(connection):
                there = read_header(connection, file)
                if not is_of(file, store) or (there.identity, there.revision) != (
                    store.header.identity,
                    store.header.revision,
                ):
                    raise MapError(
                        f"{self.path} was saved by another program since it was loaded: load it "
                        "again, or save to another folder"
                    )
                gone = [(i,) for i in sorted(self.removed)]
                for table in ("keyframe", "contents", "cell", "code", "usage"):
                    connection.executemany(f"DELETE FROM {table} WHERE id = ?", gone)
                for keyframe in self.changed.values():
                    short, long = self._rows(keyframe)
                    connection.execute(_INSERT_SHORT, short)
                    connection.execute(_INSERT_LONG, long)
                self._write_index(connection)
                _add_usage(connection, self.usage)
                _write_header(connection, header)
        _sweep(self.path)
        return header

    def _copy(self, file: Path, ids: tuple[int, ...]) -> Header:
        """Write a whole map beside what is there, and put it in its place."""
        path = self.path
        _require_own(path)
        path.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        staged = path / f"{_STAGING}{uuid.uuid4().hex}"
        try:
            with contextlib.closing(connect(staged, "rwc")) as connection:
                self._fill(connection, ids)
            _sync(staged)
            with _alone(file):
                os.replace(staged, file)
            _sync(path)
        finally:
            for left in (staged, journal_of(staged)):
                with contextlib.suppress(OSError):
                    left.unlink()
        return self.header

    def _fill(self, connection: sqlite3.Connection, ids: tuple[int, ...]) -> None:
        """Write all keyframes into a new file, which nobody else knows yet."""
        for setting in (f"page_size = {PAGE_SIZE}", "journal_mode = OFF", "synchronous = OFF"):
            connection.execute(f"PRAGMA {setting}")
        with _transaction(connection):
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            for statement in TABLES.values():
                connection.execute(statement)
            for start in range(0, len(ids), _RUN):
                shorts = []
                for keyframe_id in ids[start : start + _RUN]:
                    short, long = self._rows_of(keyframe_id)
                    connection.execute(_INSERT_LONG, long)
                    shorts.append(short)
                connection.executemany(_INSERT_SHORT, shorts)
            self._write_index(connection)
            before = self.store.usage() if self.store is not None else {}
            _add_usage(connection, total(before, self.usage))
            _write_header(connection, self.header)

    def _write_index(self, connection: sqlite3.Connection) -> None:
        """Write the trained index and the visual words, or what has changed of them."""
        codes = [(i, self.book, code.packed()) for i, code in self.codes.items()]
        connection.executemany("INSERT OR REPLACE INTO code VALUES (?, ?, ?)", codes)
        if self.centroids is not None:
            connection.execute("DELETE FROM cell")
            connection.execute("DELETE FROM centroid")
            rows = [(i, v.astype("<f4").tobytes()) for i, v in enumerate(self.centroids)]
            connection.executemany("INSERT INTO centroid VALUES (?, ?)", rows)
        connection.executemany("INSERT OR REPLACE INTO cell VALUES (?, ?)", self.cells.items())

    def _rows_of(self, keyframe_id: int) -> tuple[_Short, _Long]:
        """The rows of a keyframe, changed or not."""
        if keyframe_id in self.changed:
            return self._rows(self.changed[keyframe_id])
        store, there = self.store, keyframe_id
        borrowed = self.borrowed.get(keyframe_id)
        if borrowed is not None:
            assert borrowed.origin is not None
            store, there, _ = borrowed.origin
        assert store is not None
        try:
            flags, entry, about = store.short(there)
            arrays, thumbnail = store.contents(there)
            archive.check_digests(archive.decode_about(about), arrays, thumbnail)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise MapError(f"{store.file}: keyframe {there}: {error}") from error
        if borrowed is not None:
            entry, about = borrowed.restated(entry, about)
        short = (keyframe_id, flags, entry, zlib.crc32(entry), about, _crc(about))
        return short, (keyframe_id, arrays, thumbnail)

    def _rows(self, keyframe: Keyframe) -> tuple[_Short, _Long]:
        """A keyframe's rows of both tables."""
        encoded = archive.encode(keyframe)
        entry = pack_entry(keyframe.pose, keyframe.description.global_descriptor)
        flags = SENSED * keyframe.sensed + CALIBRATED * (keyframe.camera is not None)
        about = encoded.about
        short = (
            keyframe.id,
            flags,
            entry,
            zlib.crc32(entry),
            about,
            _crc(about),
        )
        return short, (keyframe.id, encoded.arrays, encoded.thumbnail)


_INSERT_SHORT = "INSERT OR REPLACE INTO keyframe VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_LONG = "INSERT OR REPLACE INTO contents VALUES (?, ?, ?)"


# Of keyframes that are there: those that another program has removed are forgotten.
_ADD_USAGE = (
    "INSERT INTO usage SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS"
    " (SELECT 1 FROM keyframe WHERE id = ?1) ON CONFLICT(id) DO UPDATE SET"
    " retrieved = retrieved + excluded.retrieved, used = used + excluded.used,"
    " inliers = inliers + excluded.inliers, contradicted = contradicted + excluded.contradicted,"
    " last_used = max(last_used, excluded.last_used)"
)


def write_usage(store: Store, usage: Mapping[int, Usage]) -> None:
    """Add to the counts in a map's file, and change nothing else there.

    Several programs may do so to one map, and none of them has to load it again.

    Raises:
        MapError: the file cannot be written, or holds another map by now.
    """
    try:
        connection = connect(store.file, "rw")
        with contextlib.closing(connection), _transaction(connection):
            if not is_of(store.file, store):
                raise MapError(f"{store.file} holds another map by now: load it again")
            _add_usage(connection, usage)
    except sqlite3.Error as error:
        raise MapError(f"cannot write to {store.file}: {error}") from error


def _add_usage(connection: sqlite3.Connection, usage: Mapping[int, Usage]) -> None:
    connection.executemany(_ADD_USAGE, [(i, *counts) for i, counts in usage.items()])


def _crc(about: str) -> int:
    return zlib.crc32(about.encode())


def _sweep(path: Path) -> None:
    """Delete what killed saves have left in a folder; what cannot be deleted does no harm."""
    for stale in path.glob(f"{_STAGING}*"):
        with contextlib.suppress(OSError):
            stale.unlink()


def _write_header(connection: sqlite3.Connection, header: Header) -> None:
    values = list(vars(header).items())
    connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values)


def _be_durable(connection: sqlite3.Connection) -> None:
    """A commit is on the disk when it returns: also the deletion of the journal, which is it."""
    connection.execute("PRAGMA synchronous = EXTRA")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # SQLite has done it where the disk is full
            connection.execute("ROLLBACK")
        raise


def is_of(file: Path, store: Store) -> bool:
    """Whether a path is the very file that a store has open, and no link to it."""
    try:
        return not file.is_symlink() and inode(file) == store.inode
    except OSError:
        return False


def _require_own(path: Path) -> None:
    """Raise MapError where a folder holds something else than a map."""
    file = path / FILE
    if file.is_symlink():
        raise MapError(f"{file} is a link: a map is saved into a folder of its own")
    if file.exists():
        try:
            application = _application(file)
        except sqlite3.DatabaseError as error:
            raise MapError(
                f"{file} is damaged, or of another program ({error}): delete it, or choose "
                "another folder"
            ) from error
        if application != APPLICATION:
            raise MapError(f"{file} is of another program: choose an empty folder")
    elif path.is_dir():
        others = {p.name for p in path.iterdir() if not p.name.startswith((_STAGING, FILE))}
        if others:
            raise MapError(
                f"{path} holds other files ({brief(sorted(others)[0])}) and no {FILE}: choose an "
                "empty folder"
            )


def _application(file: Path) -> int:
    """Whose database it is, by the number in its header."""
    connection = connect(file, "ro")
    try:
        try:
            (number,) = connection.execute("PRAGMA application_id").fetchone()
        except sqlite3.OperationalError:
            connection.close()
            connection = recover(file)
            (number,) = connection.execute("PRAGMA application_id").fetchone()
    finally:
        connection.close()
    return int(number)


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold a file's lock while it is replaced.

    A journal that a killed save has left would be played back into the new file: SQLite plays it
    into the old one first.
    """
    if not file.exists():
        with contextlib.suppress(FileNotFoundError):
            journal_of(file).unlink()
        yield
        return
    with contextlib.closing(connect(file, "rw")) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def _sync(path: Path) -> None:
    """Sync a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
