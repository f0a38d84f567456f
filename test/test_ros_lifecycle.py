# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node's life: configured, activated and deactivated by a lifecycle manager."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from ros_robot import PATIENCE, Robot
from ros_world import camera_pose
from std_srvs.srv import Empty

from mast3r_ros.messages import conversions
from mast3r_ros.msg import RelocalizationStatus
from mast3r_ros.ros import diagnostics
from mast3r_ros.srv import AddKeyframe, LoadMap, Relocalize, RemoveKeyframe

pytestmark = pytest.mark.ros


def _change(robot, transition):
    request = Transition(id=transition)
    return robot.call(ChangeState, "relocalizer/change_state", transition=request).success


def _set(robot, name, text):
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text)
    wanted = Parameter(name=name, value=value)
    call = robot.call(SetParameters, "relocalizer/set_parameters", parameters=[wanted])
    return call.results[0]


def _state(robot):
    return robot.call(GetState, "relocalizer/get_state").current_state.label


@pytest.fixture
def robot():
    robot = Robot("lifecycle", autostart=False)
    yield robot
    robot.finish()


def _activate(robot):
    assert _change(robot, Transition.TRANSITION_ACTIVATE)
    robot.wait(lambda: robot.images.get_subscription_count(), "subscription")
    robot.wait(lambda: robot.calibrations.get_subscription_count(), "subscription")


