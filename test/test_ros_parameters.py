# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Parameters: declared, written down, and refused where they make no sense."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from ros_robot import Robot
from ros_world import camera_pose

from mast3r_ros import frontends
from mast3r_ros.frontends.base import FrontEndError
from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.ros import parameter_docs, parameters

pytestmark = pytest.mark.ros
ROOT = Path(__file__).resolve().parent.parent
ENTRIES = {name: e for section in parameters.SECTIONS for name, e in section.entries()}


def test_no_name_stands_for_two_things():
    assert len(ENTRIES) == sum(len(list(section.entries())) for section in parameters.SECTIONS)


def test_options_of_front_ends_have_its_name_before_theirs():
    assert {"mast3r.engine", "mast3r.stride", "sift.max_keypoints", "xfeat.device"} <= set(ENTRIES)
    assert "engine" not in ENTRIES


def test_the_documents_match_the_options():
    """Else run `python3 -m mast3r_ros.ros.parameter_docs`."""
    for path, text in parameter_docs.documents(ROOT).items():
        assert path.read_text() == text, path


def test_writing_the_documents_again_changes_nothing(tmp_path):
    for name in ("config", "docs"):
        (tmp_path / name).mkdir()
    page = (ROOT / "docs" / "parameters.md").read_text()
    (tmp_path / "docs" / "parameters.md").write_text(page)

    parameter_docs.write(tmp_path)

    assert (tmp_path / "docs" / "parameters.md").read_text() == page
    loaded = yaml.safe_load((tmp_path / "config" / "relocalizer.yaml").read_text())
    flat = {}
    for key, value in loaded["/**"]["ros__parameters"].items():
        inner = value if isinstance(value, dict) else {"": value}
        flat |= {f"{key}.{name}".rstrip("."): setting for name, setting in inner.items()}
    assert flat == {n: e.default for n, e in ENTRIES.items()}


@pytest.fixture(scope="module")
def robot():
    robot = Robot("parameters")
    yield robot
    log = robot.close()
    assert robot.process.returncode == 0, log


def test_each_has_its_description_limits_and_flag(robot):
    names = list(ENTRIES)
    answer = robot.call(DescribeParameters, "relocalizer/describe_parameters", names=names)

    for descriptor in answer.descriptors:
        about = ENTRIES[descriptor.name].metadata
        assert descriptor.description == about["text"]
        assert descriptor.read_only == about["read_only"]
        limits = [*descriptor.integer_range, *descriptor.floating_point_range]
        if about["minimum"] is not None:
            assert (limits[0].from_value, limits[0].to_value) == (
                about["minimum"],
                about["maximum"],
            )
        for choice in about["choices"]:
            assert choice in descriptor.additional_constraints


def _set(robot, name, **value):
    kinds = {"integer_value": ParameterType.PARAMETER_INTEGER}
    kinds |= {"double_value": ParameterType.PARAMETER_DOUBLE}
    kinds |= {"string_value": ParameterType.PARAMETER_STRING}
    kinds |= {"bool_value": ParameterType.PARAMETER_BOOL}
    (key,) = value
    wanted = Parameter(name=name, value=ParameterValue(type=kinds[key], **value))
    call = robot.call(SetParameters, "relocalizer/set_parameters", parameters=[wanted])
    return call.results[0]


def test_what_can_be_turned_while_running(robot):
    robot.clear()
    robot.add(camera_pose())
    assert robot.look(camera_pose(0.1)).state == 1

    assert _set(robot, "min_inliers", integer_value=9999).successful
    refused = robot.look(camera_pose(0.1))
    assert _set(robot, "min_inliers", integer_value=0).successful

    assert refused.state == 3
    assert robot.look(camera_pose(0.1)).state == 1


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("pose_method", {"string_value": "guess"}, "pose_method = 'guess': choose one of"),
        ("gate_distance", {"double_value": -1.0}, "gate_distance"),
        ("autostart", {"bool_value": False}, "read-only"),
        ("front_end", {"string_value": "xfeat"}, "clean it up first"),
        ("mast3r.stride", {"integer_value": 4}, "clean it up first"),
        ("pose_method", {"string_value": "procrustes"}, "choose front_end mast3r"),
        ("gate_distance", {"integer_value": 1}, "type"),
    ],
)
def test_what_cannot(robot, name, value, told):
    result = _set(robot, name, **value)

    assert not result.successful
    assert told in result.reason.lower().replace("only parameter", "only")
    values = robot.call(GetParameters, "relocalizer/get_parameters", names=["gate_distance"]).values
    assert values[0].double_value == ENTRIES["gate_distance"].default


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("front_end:=magic", "front_end = 'magic': choose one of"),
        ("tf_rate:=0.0", "tf_rate"),
        ("num_candidates:=many", "num_candidates"),
        ("map:=$NO_SUCH_VARIABLE/map", "the environment variable NO_SUCH_VARIABLE is not set"),
    ],
)
def test_a_node_does_not_start_with_nonsense(setting, told):
    command = [sys.executable, "-m", "mast3r_ros.ros.node", "--ros-args", "-p", setting]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 1
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_front_ends_by_name():
    assert frontends.create("sift", SiftOptions(max_keypoints=8)).options.max_keypoints == 8
    with pytest.raises(FrontEndError, match=r"no front end 'magic': choose one of .*sift"):
        frontends.create("magic")
