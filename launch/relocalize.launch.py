# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch mast3r_ros relocalize.launch.py map:=~/my_map camera:=/camera`."""

from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.substitutions import (
    EnvironmentVariable,
    LaunchConfiguration,
    PathJoinSubstitution,
    PythonExpression,
)
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription

_CONFIG = PathJoinSubstitution([FindPackageShare("mast3r_ros"), "config"])
_BAG = LaunchConfiguration("bag")
_WITH_BAG = PythonExpression(["'", _BAG, "' != ''"])

# Name, default, meaning.
_ARGUMENTS = (
    ("map", "", "Folder of the map to load. Empty: as in params_file"),
    ("params_file", PathJoinSubstitution([_CONFIG, "relocalizer.yaml"]), "The node's parameters"),
    ("camera", "camera", "Namespace of the camera: its image_raw and camera_info are taken"),
    ("depth", "", "Topic of registered depth. Empty: depth/image_raw in the camera's namespace"),
    ("image_transport", "", "raw or compressed. Empty: as in params_file"),
    ("bag", "", "A bag to play, with its clock. Empty: none"),
    ("rviz", "false", "Whether to open RViz"),
    ("use_sim_time", _WITH_BAG, "Time from /clock; so with a bag"),
    ("namespace", "", "Namespace of the node"),
)


def _relocalizer(context: LaunchContext) -> list[Node]:
    """The node; arguments that were not given leave params_file its say."""
    values = {name: LaunchConfiguration(name).perform(context) for name, _, _ in _ARGUMENTS}
    camera = values["camera"].rstrip("/")
    given = {name: values[name] for name in ("map", "image_transport") if values[name]}
    simulated = values["use_sim_time"].lower() in ("true", "1")
    return [
        Node(
            package="mast3r_ros",
            executable="relocalizer",
            name="relocalizer",
            namespace=values["namespace"],
            parameters=[values["params_file"], {**given, "use_sim_time": simulated}],
            remappings=[
                ("image", f"{camera}/image_raw"),
                ("image/compressed", f"{camera}/image_raw/compressed"),
                ("camera_info", f"{camera}/camera_info"),
                ("depth", values["depth"] or f"{camera}/depth/image_raw"),
            ],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """The node, and on demand a bag and RViz."""
    transports = "FASTDDS_BUILTIN_TRANSPORTS"
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=meaning)
                for name, default, meaning in _ARGUMENTS
            ),
            # Over UDP, Fast DDS loses an image with the first of its fragments. With this it uses
            # TCP and shared memory; but both ends must, and only with a bag both are started here.
            SetEnvironmentVariable(
                transports,
                EnvironmentVariable(transports, default_value="LARGE_DATA"),
                condition=IfCondition(_WITH_BAG),
            ),
            OpaqueFunction(function=_relocalizer),
            ExecuteProcess(
                cmd=["ros2", "bag", "play", _BAG, "--clock"],
                condition=IfCondition(_WITH_BAG),
                output="screen",
            ),
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=LaunchConfiguration("namespace"),
                arguments=["-d", PathJoinSubstitution([_CONFIG, "relocalizer.rviz"])],
                parameters=[{"use_sim_time": LaunchConfiguration("use_sim_time")}],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )
