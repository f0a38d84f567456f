# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What sources look like from outside, before anything is read."""

from __future__ import annotations

from pathlib import Path

WORLDS = "worlds"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
STORAGE_SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
_WILDCARDS = "*?["


def is_bag(path: Path) -> bool:
    """Whether a path looks like a bag: a storage file, or a folder of them."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or any(
            file.name.endswith(STORAGE_SUFFIXES) for file in path.iterdir()
        )
    return path.name.endswith(STORAGE_SUFFIXES)


def is_tum(path: Path) -> bool:
    """Whether a path is a folder with images as in the TUM benchmark."""
    return (path / "rgb").is_dir() or (path / "rgb.txt").is_file()


def is_image(path: Path) -> bool:
    """Whether a path is named as an image file."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def has_images(path: Path) -> bool:
    """Whether a path is an image file, a pattern, or a folder of image files."""
    if path.is_dir():
        return any(map(is_image, path.iterdir()))
    return is_image(path) or any(letter in str(path) for letter in _WILDCARDS)
