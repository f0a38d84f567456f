# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch mast3r_ros relocalize.launch.py map:=~/my_map camera:=/camera`.

To include it in another launch file, use IncludeLaunchDescription in a GroupAction, with any of the
arguments below; nothing outside of the started processes is changed.
"""

import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

_BOOLEAN = ("true", "false")
_AS_IN_FILE = "Empty: as in params_file"

# Name, default, meaning, and what it may be where that is a short list.
_ARGUMENTS = (
    ("map", "", f"Folder of the map to load. {_AS_IN_FILE}", ()),
    ("params_file", "", "The node's parameters (YAML). Empty: config/relocalizer.yaml", ()),
    ("camera", "camera", "Namespace of the camera: its image_raw and camera_info are used", ()),
    (
        "cameras",
        "",
        "Namespaces of a rig's cameras, with commas, in place of `camera`: image_raw, camera_info "
        f"and depth/image_raw of each. {_AS_IN_FILE}",
        (),
    ),
    ("depth", "", "Topic of registered depth. Empty: depth/image_raw of the camera", ()),
    (
        "right",
        "",
        "Namespace of the right camera of a rectified stereo pair, `camera` being the left one: "
        "image_rect of both is used, and keyframes get their depth from it. Empty: none",
        (),
    ),
    (
        "image_transport",
        "",
        f"Transport of the images. {_AS_IN_FILE}",
        ("", "raw", "compressed"),
    ),
    (
        "depth_transport",
        "",
        f"Transport of the depth: `depth` is its raw topic. {_AS_IN_FILE}",
        ("", "raw", "compressedDepth"),
    ),
    ("front_end", "", f"sift, xfeat or mast3r. {_AS_IN_FILE}", ()),
    ("map_frame", "", f"Frame of the map. {_AS_IN_FILE}", ()),
    ("odom_frame", "", f"Frame of the odometry. {_AS_IN_FILE}", ()),
    ("base_frame", "", f"Frame of the robot. {_AS_IN_FILE}", ()),
    ("camera_frame", "", f"Optical frame of the camera. {_AS_IN_FILE}", ()),
    (
        "tf_mode",
        "",
        f"Transform to publish. {_AS_IN_FILE}",
        ("", "map_odom", "map_camera", "none"),
    ),
    (
        "autostart",
        "",
        f"Configure and activate at start; false with a lifecycle manager. {_AS_IN_FILE}",
        ("", *_BOOLEAN),
    ),
    ("respawn", "false", "Start the node again 2 s after it has ended", _BOOLEAN),
    ("log_level", "info", "Log level of the node", ("debug", "info", "warn", "error", "fatal")),
    ("namespace", "", "Namespace of the node", ()),
    (
        "namespaced_tf",
        "false",
        "Use tf and tf_static of the namespace in place of /tf and /tf_static",
        _BOOLEAN,
    ),
    ("bag", "", "A bag to play, with its clock. Empty: none", ()),
    ("rviz", "false", "Open RViz", _BOOLEAN),
    ("use_sim_time", "auto", "Time from /clock. auto: with a bag", ("auto", *_BOOLEAN)),
)
# Arguments that are parameters of the node.
_PARAMETERS = (
    "map",
    "cameras",
    "image_transport",
    "depth_transport",
    "front_end",
    "map_frame",
    "odom_frame",
    "base_frame",
    "camera_frame",
    "tf_mode",
)
# Over UDP, Fast DDS loses an image with the first of its fragments. With this it uses TCP and
# shared memory, if both ends do.
_TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"


def _start(context: LaunchContext) -> list:
    """Check the arguments; then the node, and on demand a bag and RViz."""
    values = {name: LaunchConfiguration(name).perform(context) for name, *_ in _ARGUMENTS}
    share = Path(get_package_share_directory("mast3r_ros"))
    file = _path(values["params_file"]) or share / "config/relocalizer.yaml"
    if not file.is_file():
        raise RuntimeError(f"params_file:={file}: there is no such file")
    bag = _path(values["bag"])
    if bag is not None and not bag.exists():
        raise RuntimeError(f"bag:={bag}: there is no such bag")
    if values["rviz"] == "true":
        _require("rviz2", "rviz:=true")
    if bag is not None:
        _require("ros2bag", "bag:=...")
    simulated = values["use_sim_time"]
    simulated = bag is not None if simulated == "auto" else simulated == "true"
    transport = os.environ.get(_TRANSPORTS)
    if bag is not None:
        transport = transport or "LARGE_DATA"
    environment = {} if transport is None else {_TRANSPORTS: transport}
    started = [_transport_note(transport), _relocalizer(values, file, simulated, environment)]
    if bag is not None:
        command = ["ros2", "bag", "play", str(bag), "--clock"]
        started.append(ExecuteProcess(cmd=command, additional_env=environment, output="screen"))
    if values["rviz"] == "true":
        started.append(
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=values["namespace"],
                arguments=["-d", str(share / "config/relocalizer.rviz")],
                parameters=[{"use_sim_time": simulated}],
                remappings=_tf_remappings(values),
                additional_env=environment,
            )
        )
    return started


def _relocalizer(
    values: dict[str, str], file: Path, simulated: bool, environment: dict[str, str]
) -> Node:
    """The node; arguments that were not given leave the parameter file its say."""
    camera = values["camera"].rstrip("/")
    depth = values["depth"] or f"{camera}/depth/image_raw"
    given = {name: values[name] for name in _PARAMETERS if values[name]}
    right, image = values["right"].rstrip("/"), f"{camera}/image_raw"
    if right:
        given["depth_source"], image = "stereo", f"{camera}/image_rect"
    if values["autostart"]:
        given["autostart"] = values["autostart"] == "true"
    return Node(
        package="mast3r_ros",
        executable="relocalizer",
        name="relocalizer",
        namespace=values["namespace"],
        parameters=[str(file), {**given, "use_sim_time": simulated}],
        remappings=[
            ("image", image),
            ("image/compressed", f"{image}/compressed"),
            ("camera_info", f"{camera}/camera_info"),
            *_of_right(right),
            ("depth", depth),
            ("depth/compressedDepth", f"{depth}/compressedDepth"),
            *(pair for name in values["cameras"].split(",") for pair in _of_rig(name.strip())),
            *_tf_remappings(values),
        ],
        arguments=["--ros-args", "--log-level", values["log_level"]],
        respawn=values["respawn"] == "true",
        respawn_delay=2.0,
        additional_env=environment,
        output="screen",
    )


def _of_right(camera: str) -> list[tuple[str, str]]:
    """The topics of the right camera of a stereo pair."""
    if not camera:
        return []
    return [
        ("right/image", f"{camera}/image_rect"),
        ("right/image/compressed", f"{camera}/image_rect/compressed"),
        ("right/camera_info", f"{camera}/camera_info"),
    ]


def _of_rig(camera: str) -> list[tuple[str, str]]:
    """A camera's topics by the names that drivers give them."""
    if not camera:
        return []
    depth = f"{camera}/depth/image_raw"
    return [
        (f"{camera}/image", f"{camera}/image_raw"),
        (f"{camera}/image/compressed", f"{camera}/image_raw/compressed"),
        (f"{camera}/depth", depth),
        (f"{camera}/depth/compressedDepth", f"{depth}/compressedDepth"),
    ]


