# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Options of the node: where its inputs come from and where its results go."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mast3r_ros import frontends
from mast3r_ros.common.options import check, option
from mast3r_ros.keyframes.keyframe_map import CACHE_MB

# A relative or absolute namespace of ROS.
_CAMERA_NAME = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class NodeOptions:
    """What the node adds to `RelocalizerOptions` and to the options of the front ends."""

    autostart: bool = option(
        True,
        "Configure and activate at start; false where a lifecycle manager does that",
        read_only=True,
    )
    exit_on_failed_autostart: bool = option(
        True,
        "End the process with status 1 when autostart fails, so that launch or systemd can start "
        "it again; false: stay unconfigured",
        read_only=True,
    )
    bond_heartbeat_period: float = option(
        0.1,
        "Period of the heartbeats of the bond with a nav2 lifecycle manager [s]; 0: no bond",
        0.0,
        10.0,
        fixed=True,
    )
    front_end: str = option(
        "xfeat",
        "Describes and matches images; a map works only with the front end that made it",
        choices=frontends.NAMES,
        fixed=True,
    )
    map: str = option(
        "",
        "Folder of the map to load when the node is configured; empty: start with an empty map",
        fixed=True,
        path=True,
    )
    map_cache: float = option(
        CACHE_MB,
        "Keyframes of a saved map that stay in memory once they were read [MB]",
        0.0,
        1e6,
        fixed=True,
    )
    usage_period: float = option(
        0.0,
        "Period of writing into the map's file how often its keyframes were of use, for "
        "`map prune` [s]; a flash disk endures 60 for years; 0: do not count",
        0.0,
        86_400.0,
    )
    cameras: str = option(
        "",
        "Namespaces of a rig's cameras, separated by commas: `front,left` reads "
        "`front/image`, `left/image` and so on, and `pose` is the pose of `base_frame`; "
        "empty: one camera",
        fixed=True,
    )
    camera_tolerance: float = option(
        0.01, "Largest difference between the stamps of a rig's images of one instant [s]", 0.0, 1.0
    )
    camera_silence: float = option(
        1.0, "Do not wait for a camera of a rig that has sent nothing for this long [s]", 0.0, 60.0
    )
    image_transport: str = option(
        "raw",
        "Subscribe to `image` or to `image/compressed`",
        choices=("raw", "compressed"),
        fixed=True,
    )
    depth_source: str = option(
        "sensor",
        "Where the depth of keyframes comes from: sensor (`depth`, registered to the images), or "
        "stereo (`right/image` and `right/camera_info` of a rectified pair whose left camera is "
        "`image`)",
        choices=("sensor", "stereo"),
        fixed=True,
    )
    depth_transport: str = option(
        "raw",
        "Subscribe to `depth` or to `depth/compressedDepth` (PNG or RVL)",
        choices=("raw", "compressedDepth"),
        fixed=True,
    )
    reliability: str = option(
        "best_effort",
        "Reliability of the image, depth and camera_info subscriptions; `qos_overrides.*` takes "
        "precedence for a single topic",
        choices=("best_effort", "reliable"),
        fixed=True,
    )
    rectified: bool = option(
        False,
        "Images are rectified: use P of camera_info without distortion, not K and D; always "
        "on if the name of the image topic begins with image_rect",
    )
    mask: str = option(
        "",
        "Image file of the camera's size that is black where images are not used, such as at the "
        "robot's own body; `{camera}` stands for the name of a rig's camera; empty: all is used",
        fixed=True,
        path=True,
    )
    camera_frame: str = option(
        "", "The camera's optical frame; empty: the frame_id of each image", fixed=True
    )
    map_frame: str = option("map", "Frame of the map and of all poses", fixed=True)
    odom_frame: str = option(
        "odom", "Odometry's frame: the child of the transform that `map_odom` publishes", fixed=True
    )
    odometry: str = option(
        "tf",
        "Where odometry comes from: tf (`odom_frame` -> `base_frame`), or topic (`odometry`, "
        "nav_msgs/Odometry in `odom_frame`)",
        choices=("tf", "topic"),
        fixed=True,
    )
    base_frame: str = option(
        "base_link", "The robot's frame: `initialpose` is its pose in the map", fixed=True
    )
    output_frame: str = option(
        "camera",
        "Frame whose pose is published as `pose`: camera (its optical frame) or base "
        "(`base_frame`, by TF); for a rig always `base_frame`",
        choices=("camera", "base"),
        fixed=True,
    )
    tf_mode: str = option(
        "map_odom",
        "map_odom: publish map -> odom, for robots with odometry; map_camera: publish map -> "
        "camera frame for each localized image; none: publish no TF",
        choices=("map_odom", "map_camera", "none"),
        fixed=True,
    )
    tf_rate: float = option(
        20.0, "Rate at which map -> odom is published [Hz]", 0.1, 1000.0, fixed=True
    )
    transform_tolerance: float = option(
        0.1,
        "Post-date map -> odom by this much, so that it stays valid until the next one [s]",
        0.0,
        10.0,
    )
    tf_timeout: float = option(
        0.1, "How long to wait for TF at the stamp of an image [s]", 0.0, 10.0
    )
    gate_distance: float = option(
        0.5,
        "With `map_camera`, hold back a larger jump until `gate_confirmations` poses agree [m]",
        0.0,
        1e3,
    )
    gate_angle: float = option(0.35, "As `gate_distance`, for the orientation [rad]", 0.0, 3.2)
    gate_confirmations: int = option(
        3, "Consecutive consistent poses required for a jump, and for the first transform", 1, 100
    )
    planar: bool = option(
        False,
        "Publish map -> odom and `filtered_pose` with x, y and yaw only, for robots on a floor",
    )
    prior_timeout: float = option(
        30.0,
        "`initialpose` guides retrieval until an image is localized, or for this long [s]",
        0.0,
        1e6,
    )
    depth_tolerance: float = option(
        0.02, "Largest difference between the stamps of an image and its depth image [s]", 0.0, 10.0
    )
    depth_timeout: float = option(
        1.0,
        "How long `add_keyframe` waits for depth where the topic has a publisher [s]",
        0.0,
        60.0,
    )
    service_timeout: float = option(
        10.0,
        "How long a service waits for an image unless its request sets a timeout [s]",
        0.1,
        3600.0,
    )
    max_megapixels: float = option(
        24.0, "Reject larger images before they are decoded [million pixels]", 0.01, 1000.0
    )

    def __post_init__(self) -> None:
        check(self)
        names = self.camera_names
        valid = all(_CAMERA_NAME.fullmatch(name) for name in names)
        if not valid or len(set(names)) < len(names):
            raise ValueError(
                f"cameras = '{self.cameras}': must be different namespaces with commas, such as "
                "front,left"
            )
        if names and self.camera_frame:
            raise ValueError(
                f"camera_frame = '{self.camera_frame}': the frames of a rig's cameras are those of "
                "their images; leave it empty with `cameras`"
            )

    @property
    def poses_base(self) -> bool:
        """Whether poses are those of `base_frame`, not of the one camera."""
        return bool(self.cameras) or self.output_frame == "base"

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Of a rig; none where there is one camera."""
        return tuple(name.strip() for name in self.cameras.split(",")) if self.cameras else ()
