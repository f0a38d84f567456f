# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The messages of a bag: rosbag2, sqlite3 or mcap, read without ROS (by rosbags).

The storage files are read, not `metadata.yaml`: it is a cache, and often missing or out of date.
"""

from __future__ import annotations

import heapq
import struct
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from backports import zstd
from rosbags.interfaces import ConnectionExtRosbag2, Qos
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from mast3r_ros.common.untrusted import load_yaml, read_file
from mast3r_ros.datasets.kinds import STORAGE_SUFFIXES
from mast3r_ros.datasets.summary import RecordingError

# The messages that are read are the same in all distributions of ROS 2.
TYPES = get_typestore(Stores.ROS2_HUMBLE)
_METADATA = "metadata.yaml"
_MAX_METADATA = 1 << 26
_ZSTD = b"\x28\xb5\x2f\xfd"
# No message is larger, whatever a damaged file says.
_MAX_MESSAGE = 1 << 30
_BLOCK = 1 << 20
# For a file of this size, and as many bytes more as a compressed one may become.
_MAX_FILE = 1 << 40


class Raw(NamedTuple):
    """A message as it was recorded.

    Attributes:
        topic: where it was published.
        kind: type of the message, as `sensor_msgs/msg/Image`.
        time: of recording [ns].
        data: as it was serialized (CDR).
    """

    topic: str
    kind: str
    time: int
    data: bytes


class BagReader:
    """The storage files of a bag, in the order of recording. Use as a context, or close it.

    Attributes:
        files: the storage files.
        topics: type and number of messages by topic.
    """

    def __init__(self, path: Path) -> None:
        """Open all files.

        Raises:
            RecordingError: not a bag, damaged, or a file is missing.
        """
        self._path = path
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._readers: list[Reader] = []
        self.topics: dict[str, tuple[str, int]] = {}
        self.files = _storage_files(path)
        try:
            for file in self.files:
                self._open(file)
        except BaseException:
            self.close()
            raise
        for connection in (c for reader in self._readers for c in reader.connections):
            _, count = self.topics.get(connection.topic, ("", 0))
            self.topics[connection.topic] = (connection.msgtype, count + connection.msgcount)

    def _open(self, file: Path) -> None:
        if file.suffix == ".zstd":
            file = self._decompressed(file)
        try:
            reader = Reader(file)
            reader.open()
        # A library over damaged bytes: it raises whatever comes of them.
        except Exception as error:
            raise _damaged(file, error) from error
        self._readers.append(reader)

    def _decompressed(self, file: Path) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory()
        target = Path(self._folder.name) / file.stem
        try:
            with zstd.open(file, "rb") as source, target.open("wb") as copy:
                while block := source.read(_BLOCK):
                    copy.write(block)
                    if copy.tell() > _MAX_FILE:
                        raise RecordingError(f"{file} is larger than {_MAX_FILE} bytes")
        except (zstd.ZstdError, EOFError, OSError) as error:
            raise _damaged(file, error) from error
        return target

    def definition(self, kind: str) -> str:
        """The text that defines a type; empty where the bag has none."""
        for connection in (c for reader in self._readers for c in reader.connections):
            if connection.msgtype == kind and connection.msgdef.data:
                return str(connection.msgdef.data)
        return ""

    def qos(self, topic: str) -> list[Qos]:
        """The QoS profiles that the publishers of a topic offered; none where the bag has none."""
        for connection in (c for reader in self._readers for c in reader.connections):
            if connection.topic == topic and isinstance(connection.ext, ConnectionExtRosbag2):
                return connection.ext.offered_qos_profiles
        return []

    def again(self) -> BagReader:
        """Another reader of the same bag, which is read in an order of its own."""
        return BagReader(self._path)

    def close(self) -> None:
        """Close all files."""
        for reader in self._readers:
            reader.close()
        self._readers = []
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> BagReader:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all files."""
        self.close()

    def messages(
        self, topics: Collection[str], start: int | None = None, stop: int | None = None
    ) -> Iterator[Raw]:
        """Messages of some topics, recorded from `start` until before `stop` [ns].

        Raises:
            RecordingError: a file is damaged.
        """
        streams = [self._messages(reader, set(topics), start, stop) for reader in self._readers]
        return heapq.merge(*streams, key=lambda raw: raw.time)

    def _messages(
        self, reader: Reader, topics: set[str], start: int | None, stop: int | None
    ) -> Iterator[Raw]:
        chosen = [c for c in reader.connections if c.topic in topics]
        if not chosen:
            return
        found = reader.messages(chosen, start, stop)
        while True:
            try:
                connection, time, data = next(found)
            except StopIteration:
                return
            except Exception as error:
                raise _damaged(Path(str(reader.path)), error) from error
            yield Raw(connection.topic, connection.msgtype, time, _message(data, connection.topic))


