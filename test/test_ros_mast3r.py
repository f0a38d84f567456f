# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node with a network of our own: random weights find nothing, but come all the way."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from dataclasses import replace

from diagnostic_msgs.msg import DiagnosticArray
from network_reference import TINY, random_network
from ros_robot import Robot
from ros_world import camera_pose, image_message, render
from synthetic import make_camera

from mast3r_ros.frame import Frame
from mast3r_ros.frontends import create
from mast3r_ros.frontends.mast3r.options import Mast3rOptions
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.msg import RelocalizationStatus
from mast3r_ros.network.checkpoint import save_checkpoint
from mast3r_ros.srv import LoadMap, SaveMap

pytestmark = pytest.mark.ros
NETWORK = replace(TINY, head="linear", decoder_depth=1, rays=True, image_size=64)


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    """With a map of one keyframe, made without the node."""
    folder = tmp_path_factory.mktemp("mast3r")
    weights = folder / "small.safetensors"
    save_checkpoint(random_network(NETWORK), weights, half=True)
    chosen = {"engine": "torch", "device": "cpu", "checkpoint": str(weights)}
    parameters = {f"mast3r.{name}": value for name, value in chosen.items()}
    keyframes = KeyframeMap(create("mast3r", options=Mast3rOptions(**chosen)))
    pose = camera_pose(0.0)
    keyframes.add(Frame(render(pose)[0], make_camera()), pose)
    keyframes.save(folder / "map")
    robot = Robot("mast3r", front_end="mast3r", map=str(folder / "map"), **parameters)
    yield robot
    log = robot.close()
    assert robot.process.returncode == 0, log
    assert "Traceback" not in log, log


def test_an_image_is_refused_while_the_camera_is_unknown(robot):
    message = image_message(render(camera_pose(0.0))[0], robot.tick())
    before = len(robot.received["status"])
    robot.images.publish(message)
    status = robot.wait(lambda: robot.received["status"][before:], "a status")[-1]

    assert status.map_keyframes == 1
    assert status.state == RelocalizationStatus.STATE_BAD_INPUT
    assert "no camera_info" in status.reason


def test_keyframes_are_matched_saved_and_loaded(robot, tmp_path):
    assert robot.add(camera_pose(0.0)).success
    status = robot.look(camera_pose(0.1))

    assert status.front_end == "mast3r"
    assert status.engine == "torch:cpu:fp32"
    # What the network is, not what it can: nobody has trained it.
    assert status.state in (
        RelocalizationStatus.STATE_NOT_LOCALIZED,
        RelocalizationStatus.STATE_LOCALIZED,
    )
    assert {stage.stage for stage in status.latency} >= {"describe", "match", "solve"}
    folder = str(tmp_path / "map")
    assert robot.call(SaveMap, "relocalizer/save_map", path=folder).success
    robot.clear()
    assert robot.call(LoadMap, "relocalizer/load_map", path=folder).success
    assert robot.look(camera_pose(0.1)).map_keyframes == 2


def test_log_and_diagnostics_name_the_weights(robot):
    robot.listen("diagnostics", DiagnosticArray, "/diagnostics")
    found = robot.wait(lambda: robot.received["diagnostics"], "diagnostics")[-1]
    values = {v.key: v.value for entry in found.status for v in entry.values}

    assert values["weights"].startswith("our own, images of 64 px, ")
    assert f"front end mast3r ({values['weights']})" in robot.log()
    assert np.isfinite(float(values["encode [ms]"]))
