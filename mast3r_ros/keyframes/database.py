# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The SQLite file of a map: how it is found, recognized, opened, and restored after a killed save.

    my_map/map.sqlite
        meta      what the map is: front end, hash of its weights, next id, revision
        keyframe  a short row a keyframe: pose, global descriptor, camera; read when it is opened
        contents  a long row a keyframe: description, mask, thumbnail; read when it is needed
        centroid, cell  of a large map: the trained index of global descriptors
        code      of a map that is not large: the visual words of a keyframe
        usage     how often a keyframe was of use, where that is counted

SQLite, not LMDB: it commits one keyframe in 17 ms against 8, but a damaged file ends in an error,
where LMDB maps it into memory and a truncated one kills the process; and it is in the standard
library. A rollback journal, not a write-ahead log: a map at rest is one file, which a read-only
medium can hold.
"""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mast3r_ros.common.errors import UserError
from mast3r_ros.common.untrusted import MAX_INT64, MAX_UINT32, text, whole
from mast3r_ros.frontends.base import FrontEnd

FORMAT_VERSION = 5
FILE = "map.sqlite"
_OLD_FILE = "map.yaml"
# "m3rm" in SQLite's header: files of other programs have another number there.
APPLICATION = 0x6D33726D
PAGE_SIZE = 1 << 15
TABLES = {
    "meta": "CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "keyframe": "CREATE TABLE keyframe(id INTEGER PRIMARY KEY, flags INTEGER, entry BLOB,"
    " entry_crc INTEGER, about TEXT, about_crc INTEGER)",
    "contents": "CREATE TABLE contents(id INTEGER PRIMARY KEY, arrays BLOB, thumbnail BLOB)",
    "centroid": "CREATE TABLE centroid(cell INTEGER PRIMARY KEY, vector BLOB)",
    "cell": "CREATE TABLE cell(id INTEGER PRIMARY KEY, cell INTEGER)",
    "code": "CREATE TABLE code(id INTEGER PRIMARY KEY, book TEXT, words BLOB)",
    "usage": "CREATE TABLE usage(id INTEGER PRIMARY KEY, retrieved INTEGER, used INTEGER,"
    " inliers INTEGER, contradicted INTEGER, last_used INTEGER)",
}
# How long a lock of another program is waited for [s]: it lasts as long as a commit.
_PATIENCE = 30.0
_MAX_LENGTH = 1 << 16
# At the end of a journal that names another file, which SQLite would read and delete.
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


class MapError(UserError, RuntimeError):
    """A map that cannot be saved or loaded, with the reason and the remedy."""


@dataclass(frozen=True)
class Header:
    """What a map says of itself.

    Attributes:
        front_end, fingerprint: what described its keyframes.
        next_id: that the next keyframe will get.
        identity: of this map and its copies that have not changed since.
        revision: how often it was saved.
        length: numbers of a global descriptor; 0 where there is no keyframe.
    """

    front_end: str
    fingerprint: str
    next_id: int
    identity: str
    revision: int
    length: int

    @staticmethod
    def new(front_end: FrontEnd, next_id: int, length: int) -> Header:
        """Of a map that begins."""
        identity = uuid.uuid4().hex
        return Header(front_end.name, front_end.fingerprint, next_id, identity, 0, length)

    @staticmethod
    def of(values: dict[Any, Any]) -> Header:
        """From the table `meta`; ValueError or KeyError where that is none."""
        return Header(
            text(values["front_end"], "front_end"),
            text(values["fingerprint"], "fingerprint"),
            whole(values["next_id"], "next_id", 0, MAX_UINT32),
            text(values["identity"], "identity"),
            whole(values["revision"], "revision", 0, MAX_INT64),
            whole(values["length"], "length", 0, _MAX_LENGTH),
        )


def find(path: Path) -> Path:
    """The database of the map in a folder.

    Raises:
        MapError: there is none, or it is no regular file.
    """
    file = path / FILE
    try:
        about = file.stat()
    except OSError as error:
        if not path.is_dir():
            raise MapError(f"no map at {path}: there is no such folder") from error
        if (path / _OLD_FILE).exists():
            raise MapError(
                f"{path} holds a map of an older format ({_OLD_FILE}), this version reads format "
                f"{FORMAT_VERSION}: build the map again from its recording (mast3r_ros map build)"
            ) from error
        raise MapError(f"no map at {path}: {FILE} is missing or cannot be read") from error
    if not stat.S_ISREG(about.st_mode):
        raise MapError(f"cannot read {file}: it is not a regular file")
    return file


def connect(file: Path, mode: str) -> sqlite3.Connection:
    """Open a database; `mode` is ro, rw or rwc. MapError where it cannot be."""
    try:
        connection = sqlite3.connect(
            f"{file.resolve().as_uri()}?mode={mode}",
            uri=True,
            timeout=_PATIENCE,
            isolation_level=None,
            check_same_thread=False,
        )
    except (sqlite3.Error, OSError) as error:
        raise MapError(f"cannot open {file}: {error}") from error
    # A file of others may hold anything: its schema runs nothing, and its pages are checked.
    for setting in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        connection.execute(f"PRAGMA {setting}")
    return connection


def recover(file: Path) -> sqlite3.Connection:
    """Open a database for reading whose last save was killed.

    Raises:
        MapError: it cannot be written, or its journal is of another program.
    """
    journal = journal_of(file)
    with contextlib.suppress(OSError), journal.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(stream.tell() - len(_JOURNAL_MAGIC), 0))
        if stream.read() == _JOURNAL_MAGIC:
            raise MapError(f"{journal} is not of a map: delete it, or copy the map again")
    connection = connect(file, "rw")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError) and journal.exists():
            raise MapError(
                f"the last save of {file} was killed: open the map once where it can be written, "
                f"and the map of before is there again ({error})"
            ) from error
        raise
    return connection


def read_header(connection: sqlite3.Connection, file: Path) -> Header:
    """What a map says of itself.

    Raises:
        MapError: it is of another program, of another version, or damaged.
        sqlite3.Error: it cannot be read.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise MapError(f"{file} is of another program: it is no map of mast3r_ros")
    if version != FORMAT_VERSION:
        remedy = "update mast3r_ros" if version > FORMAT_VERSION else "build the map again"
        raise MapError(
            f"{file}: map format {version}, this version reads {FORMAT_VERSION}: {remedy}"
        )
    # Anything else, such as a view in a table's place, would run as a query of its own.
    schema = connection.execute(
        "SELECT name, CASE WHEN length(sql) < 1000 THEN sql END FROM sqlite_master "
        "WHERE length(name) < 100 LIMIT 20"
    ).fetchall()
    if dict(schema) != TABLES or len(schema) != len(TABLES):
        raise MapError(f"{file} is damaged: its tables are not those of a map")
    values = connection.execute(
        "SELECT name, CASE WHEN length(value) < 1000 THEN value END FROM meta "
        "WHERE length(name) < 100 LIMIT 20"
    ).fetchall()
    try:
        return Header.of(dict(values))
    except (KeyError, ValueError) as error:
        missing = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise MapError(f"{file} is damaged: {missing}") from error


def journal_of(file: Path) -> Path:
    """Where SQLite keeps what a save replaces until it is done."""
    real = file.resolve()
    return real.with_name(f"{real.name}-journal")


def inode(file: Path) -> tuple[int, int]:
    """Which file it is, whatever its name."""
    about = file.stat()
    return about.st_dev, about.st_ino
