# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The launch file, run by the launch system itself where that is installed."""

import importlib.util
import json
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

pytestmark = pytest.mark.ros
ROOT = Path(__file__).resolve().parent.parent
_LAUNCH = ROOT / "launch" / "relocalize.launch.py"


@pytest.fixture(scope="module")
def module():
    # Not `launch` alone: the folder of that name in the source tree can be imported, too.
    pytest.importorskip("launch.actions", reason="the launch system is not installed here")
    pytest.importorskip("launch_ros.actions", reason="launch_ros is not installed here")
    spec = importlib.util.spec_from_file_location("relocalize_launch", _LAUNCH)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def start(module, monkeypatch):
    """What a launch starts with some arguments, as (its processes, the context)."""
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    from launch import LaunchContext

    monkeypatch.delenv("FASTDDS_BUILTIN_TRANSPORTS", raising=False)

    def run(**given):
        context = LaunchContext()
        context.launch_configurations.update(given)
        started = []
        for entity in module.generate_launch_description().entities:
            if isinstance(entity, DeclareLaunchArgument):
                entity.execute(context)
            elif isinstance(entity, OpaqueFunction):
                started += entity.execute(context)
        return started, context

    return run


def _node(started):
    from launch_ros.actions import Node

    return next(action for action in started if isinstance(action, Node))


def _text(context, substitutions):
    from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

    return perform_substitutions(context, normalize_to_list_of_substitutions(substitutions))


def _remappings(node, context):
    return {_text(context, a): _text(context, b) for a, b in node._Node__remappings}


def _parameters(node, context):
    from launch_ros.utilities import evaluate_parameters

    return evaluate_parameters(context, node._Node__parameters)


def _said(started, context):
    from launch.actions import LogInfo

    return [_text(context, a.msg) for a in started if isinstance(a, LogInfo)]


def test_every_argument_is_described_and_every_choice_is_closed(module):
    arguments = module.generate_launch_description().get_launch_arguments()

    assert all(argument.description for argument in arguments)
    choices = {argument.name: argument.choices for argument in arguments}
    assert choices["rviz"] == choices["respawn"] == choices["namespaced_tf"] == ["true", "false"]
    assert choices["tf_mode"] == ["", "map_odom", "map_camera", "none"]


@pytest.mark.parametrize("wrong", [{"rviz": "yes"}, {"use_sim_time": "yes"}, {"tf_mode": "odom"}])
def test_a_value_outside_the_choices_ends_the_launch(start, wrong):
    with pytest.raises(RuntimeError, match=f'"{next(iter(wrong))}" provided value'):
        start(**wrong)


def test_the_node_and_its_topics(start):
    started, context = start(camera="/front/", namespace="robot")
    node = _node(started)

    assert _text(context, node.node_package) == "mast3r_ros"
    assert _text(context, node.node_executable) == "relocalizer"
    assert _remappings(node, context) == {
        "image": "/front/image_raw",
        "image/compressed": "/front/image_raw/compressed",
        "camera_info": "/front/camera_info",
        "depth": "/front/depth/image_raw",
        "depth/compressedDepth": "/front/depth/image_raw/compressedDepth",
    }


def test_a_rig_has_the_topics_of_each_camera(start):
    started, context = start(cameras="front, left")

    node = _node(started)
    assert _parameters(node, context)[1]["cameras"] == "front, left"
    remappings = _remappings(node, context)
    for camera in ("front", "left"):
        assert remappings[f"{camera}/image"] == f"{camera}/image_raw"
        assert remappings[f"{camera}/depth"] == f"{camera}/depth/image_raw"


def test_a_stereo_pair_is_read_rectified(start):
    started, context = start(camera="/left", right="/right/")

    node = _node(started)
    assert _parameters(node, context)[1]["depth_source"] == "stereo"
    remappings = _remappings(node, context)
    assert remappings["image"] == "/left/image_rect"
    assert remappings["right/image"] == "/right/image_rect"
    assert remappings["right/camera_info"] == "/right/camera_info"


def test_compressed_depth_is_beside_the_raw_topic(start):
    started, context = start(depth="/aligned", depth_transport="compressedDepth")

    node = _node(started)
    assert _remappings(node, context)["depth/compressedDepth"] == "/aligned/compressedDepth"
    assert _parameters(node, context)[1]["depth_transport"] == "compressedDepth"


def test_a_namespaced_robot_has_its_own_tf(start):
    started, context = start(namespace="robot", namespaced_tf="true")

    remappings = _remappings(_node(started), context)
    assert (remappings["/tf"], remappings["/tf_static"]) == ("tf", "tf_static")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"use_sim_time": False}),
        ({"map": "/it's mine"}, {"map": "/it's mine", "use_sim_time": False}),
        (
            {"image_transport": "raw", "use_sim_time": "true", "autostart": "false"},
            {"image_transport": "raw", "use_sim_time": True, "autostart": False},
        ),
        (
            {"map_frame": "world", "tf_mode": "none", "front_end": "sift"},
            {"map_frame": "world", "tf_mode": "none", "front_end": "sift", "use_sim_time": False},
        ),
    ],
)
def test_only_what_is_given_overrides_the_file(start, given, expected):
    started, context = start(**given)

    file, values = _parameters(_node(started), context)
    assert Path(file).name == "relocalizer.yaml"
    assert values == expected


@pytest.mark.parametrize("name", ["params_file", "bag"])
def test_a_missing_file_ends_the_launch_before_the_node_starts(start, tmp_path, name):
    with pytest.raises(RuntimeError, match="there is no such"):
        start(**{name: str(tmp_path / "absent")})


def test_rviz_is_found_before_the_node_starts(module, start, monkeypatch):
    def absent(package):
        if package == "rviz2":
            raise module.PackageNotFoundError(package)
        return str(ROOT)

    monkeypatch.setattr(module, "get_package_share_directory", absent)
    with pytest.raises(RuntimeError, match=r"rviz:=true needs the package rviz2: sudo apt install"):
        start(rviz="true")


def test_a_bag_with_an_apostrophe_is_played_with_its_clock(module, start, monkeypatch, tmp_path):
    from launch.actions import ExecuteProcess

    bag = tmp_path / "it's a bag"
    bag.mkdir()
    monkeypatch.setattr(module, "get_package_share_directory", lambda package: str(ROOT))
    started, context = start(bag=str(bag))

    play = [a for a in started if type(a) is ExecuteProcess]
    words = [_text(context, word) for word in play[0].cmd]
    assert words == ["ros2", "bag", "play", str(bag), "--clock"]
    assert _parameters(_node(started), context)[1]["use_sim_time"] is True
    assert "FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA" in _said(started, context)[0]


def test_the_home_folder_and_variables_are_expanded(start, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", "config")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/mine.yaml").write_text("{}")
    started, context = start(params_file="~/$PLACE/mine.yaml")

    assert _parameters(_node(started), context)[0] == tmp_path / "config/mine.yaml"


def test_respawn_and_log_level_reach_the_node(start):
    started, context = start(respawn="true", log_level="debug")
    node = _node(started)

    assert node._ExecuteLocal__respawn is True
    words = [_text(context, word) for word in node._Node__arguments]
    assert words[words.index("--log-level") + 1] == "debug"


def test_the_transport_is_told_where_it_loses_images(start):
    started, context = start()
    assert "large images may be lost" in _said(started, context)[0]


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
