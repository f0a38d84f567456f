# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Point clouds in PLY files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.untrusted import read_file
from mast3r_ros.datasets.summary import RecordingError

_RECORD = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
_MAX_BYTES = 4 << 30
_END = re.compile(rb"^end_header\r?\n", re.MULTILINE)


def ply_bytes(places: NDArray[np.floating], colors: NDArray[np.uint8]) -> bytes:
    """A binary PLY file of points (N, 3) and their colors (N, 3), RGB."""
    records = np.empty(len(places), _RECORD)
    records["xyz"], records["rgb"] = places, colors
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(places)}"]
    lines += [f"property float {axis}" for axis in "xyz"]
    lines += [f"property uchar {name}" for name in ("red", "green", "blue")]
    return "\n".join([*lines, "end_header", ""]).encode() + records.tobytes()


def read_points(path: Path) -> NDArray[np.float64]:
    """The vertices (N, 3) of a PLY file, text or binary.

    Raises:
        RecordingError: it cannot be read, is no PLY file, or its vertices are no points.
    """
    try:
        data = read_file(path, _MAX_BYTES)
        return _points(data)
    except (ValueError, KeyError) as error:
        raise RecordingError(f"{path} is no PLY file of points: {error}") from error
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or error}") from error


def _points(data: bytes) -> NDArray[np.float64]:
    end = _END.search(data)
    if not data.startswith(b"ply") or end is None:
        raise ValueError("it has no header")
    header, body = data[: end.start()], memoryview(data)[end.end() :]
    form, count, properties = "", -1, list[tuple[str, str]]()
    element = ""
    for line in header.decode("ascii", "replace").splitlines()[1:]:
        match line.split():
            case ["format", form, _]:
                pass
            case ["element", element, number] if count < 0 or element != "vertex":
                count = int(number) if element == "vertex" else count
                if count < 0:
                    raise ValueError(f"element {element} stands before the vertices")
            case ["property", "list", *_] if element == "vertex":
                raise ValueError("a vertex has a list")
            case ["property", kind, name] if element == "vertex":
                properties.append((name, _TYPES[kind]))
    if form not in _ORDERS or count < 0:
        raise ValueError(f"format '{form}', {count} vertices")
    names = [name for name, _ in properties]
    columns = [names.index(axis) for axis in "xyz"]
    if form == "ascii":
        words = bytes(body).split(None, count * len(names))[: count * len(names)]
        table = np.array(words, np.float64).reshape(count, len(names))
        return table[:, columns]
    record = np.dtype([(name, _ORDERS[form] + kind) for name, kind in properties])
    rows = np.frombuffer(body, record, count)
    return np.column_stack([rows[axis] for axis in "xyz"]).astype(np.float64)
