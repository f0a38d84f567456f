# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How a source is read."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from mast3r_ros.common.options import check, option
from mast3r_ros.common.paths import expand
from mast3r_ros.common.size import ImageSize


@dataclass(frozen=True)
class SourceOptions:
    """How a source is read; what does not concern its format has no effect."""

    camera: Path | None = option(
        None, "Calibration of the camera (ROS, `ros2 topic echo`, OpenCV or Kalibr)"
    )
    pose_file: Path | None = option(
        None, "Lines `image tx ty tz qx qy qz qw`, map <- camera, of a folder of images"
    )
    depth_scale: float = option(
        1000.0,
        "Units of depth image files per meter: 1000 for millimeters; 5000 for the TUM benchmark",
        1e-6,
    )
    mask: Path | None = option(
        None, "Image of the camera's size, black where it sees the robot itself"
    )
    rectified: bool = option(
        False,
        "The images are rectified: use the matrix P of camera_info, without distortion; always "
        "used for topics named image_rect...",
    )
    camera_frame: str = option("", "Optical frame of the camera, if it is not the images' frame_id")
    image_topic: str | None = option(None, "Image topic of a bag; needed where it has several")
    depth_topic: str | None = option(
        None, "Topic of a bag's depth images, registered to the images"
    )
    right_topic: str | None = option(
        None,
        "Right images of a bag's rectified stereo pair, in place of a depth topic: the baseline is "
        "in the matrix P of their camera_info",
    )
    camera_info_topic: str | None = option(
        None, "camera_info topic of a bag; by default the one that fits the images"
    )
    pose_topic: str | None = option(
        None, "Topic of a bag's true poses; by default they come from TF"
    )
    pose_frame: str | None = option(
        None, "Frame whose poses the pose topic contains, if it is not the camera's"
    )
    map_frame: str = option("map", "Frame of the map in TF")
    tf_topic: str | None = option(
        None, "TF topic of a bag; by default `tf` in the nearest namespace of the image topic"
    )
    tf_static_topic: str | None = option(None, "Static TF topic of a bag; by default as `tf_topic`")
    frame_prefix: str = option("", "Prefix of the frames in TF that the images' frame_id lacks")
    max_gap: float = option(
        1.0, "Largest gap between two poses over which poses are interpolated [s]", 0.0, 3600.0
    )
    use_record_times: bool = option(
        False, "Use the recording times of a bag whose stamps are unusable"
    )
    max_megapixels: float = option(100.0, "Largest image that is read", 0.01, 1000.0)
    strict: bool = option(False, "Report an error instead of skipping anything")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Path):
                object.__setattr__(self, entry.name, expand(value))
        check(self)
        if self.right_topic is not None and self.depth_topic is not None:
            raise ValueError("depth comes from --depth-topic or from --right-topic, not from both")


# Of the rendered worlds, see `training.worlds`.
WORLDS_VERSIONS = (1, 2)


@dataclass(frozen=True)
class PairOptions:
    """Which pairs of images are taken from a source."""

    count: int = option(200, "Number of pairs", 1, 1_000_000)
    min_overlap: float = option(0.15, "Smallest fraction of the images that both show", 0.0, 0.9)
    seed: int = option(0, "Seed of the random choice", 0)
    size: str = option("640x480", "Size of rendered images, WIDTHxHEIGHT")
    worlds_version: int = option(
        1, "Version of the rendered worlds", min(WORLDS_VERSIONS), max(WORLDS_VERSIONS)
    )

    def __post_init__(self) -> None:
        check(self)
        ImageSize.parse(self.size)
