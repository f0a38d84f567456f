# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Writes images with poses in the layouts of benchmarks: rendered rooms, for a trial.

The readers beside this module (`mapfree`, `re10k`) say what each is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
from numpy.typing import NDArray

from mast3r_ros.datasets.image_poses import pose_line
from mast3r_ros.datasets.mapfree import REFERENCE
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose

# A frame with its camera, and world <- camera.
PosedFrame = tuple[Frame, Pose]
_QUALITY = 95


def write_mapfree(
    folder: Path,
    reference: PosedFrame,
    queries: Mapping[int, PosedFrame],
    tracked: Mapping[int, Pose] | None = None,
) -> None:
    """Write a scene of the Map-free benchmark.

    Args:
        folder: of the scene.
        reference: the image that is mapped.
        queries: by frame number.
        tracked: device's world <- camera, likewise.
    """
    intrinsics, poses = [], []
    images = {REFERENCE: reference}
    images |= {f"seq1/frame_{n:05d}.jpg": found for n, found in queries.items()}
    for path, (frame, pose) in images.items():
        write_image(folder / path, frame)
        camera = camera_of(frame)
        numbers = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
        intrinsics.append(" ".join([path, *map(str, numbers)]))
        poses.append(pose_line(path, transforms.inverse(reference[1]) @ pose))
    write_lines(folder / "intrinsics.txt", intrinsics)
    write_lines(folder / "poses.txt", poses)
    if tracked is not None:
        write_lines(
            folder / "poses_device.txt",
            [pose_line(f"seq1/frame_{n:05d}.jpg", pose) for n, pose in tracked.items()],
        )


def write_re10k(folder: Path, clip: str, images: Mapping[int, PosedFrame]) -> None:
    """Write a clip of RealEstate10K.

    Args:
        folder: of the split.
        clip: its name.
        images: by time [us].
    """
    lines = ["https://www.example.org/no-video"]
    for time, (frame, pose) in images.items():
        write_image(folder / clip / f"{time}.png", frame)
        camera = camera_of(frame)
        numbers = [
            camera.fx / camera.width,
            camera.fy / camera.height,
            (camera.cx + 0.5) / camera.width,
            (camera.cy + 0.5) / camera.height,
            0,
            0,
            *transforms.inverse(pose)[:3].ravel(),
        ]
        lines.append(" ".join([str(time), *(f"{value:.9f}" for value in numbers)]))
    write_lines(folder / f"{clip}.txt", lines)


def camera_of(frame: Frame) -> Camera:
    """The camera of a frame, which must have one."""
    if frame.camera is None:
        raise ValueError("a frame without a camera has no place in a benchmark")
    return frame.camera


def write_image(path: Path, frame: Frame) -> None:
    """Write its image: a JPEG of quality 95, or losslessly."""
    write_pixels(path, cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))


def write_pixels(path: Path, pixels: NDArray[Any]) -> None:
    """Write an image as OpenCV has it (BGR, or depth), and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if path.suffix == ".jpg" else []
    if not cv2.imwrite(str(path), pixels, quality):
        raise OSError(0, "the image cannot be written", str(path))


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write a text file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
