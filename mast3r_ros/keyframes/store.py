# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A map on disk: a folder that is whole at every moment.

    my_map/
        map.yaml                    what the map is, and the name and checksum of every keyframe
        keyframes/000003-1f0c….npz  one file a keyframe, named by its contents
        keyframes/000003-1f0c….jpg  its thumbnail

Files of keyframes never change: they are written to a temporary folder beside, synced, and renamed
into place. Only then a new `map.yaml` is renamed over the old one, which is the one moment at which
the map changes; files that it no longer names are deleted last. Killed before, the old map is there
with all its files; killed after, the new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mast3r_ros.common.errors import UserError
from mast3r_ros.common.untrusted import MAX_UINT32, brief, load_yaml, read_file, text, whole
from mast3r_ros.frontends.base import FrontEnd
from mast3r_ros.keyframes import archive
from mast3r_ros.keyframes.keyframe import Keyframe

FORMAT_VERSION = 2
_MANIFEST = "map.yaml"
_FOLDER = "keyframes"
_STAGING = ".saving-"
_HEADLINE = "# mast3r_ros map\n"
# What `save` calls the files of a keyframe.
_OWN = re.compile(r"[0-9]{6,10}-[0-9a-f]{12}\.(npz|jpg)")
# Larger files are not of a map [bytes]; a keyframe of `mast3r` with all details takes 10 MB.
_MAX_MANIFEST, _MAX_KEYFRAME, _MAX_THUMBNAIL = 1 << 26, 1 << 28, 1 << 24


class MapError(UserError, RuntimeError):
    """A map that cannot be saved or loaded, with the reason and the remedy."""


def save(keyframes: Sequence[Keyframe], front_end: FrontEnd, next_id: int, path: Path) -> None:
    """Write a map; see `KeyframeMap.save`."""
    try:
        _save(keyframes, front_end, next_id, path)
    except OSError as error:
        raise MapError(
            f"cannot save the map to {path}: {error.strerror or error}; "
            "the map that was there is untouched"
        ) from error


