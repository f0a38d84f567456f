# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Text files of poses and of image names, in the format of the TUM benchmark and of evo.

Programs write them differently: with a byte order mark, commas, a headline, nanoseconds, or NaN
where tracking was lost. What is meant is clear, so all of it is read.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from mast3r_ros.common.size import ImageSize
from mast3r_ros.common.untrusted import read_file
from mast3r_ros.datasets.summary import IGNORED, ReadSummary, RecordingError, StrictError
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import MAX_SIDE
from mast3r_ros.geometry.transforms import Pose

Line = tuple[int, list[str]]
# Larger than any text file of poses: a day at 30 Hz.
_MAX_BYTES = 1 << 28
# Times from here on are milli-, micro- and nanoseconds: as seconds, the first is the year 5138.
_LATEST = 1 << 62  # [ns]
# Not a number, as C libraries write it: nan, -nan, -nan(ind), 1.#QNAN, -1.#IND.
_NAN = re.compile(r"nan|#ind", re.IGNORECASE)
# Poses of one time that differ by more contradict each other, in any entry of the matrix.
_ROUNDING = 1e-3
_UNITS = ((1e17, 1), (1e14, 1_000), (1e11, 1_000_000))


def read_poses(path: Path, summary: ReadSummary) -> dict[int, Pose]:
    """Poses by time [ns] from lines `timestamp tx ty tz qx qy qz qw`.

    Lines with NaN, which is how trackers say that they are lost, are left out and counted.

    Raises:
        RecordingError: the file cannot be read, or a line is not a pose.
    """
    poses: dict[int, Pose] = {}
    lines = read_lines(path)
    for number, (time, *values) in lines:
        stamp = parse_time(path, number, time)
        pose = parse_pose(path, number, values, summary)
        if pose is None:
            continue
        if not np.allclose(poses.setdefault(stamp, pose), pose, rtol=0.0, atol=_ROUNDING):
            reason = "there is another pose of this time in the file: the first is taken"
            summary.note(IGNORED, f"{path}, line {number}", reason)
    if not poses and lines:
        raise RecordingError(f"{path}: none of its {len(lines)} lines is a pose (NaN, zeros)")
    if not poses:
        raise RecordingError(f"{path} has no lines `timestamp tx ty tz qx qy qz qw`")
    return poses


def write_poses(path: Path, poses: Iterable[tuple[int, Pose]]) -> None:
    """Write (stamp [ns], pose) as lines that `read_poses` and evo read."""
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    for stamp, pose in poses:
        translation, quaternion = transforms.to_quaternion(pose)
        values = " ".join(f"{value:.9f}" for value in (*translation, *quaternion))
        seconds, rest = divmod(stamp, 1_000_000_000)
        lines.append(f"{seconds}.{rest:09d} {values}")
    path.write_text("\n".join(lines) + "\n")


def read_lines(path: Path) -> list[Line]:
    """Line numbers and words of what is neither empty, a comment nor a headline.

    Raises:
        RecordingError: the file cannot be read.
    """
    try:
        data = read_file(path, _MAX_BYTES)
    except ValueError as error:
        raise RecordingError(f"{path} {error}: it is no list of poses or images") from error
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or error}") from error
    lines: list[Line] = []
    for number, line in enumerate(_decode(path, data).splitlines(), 1):
        words = line.partition("#")[0].replace(",", " ").replace(";", " ").split()
        if words and not (not lines and _is_headline(words)):
            lines.append((number, words))
    return lines


def parse_time(path: Path, number: int, word: str) -> int:
    """A time in nanoseconds from seconds with a fraction, or from whole milli- to nanoseconds.

    Raises:
        RecordingError: it is neither.
    """
    try:
        value = Decimal(word)
        if not value.is_finite() or abs(value) > _LATEST:
            raise InvalidOperation
        factor = next((f for least, f in _UNITS if abs(value) >= least), 1_000_000_000)
        nanoseconds = int((value * factor).to_integral_value())
        if abs(nanoseconds) > _LATEST:
            raise InvalidOperation
        return nanoseconds
    except ArithmeticError as error:
        raise RecordingError(f"{path}, line {number}: '{word[:40]}' is not a time [s]") from error


def parse_pose(path: Path, number: int, words: list[str], summary: ReadSummary) -> Pose | None:
    """A pose from seven words; None, counted, where it is NaN, infinite or has no direction.

    Raises:
        RecordingError: the words are not a pose.
    """
    try:
        values = [math.nan if _NAN.search(word) else float(word) for word in words]
        if len(values) != 7:
            raise ValueError(f"{len(values)} numbers")
        if not (all(map(math.isfinite, values)) and any(values[3:])):
            reason = "not a pose (NaN, or a quaternion of zeros)"
            summary.note(IGNORED, f"{path}, line {number}", reason)
            return None
        return transforms.from_quaternion(values[:3], values[3:])
    except StrictError:
        raise
    except ValueError as error:
        raise RecordingError(
            f"{path}, line {number}: expected tx ty tz qx qy qz qw, found {error}"
        ) from error


def parse_numbers(path: Path, number: int, words: Sequence[str], count: int) -> list[float]:
    """As many numbers as a line must have; NaN and infinity are numbers.

    Raises:
        RecordingError: there are more or fewer, or a word is none.
    """
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise RecordingError(f"{path}, line {number}: {error}") from error
    if len(values) != count:
        raise RecordingError(f"{path}, line {number}: {len(values)} numbers, expected {count}")
    return values


def parse_size(path: Path, number: int, words: Sequence[str]) -> ImageSize:
    """The size of an image, from two words.

    Raises:
        RecordingError: they are not two whole numbers of pixels.
    """
    values = parse_numbers(path, number, words, 2)
    if not all(1 <= value <= MAX_SIDE and value.is_integer() for value in values):
        raise RecordingError(
            f"{path}, line {number}: {' '.join(words)[:40]} is not the size of an image [pixels]"
        )
    return ImageSize(int(values[0]), int(values[1]))


def parse_matrix(path: Path, lines: Sequence[Line]) -> Pose | None:
    """A rigid transform from lines of a 4 x 4 matrix; None where a number is not finite.

    Raises:
        RecordingError: there are other lines, or they are no rigid transform.
    """
    pose = np.array([parse_numbers(path, number, words, 4) for number, words in lines])
    if not np.isfinite(pose).all():
        return None
    if pose.shape != (4, 4) or not np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-2):
        raise RecordingError(f"{path} is not a rigid 4 x 4 matrix")
    # Written with few digits: made exactly rigid again.
    u, _, vt = np.linalg.svd(pose[:3, :3])
    return transforms.make(u @ vt, pose[:3, 3])


def _decode(path: Path, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise RecordingError(f"cannot read {path}: it is UTF-16; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Letters beyond ASCII stand in comments and names, in whatever code.
        return data.decode("latin-1")


def _is_headline(words: list[str]) -> bool:
    """Whether no word is a number, as in `timestamp tx ty tz qx qy qz qw`."""
    for word in words:
        try:
            float(word)
        except ValueError:
            continue
        return False
    return len(words) >= 7
