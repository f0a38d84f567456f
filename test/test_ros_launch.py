# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The launch file, by the launch system itself where it is installed."""

import importlib.util
import json
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

pytestmark = pytest.mark.ros
ROOT = Path(__file__).resolve().parent.parent
_LAUNCH = ROOT / "launch" / "relocalize.launch.py"
_ARGUMENTS = {
    "map",
    "params_file",
    "camera",
    "depth",
    "image_transport",
    "bag",
    "rviz",
    "use_sim_time",
    "namespace",
}


@pytest.fixture(scope="module")
def description():
    # Not `launch` alone: the folder of that name in the source tree can be imported, too.
    pytest.importorskip("launch.actions", reason="the launch system is not installed here")
    pytest.importorskip("launch_ros.actions", reason="launch_ros is not installed here")
    spec = importlib.util.spec_from_file_location("relocalize_launch", _LAUNCH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def _node(description, **given):
    """The relocalizer's action and the context, with some arguments given."""
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(given)
    nodes = []
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
        elif isinstance(entity, OpaqueFunction):
            nodes += entity.execute(context)
    (node,) = nodes
    return node, context


def _text(context, substitutions):
    from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

    return perform_substitutions(context, normalize_to_list_of_substitutions(substitutions))


def test_arguments(description):
    arguments = description.get_launch_arguments()

    assert {argument.name for argument in arguments} == _ARGUMENTS
    assert all(argument.description for argument in arguments)


def test_the_node_and_its_topics(description):
    node, context = _node(description, camera="/front/", namespace="robot")

    assert _text(context, node.node_package) == "mast3r_ros"
    assert _text(context, node.node_executable) == "relocalizer"
    remappings = {_text(context, a): _text(context, b) for a, b in node._Node__remappings}
    assert remappings == {
        "image": "/front/image_raw",
        "image/compressed": "/front/image_raw/compressed",
        "camera_info": "/front/camera_info",
        "depth": "/front/depth/image_raw",
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"use_sim_time": False}),
        ({"map": "/m", "bag": "/b"}, {"map": "/m", "use_sim_time": True}),
        (
            {"image_transport": "raw", "use_sim_time": "true"},
            {"image_transport": "raw", "use_sim_time": True},
        ),
    ],
)
def test_only_what_is_given_overrides_the_file(description, given, expected):
    from launch_ros.utilities import evaluate_parameters

    node, context = _node(description, **given)

    file, values = evaluate_parameters(context, node._Node__parameters)
    assert Path(file).name == "relocalizer.yaml"
    assert values == expected


def test_what_is_shown_exists():
    """Topics of the RViz and Foxglove configurations are those of the node."""
    rviz = yaml.safe_load((ROOT / "config" / "relocalizer.rviz").read_text())
    shown = {
        display["Topic"]["Value"]
        for display in rviz["Visualization Manager"]["Displays"]
        if "Topic" in display
    }
    layout = json.loads((ROOT / "config" / "relocalizer.foxglove.json").read_text())
    shown |= {topic.lstrip("/") for topic in layout["configById"]["3D!map"]["topics"]}

    outputs = {
        "pose",
        *(f"relocalizer/{name}" for name in ("keyframes", "points", "matches_image")),
    }
    assert shown == outputs


def test_without_the_launch_system_the_file_is_at_least_python():
    compile(_LAUNCH.read_text(), str(_LAUNCH), "exec")