def deserialize(raw: Raw) -> Any:
    """The message.

    Raises:
        RecordingError: its bytes are not of its type.
    """
    try:
        return TYPES.deserialize_cdr(raw.data, raw.kind)
    except Exception as error:
        raise RecordingError(
            f"message on {raw.topic} recorded at {raw.time / 1e9:.3f} s is damaged: {error!r}"
        ) from error


def header(raw: Raw) -> tuple[int, str]:
    """Stamp [ns] and frame_id of a message that begins with a header, without the rest of it.

    Raises:
        RecordingError: its bytes are not those of such a message.
    """
    data = bytes(raw.data[:4096])
    try:
        order = "<" if data[1] & 1 else ">"
        seconds, nanoseconds, length = struct.unpack_from(f"{order}iII", data, 4)
        frame_id = data[16 : 16 + length]
        if len(frame_id) < length:
            raise ValueError(f"a frame_id of {length} bytes")
        return seconds * 1_000_000_000 + nanoseconds, frame_id.rstrip(b"\0").decode()
    except (IndexError, struct.error, ValueError) as error:
        raise RecordingError(
            f"message on {raw.topic} recorded at {raw.time / 1e9:.3f} s is damaged: {error}"
        ) from error


def _message(data: bytes, topic: str) -> bytes:
    """A message that was compressed by itself is decompressed, whatever the metadata says."""
    if data[:4] != _ZSTD:
        return data
    try:
        size = zstd.get_frame_info(data).decompressed_size
        if size is not None and size > _MAX_MESSAGE:
            raise RecordingError(f"message on {topic}: {size} bytes are too many")
        decompressor = zstd.ZstdDecompressor()
        return bytes(decompressor.decompress(data, _MAX_MESSAGE))
    except zstd.ZstdError as error:
        raise RecordingError(f"message on {topic} is damaged: {error}") from error


def _storage_files(path: Path) -> list[Path]:
    """The files of a bag: those that its metadata names, or else those in its folder."""
    if not path.is_dir():
        if not path.exists():
            raise RecordingError(f"{path} is not a bag that can be read: it does not exist")
        return [path]
    present = sorted(f for f in path.iterdir() if f.name.endswith(STORAGE_SUFFIXES))
    named = _named_files(path)
    if missing := [file for file in named if not file.exists()]:
        raise RecordingError(
            f"{path}: {_METADATA} names {missing[0].name}, which is not there: copy it, or delete "
            f"{_METADATA} to read the others"
        )
    if not (named or present):
        raise RecordingError(f"{path} is not a bag that can be read: it has no .mcap or .db3 file")
    return named or present


def _named_files(path: Path) -> list[Path]:
    """What a readable metadata file lists; it is no more than a cache."""
    try:
        content = load_yaml(read_file(path / _METADATA, _MAX_METADATA).decode())
        listed = content["rosbag2_bagfile_information"]["relative_file_paths"]
        return [path / Path(name).name for name in listed]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _damaged(file: Path, error: Exception) -> RecordingError:
    recover = "mcap recover" if ".mcap" in file.suffixes else "sqlite3 FILE .recover"
    return RecordingError(
        f"{file} is not a bag that can be read: {error or repr(error)}; a recording that was cut "
        f"off may be saved by `{recover}`"
    )
