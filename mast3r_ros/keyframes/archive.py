# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A keyframe as bytes, and back: JSON, a NumPy archive without compression, a JPEG."""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.untrusted import MAX_INT64, text, whole
from mast3r_ros.frontends.base import Description, FrontEnd, checks_descriptions
from mast3r_ros.geometry.camera import MAX_SIDE, Camera
from mast3r_ros.keyframes.keyframe import Keyframe

# What arrays of keyframes are made of.
_KINDS = "biufU"
# The longest JSON of a keyframe [characters].
MAX_ABOUT = 1 << 16


class Encoded(NamedTuple):
    """A keyframe as a store keeps it; equal keyframes have equal bytes.

    Attributes:
        about: JSON of what is known of the image without its contents.
        arrays: the description and the mask.
        thumbnail: a JPEG.
    """

    about: str
    arrays: bytes
    thumbnail: bytes


class About(NamedTuple):
    """What is known of a keyframe's image without its contents; fields as of `Keyframe`.

    Attributes:
        digests: SHA-256 of the arrays and of the thumbnail, in hexadecimal digits.
    """

    camera: Camera | None
    stamp: int
    frame_id: str
    size: tuple[int, int]
    covariance: NDArray[np.float64] | None
    digests: tuple[str, str]


def encode(keyframe: Keyframe) -> Encoded:
    """The bytes of a keyframe, all but its pose."""
    mask = np.zeros((0, 0), np.uint8) if keyframe.mask is None else np.packbits(keyframe.mask, 1)
    arrays = _pack({"mask": mask, **keyframe.description.arrays()})
    about = {
        "camera": None if keyframe.camera is None else keyframe.camera.to_dict(),
        "stamp": keyframe.stamp,
        "frame_id": keyframe.frame_id,
        "size": keyframe.size,
        "covariance": _listed(keyframe.covariance),
        "sha256": [hashlib.sha256(data).hexdigest() for data in (arrays, keyframe.thumbnail)],
    }
    return Encoded(json.dumps(about), arrays, keyframe.thumbnail)


def _pack(arrays: dict[str, NDArray[Any]]) -> bytes:
    """A NumPy archive without compression."""
    buffer = io.BytesIO()
    # np.savez stamps its members with the time.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(
                member, np.ascontiguousarray(array) if array.ndim else array, allow_pickle=False
            )
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), member.getvalue()
            )
    return buffer.getvalue()


def decode_about(data: str) -> About:
    """What `encode` says about an image; nothing in it is trusted.

    Raises:
        ValueError, KeyError, TypeError, RecursionError: it is not that of a keyframe.
    """
    about = json.loads(text(data, "about", MAX_ABOUT))
    width, height = (whole(side, "size", 1, MAX_SIDE) for side in about["size"])
    camera = about["camera"]
    if camera is not None:
        camera = Camera.from_dict(camera)
        if (camera.width, camera.height) != (width, height):
            raise ValueError(f"camera of {camera.width}x{camera.height}, image {width}x{height}")
    arrays, thumbnail = (text(digest, "sha256", 64) for digest in about["sha256"])
    return About(
        camera,
        whole(about["stamp"], "stamp", -MAX_INT64, MAX_INT64),
        text(about["frame_id"], "frame_id"),
        (width, height),
        _covariance(about.get("covariance")),
        (arrays, thumbnail),
    )


def with_covariance(data: str, covariance: NDArray[np.float64] | None) -> str:
    """What `encode` says about an image, with another covariance of its pose."""
    return json.dumps({**json.loads(data), "covariance": _listed(covariance)})


def check_digests(about: About, arrays: bytes, thumbnail: bytes) -> None:
    """Raise ValueError where contents are not those that were saved."""
    for name, data, digest in zip(
        ("data", "thumbnail"), (arrays, thumbnail), about.digests, strict=True
    ):
        if hashlib.sha256(data).hexdigest() != digest:
            raise ValueError(f"its {name} does not have the checksum in the map")


def decode_contents(
    about: About, arrays: bytes, thumbnail: bytes, front_end: FrontEnd
) -> tuple[Description, NDArray[np.uint8] | None]:
    """The description and the mask of `encode`.

    Args:
        about: what the map says of the image.
        arrays, thumbnail: the bytes; nothing in them is trusted.
        front_end: described it.

    Raises:
        ValueError, KeyError, TypeError, zipfile.BadZipFile: they are not those of a keyframe.
    """
    check_digests(about, arrays, thumbnail)
    named = read_arrays(arrays)
    width, height = about.size
    mask = _unpacked(named.pop("mask"), (height, width))
    description = front_end.description_type(**named)
    if description.global_descriptor.ndim != 1 or not len(description.global_descriptor):
        raise ValueError(f"global descriptor of shape {description.global_descriptor.shape}")
    if not np.isfinite(description.global_descriptor).all():
        raise ValueError("global descriptor is not finite")
    if checks_descriptions(front_end):
        front_end.check_description(description, about.size)
    return description, mask


def _listed(covariance: NDArray[np.float64] | None) -> list[list[float]] | None:
    return None if covariance is None else covariance.tolist()


def _covariance(values: Any) -> NDArray[np.float64] | None:
    """The covariance of a keyframe's pose, None where none was saved."""
    if values is None:
        return None
    covariance = np.array(values, np.float64)
    if covariance.shape != (6, 6) or not np.isfinite(covariance).all():
        raise ValueError(f"covariance of shape {covariance.shape}: (6, 6) finite numbers expected")
    if not np.allclose(covariance, covariance.T, 1e-6) or np.linalg.eigvalsh(covariance)[0] <= 0:
        raise ValueError("covariance: it must be symmetric and positive")
    return covariance


def read_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an uncompressed `.npz`, by name.

    Each is checked against the bytes that are there before it is made: neither a compressed archive
    nor a shape that the file cannot fill takes more memory than the file has bytes.

    Raises:
        ValueError, KeyError, zipfile.BadZipFile: it is none.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > len(data):
            raise ValueError("its arrays are larger than the file")
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
                raise ValueError(f"{member.filename} is compressed or encrypted: never in a map")
            name = text(member.filename, "array's name").removesuffix(".npy")
            try:
                arrays[name] = _read_array(archive.read(member))
            except (ValueError, OverflowError, RuntimeError) as error:
                raise ValueError(f"array {name}: {error}") from error
    return arrays


def _read_array(data: bytes) -> NDArray[Any]:
    """The array of an `.npy`, a copy that can be written."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"version {version} of the format is not read")
    if dtype.kind not in _KINDS or dtype.names:
        raise ValueError(f"type {dtype}: plain numbers and texts only (allow_pickle is off)")
    for side in shape:
        whole(side, "side", 0, MAX_INT64)
    needed, there = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if needed != there:
        raise ValueError(f"shape {shape} of {dtype} takes {needed} bytes, but {there} follow")
    if not needed:
        return np.zeros(shape, dtype)
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    return np.array(flat.reshape(shape, order="F" if fortran else "C"))


def _unpacked(bits: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8] | None:
    """A keyframe's mask, of one bit a pixel on disk; None where there is none."""
    if not bits.size:
        return None
    height, width = shape
    if bits.dtype != np.uint8 or bits.shape != (height, -(-width // 8)):
        raise ValueError(f"mask of shape {bits.shape} for an image of {width}x{height}")
    return np.asarray(np.unpackbits(bits, axis=1, count=width) * np.uint8(255))
