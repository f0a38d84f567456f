# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node with the network of the package, nano."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from ros_robot import Robot
from ros_world import camera_pose, image_message, render
from synthetic import make_camera

from mast3r_ros.frame import Frame
from mast3r_ros.frontends import create
from mast3r_ros.frontends.mast3r.options import Mast3rOptions
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.messages import conversions
from mast3r_ros.msg import RelocalizationStatus
from mast3r_ros.srv import LoadMap, SaveMap

pytestmark = pytest.mark.ros
QUERY = camera_pose(0.1, 0.05, 0.1, 0.05)


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    """With a map of one keyframe, made without the node."""
    folder = tmp_path_factory.mktemp("mast3r")
    chosen = {"engine": "torch", "device": "cpu", "checkpoint": "nano"}
    keyframes = KeyframeMap(create("mast3r", Mast3rOptions(**chosen)))
    image, depth = render(camera_pose(0.0))
    keyframes.add(Frame(image, make_camera(), depth=depth), camera_pose(0.0))
    keyframes.save(folder / "map")
    parameters = {f"mast3r.{name}": value for name, value in chosen.items()}
    robot = Robot("mast3r", front_end="mast3r", map=str(folder / "map"), **parameters)
    yield robot
    robot.finish()


def test_an_image_is_refused_while_the_camera_is_unknown(robot):
    message = image_message(render(camera_pose(0.0))[0], robot.tick())
    before = len(robot.received["status"])
    robot.images.publish(message)
    status = robot.wait(lambda: robot.received["status"][before:], "a status")[-1]

    assert status.map_keyframes == 1
    assert status.state == RelocalizationStatus.STATE_BAD_INPUT
    assert "no camera_info" in status.reason


def test_a_second_keyframe_localizes_and_the_map_is_saved_and_loaded(robot, tmp_path):
    robot.add(camera_pose(0.2))
    status = robot.look(QUERY)

    assert (status.front_end, status.engine) == ("mast3r", "torch:cpu:fp32")
    assert status.state == RelocalizationStatus.STATE_LOCALIZED, status.reason
    assert {stage.stage for stage in status.latency} >= {"describe", "match", "solve"}
    folder = str(tmp_path / "map")
    assert robot.call(SaveMap, "relocalizer/save_map", path=folder).success
    robot.clear()
    assert robot.look(QUERY).state == RelocalizationStatus.STATE_NO_MAP
    assert robot.call(LoadMap, "relocalizer/load_map", path=folder).success
    assert robot.look(QUERY).map_keyframes == 2


# By the network's guess of the query's points, a small network is far from pnp's pose.
@pytest.mark.parametrize(
    ("method", "meters", "degrees"), [("procrustes", 0.5, 12), ("pnp", 0.1, 3)]
)
def test_the_pose_method_changes_while_the_node_runs(robot, method, meters, degrees):
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=method)
    wanted = Parameter(name="pose_method", value=value)
    answer = robot.call(SetParameters, "relocalizer/set_parameters", parameters=[wanted])
    assert answer.results[0].successful, answer.results[0].reason

    robot.received["pose"].clear()
    status = robot.look(QUERY)

    assert status.state == RelocalizationStatus.STATE_LOCALIZED, status.reason
    message = robot.wait(lambda: robot.received["pose"], "a pose")[-1]
    pose = conversions.to_pose(message.pose.pose)
    error = transforms.distance(pose, QUERY), transforms.rotation_angle(pose, QUERY)
    covariance = conversions.to_covariance(message.pose.covariance)
    sigma = np.sqrt(np.trace(covariance[:3, :3]))
    print(f"{method}: {error[0]:.3f} m, {np.rad2deg(error[1]):.2f} deg, sigma {sigma:.3f} m")
    assert error[0] < meters
    assert error[1] < np.deg2rad(degrees)
    assert 0.0 < sigma < 0.3


def test_log_and_diagnostics_name_the_weights(robot):
    robot.listen("diagnostics", DiagnosticArray, "/diagnostics")
    found = robot.wait(lambda: robot.received["diagnostics"], "diagnostics")[-1]
    values = {v.key: v.value for entry in found.status for v in entry.values}

    assert values["weights"].startswith("our own, images of 160 px, ")
    assert f"front end mast3r ({values['weights']})" in robot.log()
    assert np.isfinite(float(values["encode [ms]"]))
