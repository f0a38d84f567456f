# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The action `~/localize`: feedback, success, time limit, cancel."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.action import ActionClient
from ros_robot import Robot
from ros_world import camera_pose, image_message, render

from mast3r_ros.action import Localize
from mast3r_ros.geometry import transforms
from mast3r_ros.messages import conversions
from mast3r_ros.msg import RelocalizationStatus

pytestmark = pytest.mark.ros


class _Goal:
    """A goal that the node has accepted, and the feedback that has come."""

    def __init__(self, robot, client, **fields):
        self.robot, self.feedback = robot, []
        sent = client.send_goal_async(
            Localize.Goal(**fields), lambda message: self.feedback.append(message.feedback)
        )
        self.handle = robot.wait(lambda: sent.done() and sent.result(), "acceptance of the goal")
        assert self.handle.accepted
        self._result = self.handle.get_result_async()

    def end(self):
        """The status that the goal ends with, and its result."""
        done = self.robot.wait(lambda: self._result.done() and self._result.result(), "result")
        return done.status, done.result

    def told(self):
        """The newest feedback, once there is any."""
        return self.robot.wait(lambda: self.feedback, "feedback")[-1]


@pytest.fixture(scope="module")
def robot():
    robot = Robot("localize_action", service_timeout=20.0)
    robot.add(camera_pose())
    yield robot
    robot.finish()


@pytest.fixture(scope="module")
def client(robot):
    client = ActionClient(robot.node, Localize, "relocalizer/localize")
    robot.wait(client.server_is_ready, "the action")
    yield client
    client.destroy()


def _black(robot):
    return robot.send(image_message(np.zeros_like(render(camera_pose())[0]), robot.tick()))


def test_it_goes_on_until_an_image_is_localized(robot, client):
    goal = _Goal(robot, client)
    _black(robot)
    told = goal.told()
    assert (told.images, told.views, told.position_sigma) == (1, 1, np.inf)
    assert told.reason
    assert told.reason == told.status.reason

    robot.look(camera_pose(0.1))
    status, result = goal.end()

    assert (status, result.success) == (GoalStatus.STATUS_SUCCEEDED, True), result.message
    assert "after 2 images" in result.message
    assert result.status.state == RelocalizationStatus.STATE_LOCALIZED
    assert transforms.distance(conversions.to_pose(result.pose.pose.pose), camera_pose(0.1)) < 0.02


def test_a_pose_that_is_not_exact_enough_is_feedback_and_the_goal_can_be_canceled(robot, client):
    goal = _Goal(robot, client, position_sigma=1e-6)
    robot.look(camera_pose(0.1))
    told = goal.told()
    assert "1e-06 wanted" in told.reason
    assert 1e-6 < told.position_sigma < 0.1
    assert transforms.distance(conversions.to_pose(told.best.pose.pose), camera_pose(0.1)) < 0.02

    goal.handle.cancel_goal_async()
    status, result = goal.end()

    assert (status, result.success) == (GoalStatus.STATUS_CANCELED, False)
    assert "canceled after 1 images" in result.message


def test_the_time_is_limited_and_the_message_says_why(robot, client):
    goal = _Goal(robot, client, timeout=0.3)

    status, result = goal.end()

    assert (status, result.success) == (GoalStatus.STATUS_ABORTED, False)
    assert "not localized within 0.3 s, 0 images" in result.message


def test_a_newer_goal_replaces_an_older_one(robot, client):
    older, newer = _Goal(robot, client), _Goal(robot, client)
    status, result = older.end()
    assert status == GoalStatus.STATUS_ABORTED
    assert result.message == "replaced by a newer goal"

    robot.look(camera_pose(0.1))
    assert newer.end()[1].success


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"timeout": -1.0}, "timeout -1.0"), ({"position_sigma": np.nan}, "position_sigma nan")],
)
def test_what_means_nothing_is_refused_by_name(robot, client, fields, message):
    status, result = _Goal(robot, client, **fields).end()

    assert status == GoalStatus.STATUS_ABORTED
    assert result.message.startswith(message)


def test_deactivation_ends_a_goal(robot, client):
    goal = _Goal(robot, client)
    change = {"name": "relocalizer/change_state"}
    for number in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
        assert robot.call(ChangeState, transition=Transition(id=number), **change).success
        if number == Transition.TRANSITION_DEACTIVATE:
            assert goal.end()[1].message == "the node was deactivated meanwhile"
            assert "takes no images" in _Goal(robot, client).end()[1].message
