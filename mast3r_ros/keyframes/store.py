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
import io
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from mast3r_ros.common.errors import UserError
from mast3r_ros.frontends.base import FrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.keyframes.keyframe import Keyframe

FORMAT_VERSION = 2
_MANIFEST = "map.yaml"
_FOLDER = "keyframes"
_STAGING = ".saving-"
_HEADLINE = "# mast3r_ros map\n"
# What `save` calls the files of a keyframe.
_OWN = re.compile(r"\d{6,}-[0-9a-f]{12}\.(npz|jpg)")


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
    folder.mkdir(parents=True, exist_ok=True)
    for stale in path.glob(f"{_STAGING}*"):
        shutil.rmtree(stale, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=path))
    try:
        entries = []
        for keyframe in keyframes:
            data = _encode(keyframe)
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
        return file.read_bytes() == content
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


def _encode(keyframe: Keyframe) -> bytes:
    about = {
        "id": keyframe.id,
        # As it is: a quaternion would come back with other last digits.
        "pose": keyframe.pose.tolist(),
        "camera": None if keyframe.camera is None else keyframe.camera.to_dict(),
        "stamp": keyframe.stamp,
        "frame_id": keyframe.frame_id,
        "size": keyframe.size,
        "sensed": keyframe.sensed,
        "thumbnail_sha256": hashlib.sha256(keyframe.thumbnail).hexdigest(),
    }
    mask = np.zeros((0, 0), np.uint8) if keyframe.mask is None else np.packbits(keyframe.mask, 1)
    buffer = io.BytesIO()
    # np.savez stamps its members with the time; equal keyframes must have equal bytes.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in {
            "about": np.array(json.dumps(about)),
            "mask": mask,
            **keyframe.description.arrays(),
        }.items():
            member = io.BytesIO()
            np.lib.format.write_array(
                member, np.ascontiguousarray(array) if array.ndim else array, allow_pickle=False
            )
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), member.getvalue()
            )
    return buffer.getvalue()


def read_manifest(path: Path) -> dict[str, Any]:
    """What a map on disk says of itself, before its keyframes are read.

    Raises:
        MapError: no map, not a map, or of another format.
    """
    manifest = path / _MANIFEST
    try:
        header: Any = yaml.load(
            manifest.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
    except FileNotFoundError as error:
        raise MapError(f"no map at {path}: {manifest} is missing") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MapError(f"cannot read {manifest}: {error}") from error
    if not isinstance(header, dict) or "format" not in header:
        raise MapError(f"{manifest} is not the manifest of a mast3r_ros map")
    if header["format"] != FORMAT_VERSION:
        newer = isinstance(header["format"], int) and header["format"] > FORMAT_VERSION
        remedy = "update mast3r_ros" if newer else "build the map again"
        raise MapError(
            f"{path} has map format {str(header['format'])[:20]}, this version reads "
            f"{FORMAT_VERSION}: {remedy}"
        )
    return header


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
    try:
        entries = [(int(e["id"]), str(e["file"]), str(e["sha256"])) for e in header["keyframes"]]
        next_id = int(header["next_id"])
    except (KeyError, TypeError, ValueError) as error:
        raise MapError(f"{path / _MANIFEST} is damaged: {error!r}") from error
    return [_read(path, front_end, *entry) for entry in entries], next_id


def _read(path: Path, front_end: FrontEnd, keyframe_id: int, stem: str, digest: str) -> Keyframe:
    file = path / _FOLDER / f"{Path(stem).name}.npz"
    try:
        data, thumbnail = file.read_bytes(), file.with_suffix(".jpg").read_bytes()
    except OSError as error:
        raise MapError(f"keyframe {keyframe_id}: cannot read {error.filename}: {error}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise MapError(f"keyframe {keyframe_id}: {file} does not have the checksum in {_MANIFEST}")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(str(arrays.pop("about")))
        if hashlib.sha256(thumbnail).hexdigest() != about["thumbnail_sha256"]:
            raise ValueError("its thumbnail is not the one that was saved")
        camera = about["camera"]
        if camera is not None:
            camera = Camera.from_dict(camera)
        pose = np.array(about["pose"], np.float64)
        if not transforms.is_rigid(pose):
            raise ValueError(f"pose {pose.tolist()} is not a rigid transform")
        width, height = (int(side) for side in about["size"])
        mask = _unpacked(arrays.pop("mask"), (height, width))
        return Keyframe(
            keyframe_id,
            pose,
            front_end.description_type(**arrays),
            camera,
            int(about["stamp"]),
            str(about["frame_id"]),
            (width, height),
            thumbnail,
            bool(about["sensed"]),
            mask,
        )
    except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MapError(f"keyframe {keyframe_id}: {file} is damaged: {error!r}") from error


def _unpacked(bits: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8] | None:
    """A keyframe's mask, of one bit a pixel on disk; None where there is none."""
    if not bits.size:
        return None
    height, width = shape
    if bits.dtype != np.uint8 or bits.shape != (height, -(-width // 8)):
        raise ValueError(f"mask of shape {bits.shape} for an image of {width}x{height}")
    return np.asarray(np.unpackbits(bits, axis=1, count=width) * np.uint8(255))