def _tf_remappings(values: dict[str, str]) -> list[tuple[str, str]]:
    if values["namespaced_tf"] == "false":
        return []
    return [("/tf", "tf"), ("/tf_static", "tf_static")]


def _transport_note(transport: str | None) -> LogInfo:
    if transport is None:
        return LogInfo(
            msg=f"{_TRANSPORTS} is not set: large images may be lost with Fast DDS. Set it to "
            "LARGE_DATA for this launch and for the camera's process."
        )
    return LogInfo(
        msg=f"{_TRANSPORTS}={transport} for the processes started here: export the same in other "
        "terminals, which may not receive from them otherwise."
    )


def _path(text: str) -> Path | None:
    return Path(os.path.expandvars(text)).expanduser() if text else None


def _require(package: str, argument: str) -> None:
    """Fail before anything has started where a package is missing."""
    try:
        get_package_share_directory(package)
    except PackageNotFoundError as error:
        name = package.replace("_", "-")
        distribution = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
        raise RuntimeError(
            f"{argument} needs the package {package}: sudo apt install ros-{distribution}-{name}"
        ) from error


def generate_launch_description() -> LaunchDescription:
    """The arguments, and what starts when they are known."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(
                    name,
                    default_value=default,
                    description=meaning,
                    # An empty list would refuse every value.
                    choices=list(choices) or None,
                )
                for name, default, meaning, choices in _ARGUMENTS
            ),
            OpaqueFunction(function=_start),
        ]
    )