def test_a_whole_life(robot):
    robot.listen("diagnostics", DiagnosticArray, "/diagnostics")
    assert _state(robot) == "unconfigured"
    answer = robot.call(AddKeyframe, "relocalizer/add_keyframe")
    assert "not configured" in answer.message
    robot.call(Empty, "reinitialize_global_localization")
    robot.deliver(robot.initial_poses, PoseWithCovarianceStamped())
    said = robot.wait(lambda: robot.received["diagnostics"], "diagnostics")[-1].status[0]
    assert said.message == "not configured"

    assert _change(robot, Transition.TRANSITION_CONFIGURE)
    assert _state(robot) == "inactive"
    assert "activate it first" in robot.call(AddKeyframe, "relocalizer/add_keyframe").message
    missing = robot.call(LoadMap, "relocalizer/load_map")
    assert "no path" in missing.message
    robot.wait(
        lambda: robot.received["diagnostics"][-1].status[0].message == "inactive", "diagnostics"
    )

    _activate(robot)
    robot.add(camera_pose())
    assert robot.look(camera_pose(0.1)).state == RelocalizationStatus.STATE_LOCALIZED

    # A service that waits is told when the node goes to rest.
    waiting = robot.call_async(Relocalize, "relocalizer/relocalize", timeout=60.0)
    time.sleep(0.5)  # for it to begin to wait: nothing can be seen of that from outside
    assert _change(robot, Transition.TRANSITION_DEACTIVATE)
    answer = robot.wait(lambda: waiting.done() and waiting.result(), "answer")
    assert not answer.success
    assert "deactivated meanwhile" in answer.message
    robot.wait(lambda: not robot.images.get_subscription_count(), "end of the subscription")

    _activate(robot)
    assert robot.look(camera_pose(0.1)).state == RelocalizationStatus.STATE_LOCALIZED

    assert _change(robot, Transition.TRANSITION_DEACTIVATE)
    assert _change(robot, Transition.TRANSITION_CLEANUP)
    assert _state(robot) == "unconfigured"
    assert _change(robot, Transition.TRANSITION_CONFIGURE)
    _activate(robot)
    assert robot.look(camera_pose()).state == RelocalizationStatus.STATE_NO_MAP

    assert _change(robot, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert _state(robot) == "finalized"


def test_a_map_that_is_not_there_leaves_the_node_unconfigured(tmp_path):
    robot = Robot("no_map", autostart=False, map=tmp_path / "nowhere")
    try:
        assert not _change(robot, Transition.TRANSITION_CONFIGURE)
        assert _state(robot) == "unconfigured"
        assert "no map at" in robot.log()
    finally:
        robot.close()
    assert robot.process.returncode == 0


def test_failed_autostart_ends_the_process(tmp_path):
    robot = Robot("no_map_auto", map=tmp_path / "nowhere", wait=False)
    try:
        assert robot.process.wait(PATIENCE) == 1
    finally:
        log = robot.close()
    assert "no map at" in log
    assert "Traceback" not in log


def test_failed_autostart_leaves_the_node_where_that_is_wanted(tmp_path):
    """Then /diagnostics shows why, and the map can be set before the next attempt."""
    robot = Robot(
        "no_map_stays", map=tmp_path / "nowhere", exit_on_failed_autostart=False, wait=False
    )
    try:
        assert _state(robot) == "unconfigured"
        robot.listen("diagnostics", DiagnosticArray, "/diagnostics")
        said = robot.wait(lambda: robot.received["diagnostics"], "diagnostics")[-1].status[0]
        assert said.level == DiagnosticStatus.ERROR
        assert "no map at" in said.message

        for name, value in (("map", ""), ("tf_mode", "map_camera"), ("front_end", "sift")):
            assert _set(robot, name, value).successful
        assert _change(robot, Transition.TRANSITION_CONFIGURE)
        _activate(robot)
        status = robot.look(camera_pose())
        assert (status.state, status.front_end) == (RelocalizationStatus.STATE_NO_MAP, "sift")
        assert "clean it up first" in _set(robot, "tf_mode", "none").reason
    finally:
        log = robot.close()
    assert robot.process.returncode == 0, log


def _catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (number - 1) & 1)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("number", "delay"),
    [(signal.SIGINT, s) for s in (0.2, 0.5, 0.8, 1.2, 1.6, 2.5)] + [(signal.SIGTERM, 1.5)],
)
def test_a_signal_while_the_node_starts(number, delay):
    command = [sys.executable, "-m", "mast3r_ros.ros.node", "--ros-args", "-p", "front_end:=sift"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + PATIENCE
    while not _catches(process.pid, signal.SIGTERM) and time.monotonic() < end:
        time.sleep(0.01)  # before, the interpreter itself starts
    time.sleep(delay)
    process.send_signal(number)

    _, log = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0, log
    assert "Traceback" not in log
    assert "ERROR" not in log


def test_the_bond_with_a_lifecycle_manager(robot):
    """As bond_core has it: heartbeats with the node's name, until the manager says goodbye."""
    status = pytest.importorskip("bond.msg", reason="the package bond is not built here").Status
    robot.listen("bond", status, "bond")
    manager = robot.node.create_publisher(status, "bond", 10)
    said = robot.received["bond"]
    assert _change(robot, Transition.TRANSITION_CONFIGURE)
    assert not said
    _activate(robot)

    robot.wait(lambda: len(said) >= 10, "heartbeats")
    assert {m.id for m in said} == {"relocalizer"}
    assert len({m.instance_id for m in said}) == 1
    assert all(m.active for m in said)
    begin, end = (conversions.to_nanoseconds(m.header.stamp) / 1e9 for m in (said[0], said[9]))
    assert end - begin > 0.7  # nine periods of 0.1 s, longer on a busy machine
    assert (round(said[0].heartbeat_period, 3), said[0].heartbeat_timeout) == (0.1, 4.0)

    manager.publish(status(id="relocalizer", instance_id="manager", active=True))
    robot.wait(lambda: "bond with the lifecycle manager formed" in robot.log(), "the bond")
    manager.publish(status(id="another_node", instance_id="manager", active=False))
    assert _change(robot, Transition.TRANSITION_DEACTIVATE)
    robot.wait(lambda: not said[-1].active, "the end of the bond")

    said.clear()
    _activate(robot)
    robot.wait(lambda: said and said[-1].active, "heartbeats")
    manager.publish(status(id="relocalizer", instance_id="manager", active=True))
    manager.publish(status(id="relocalizer", instance_id="manager", active=False))
    robot.wait(lambda: "has closed the bond" in robot.log(), "the broken bond")
    robot.wait(lambda: not said[-1].active, "its acknowledgment")
    assert robot.look(camera_pose()).state == RelocalizationStatus.STATE_NO_MAP


def test_a_silent_manager_breaks_the_bond(robot):
    status = pytest.importorskip("bond.msg", reason="the package bond is not built here").Status
    manager = robot.node.create_publisher(status, "bond", 10)
    assert _change(robot, Transition.TRANSITION_CONFIGURE)
    _activate(robot)
    robot.wait(manager.get_subscription_count, "the bond's subscription")
    manager.publish(status(id="relocalizer", instance_id="manager", active=True))

    robot.wait(lambda: "no heartbeat of the lifecycle manager for 4." in robot.log(), "warning")


_FAILING = """
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.ros.node import main

describe, count = SiftFrontEnd.describe, [0]

def failing(self, frame):
    count[0] += 1
    if count[0] in (1, 3):
        raise RuntimeError("out of GPU memory")
    return describe(self, frame)

def remove(self, keyframe_id):
    raise RuntimeError("struck by lightning")

SiftFrontEnd.describe, KeyframeMap.remove = failing, remove
main()
"""


def test_failures_inside_are_told_and_the_node_goes_on():
    """The front end fails when warmed up, and again at an image; so does a service."""
    robot = Robot("failing", autostart=False, program=_FAILING)
    try:
        assert not _change(robot, Transition.TRANSITION_CONFIGURE)
        assert _state(robot) == "unconfigured"
        assert "on_configure: RuntimeError('out of GPU memory')" in robot.log()
        assert robot.log().count("Traceback") == 1
        assert _change(robot, Transition.TRANSITION_CONFIGURE)
        _activate(robot)

        robot.add(camera_pose(), success=False)
        robot.add(camera_pose())
        assert robot.look(camera_pose()).state == RelocalizationStatus.STATE_LOCALIZED
        answer = robot.call(RemoveKeyframe, "relocalizer/remove_keyframe", keyframe_id=1)
        assert not answer.success
        assert "struck by lightning" in answer.message
        assert "remove_keyframe failed: RuntimeError('struck by lightning')" in robot.log()
        # One each: configure, the image of the first keyframe's status, and the service.
        assert robot.log().count("Traceback") == 3
        assert robot.look(camera_pose()).state == RelocalizationStatus.STATE_LOCALIZED
    finally:
        log = robot.close()
    assert robot.process.returncode == 0, log


def test_an_image_that_makes_the_front_end_fail():
    program = _FAILING.replace("(1, 3)", "(3,)")
    robot = Robot("failing_image", program=program)
    try:
        robot.add(camera_pose())
        status = robot.look(camera_pose())
        assert status.state == RelocalizationStatus.STATE_ERROR
        assert "out of GPU memory" in status.reason
        assert robot.look(camera_pose()).state == RelocalizationStatus.STATE_LOCALIZED
    finally:
        log = robot.close()
    assert robot.process.returncode == 0, log


def test_diagnostic_updater_is_used_where_it_is_installed(monkeypatch):
    """Against the names and arguments of diagnostic_updater's Python API."""
    tasks, hardware = {}, []

    class Updater:
        def __init__(self, node, period=1):
            assert period == 1.0

        def setHardwareID(self, name):
            hardware.append(name)

        def add(self, name, task):
            tasks[name] = task

    module = SimpleNamespace(Updater=Updater, __spec__=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "diagnostic_updater", module)
    node = SimpleNamespace(get_fully_qualified_name=lambda: "/robot/relocalizer")

    diagnostics.Diagnostics(node, lambda: None, lambda: "")

    said = {}
    entry = SimpleNamespace(summary=lambda *a: said.update(summary=a), add=said.__setitem__)
    assert tasks["/robot/relocalizer"](entry) is entry
    assert said["summary"][1] == "not configured"
    assert hardware == ["none"]


@pytest.mark.parametrize(
    ("state", "rate", "expected"),
    [
        (RelocalizationStatus.STATE_LOCALIZED, 10.0, b"\0"),
        (RelocalizationStatus.STATE_NOT_LOCALIZED, 10.0, b"\1"),
        (RelocalizationStatus.STATE_BAD_INPUT, 10.0, b"\2"),
        (RelocalizationStatus.STATE_ERROR, 10.0, b"\2"),
        (RelocalizationStatus.STATE_LOCALIZED, 0.0, b"\1"),
    ],
)
def test_how_health_is_judged(state, rate, expected):
    level, message = diagnostics.judge(True, rate, RelocalizationStatus(state=state, reason="why"))

    assert level == expected
    assert message