def _save(keyframes: Sequence[Keyframe], front_end: FrontEnd, next_id: int, path: Path) -> None:
    if path.is_dir() and any(path.iterdir()) and not (path / _MANIFEST).exists():
        leftovers = {_FOLDER, *(p.name for p in path.glob(f"{_STAGING}*"))}
        if {p.name for p in path.iterdir()} - leftovers:
            raise MapError(f"{path} holds other files and no {_MANIFEST}: choose an empty folder")
    # Maps of floors are often called so too.
    if (path / _MANIFEST).exists() and not (path / _MANIFEST).read_bytes().startswith(
        _HEADLINE.encode()
    ):
        raise MapError(f"{path / _MANIFEST} is of another program: choose an empty folder")
    folder = path / _FOLDER
    if folder.is_symlink():
        raise MapError(f"{folder} is a link: a map is saved into folders of its own")
    folder.mkdir(parents=True, exist_ok=True)
    for stale in path.glob(f"{_STAGING}*"):
        shutil.rmtree(stale, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=path))
    try:
        entries = []
        for keyframe in keyframes:
            data = archive.encode(keyframe)
            digest = hashlib.sha256(data).hexdigest()
            stem = f"{keyframe.id:06d}-{digest[:12]}"
            for name, content in ((f"{stem}.npz", data), (f"{stem}.jpg", keyframe.thumbnail)):
                if not _holds(folder / name, content):
                    _write_synced(staging / name, content)
                    os.replace(staging / name, folder / name)
            entries.append({"id": keyframe.id, "file": stem, "sha256": digest})
        _sync_folder(folder)
        header = {
            "format": FORMAT_VERSION,
            "front_end": front_end.name,
            "fingerprint": front_end.fingerprint,
            "next_id": next_id,
        }
        listing = "".join(f"\n- {json.dumps(entry)}" for entry in entries) or " []"
        text = f"{_HEADLINE}{yaml.safe_dump(header, sort_keys=False)}keyframes:{listing}\n"
        _write_synced(staging / _MANIFEST, text.encode())
        os.replace(staging / _MANIFEST, path / _MANIFEST)
        _sync_folder(path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    _sweep(folder, (entry["file"] for entry in entries))


def _holds(file: Path, content: bytes) -> bool:
    try:
        return not file.is_symlink() and file.read_bytes() == content
    except OSError:
        return False


def _sweep(folder: Path, kept: Iterable[Any]) -> None:
    """Delete our files that the manifest does not name; what cannot be deleted does no harm."""
    stems = set(kept)
    for file in folder.iterdir():
        if file.stem not in stems and _OWN.fullmatch(file.name):
            with contextlib.suppress(OSError):
                file.unlink()


def _write_synced(file: Path, content: bytes) -> None:
    with file.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_manifest(path: Path) -> dict[str, Any]:
    """What a map on disk says of itself, before its keyframes are read.

    Raises:
        MapError: no map, not a map, or of another format.
    """
    manifest = path / _MANIFEST
    try:
        header: Any = load_yaml(read_file(manifest, _MAX_MANIFEST).decode())
    except FileNotFoundError as error:
        raise MapError(f"no map at {path}: {manifest} is missing") from error
    except (OSError, ValueError) as error:
        raise MapError(f"cannot read {manifest}: {error}") from error
    if not isinstance(header, dict) or "format" not in header:
        raise MapError(f"{manifest} is not the manifest of a mast3r_ros map")
    form = header["format"]
    if form != FORMAT_VERSION:
        newer = isinstance(form, int) and form > FORMAT_VERSION
        remedy = "update mast3r_ros" if newer else "build the map again"
        said = brief(form).strip("'")
        raise MapError(
            f"{path} has map format {said}, this version reads {FORMAT_VERSION}: {remedy}"
        )
    try:
        for name in ("front_end", "fingerprint"):
            text(header.get(name) or "none", name)
    except ValueError as error:
        raise MapError(f"{manifest} is damaged: {error}") from error
    return header


@dataclass(frozen=True)
class _Entry:
    """A keyframe as the manifest names it."""

    id: int
    file: str
    sha256: str

    @staticmethod
    def of(values: Any) -> _Entry:
        """From the manifest; ValueError, KeyError or TypeError where it names none."""
        return _Entry(
            whole(values["id"], "id", 0, MAX_UINT32 - 1),
            text(values["file"], "file"),
            text(values["sha256"], "sha256"),
        )


def load(path: Path, front_end: FrontEnd) -> tuple[list[Keyframe], int]:
    """Read a map; see `KeyframeMap.load`. Returns the keyframes and the next free id."""
    header = read_manifest(path)
    described_by = (header.get("front_end"), header.get("fingerprint"))
    if described_by != (front_end.name, front_end.fingerprint):
        raise MapError(
            f"{path} was made by front end '{described_by[0]}' ({described_by[1]}), running is "
            f"'{front_end.name}' ({front_end.fingerprint}): set `front_end`, and for mast3r its "
            "`checkpoint` (--front-end mast3r=CHECKPOINT), or build the map again"
        )
    manifest = path / _MANIFEST
    try:
        entries = [_Entry.of(values) for values in header["keyframes"]]
        next_id = whole(header["next_id"], "next_id", 0, MAX_UINT32)
        if len({entry.id for entry in entries}) < len(entries):
            raise ValueError("two keyframes have the same id")
    except (KeyError, TypeError, ValueError) as error:
        missing = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise MapError(f"{manifest} is damaged: {missing}") from error
    # Packages that are built with links have every file of a map linked, to one and the same place.
    folder = manifest.resolve().parent / _FOLDER
    return [_read(path, folder, front_end, entry) for entry in entries], next_id


def _read(path: Path, folder: Path, front_end: FrontEnd, entry: _Entry) -> Keyframe:
    file = path / _FOLDER / f"{entry.file}.npz"
    if not _OWN.fullmatch(f"{entry.file}.npz"):
        raise MapError(
            f"keyframe {entry.id}: cannot read {brief(entry.file)}: not the name of a map's file"
        )
    try:
        data, thumbnail = (
            _read_inside(folder, file.with_suffix(suffix), most)
            for suffix, most in ((".npz", _MAX_KEYFRAME), (".jpg", _MAX_THUMBNAIL))
        )
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise ValueError(f"{file} does not have the checksum in {_MANIFEST}")
    except OSError as error:
        raise MapError(f"keyframe {entry.id}: cannot read {error.filename}: {error}") from error
    except ValueError as error:
        raise MapError(f"keyframe {entry.id}: {error}") from error
    try:
        return archive.decode(data, thumbnail, entry.id, front_end)
    except (
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        RecursionError,
        EOFError,
        NotImplementedError,
        zipfile.BadZipFile,
    ) as error:
        raise MapError(f"keyframe {entry.id}: {file} is damaged: {error!r}") from error


def _read_inside(folder: Path, file: Path, most: int) -> bytes:
    """A file of the map; ValueError where a link leads out of the map's folder."""
    actual = file.resolve()
    if actual.parent != folder:
        raise ValueError(f"{file} is a link out of the map, to {actual}: copy the map as a whole")
    try:
        return read_file(actual, most)
    except ValueError as error:
        raise ValueError(f"{file} {error}") from error
