# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node ties its images together by the odometry that TF has."""

import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from ros_robot import Robot
from ros_world import FRAME, camera_pose, image_message, render
from std_srvs.srv import Empty

from mast3r_ros.geometry import transforms
from mast3r_ros.messages import conversions
from mast3r_ros.msg import RelocalizationStatus

pytestmark = pytest.mark.ros
_BASE_CAMERA = transforms.make([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], [0.1, 0.0, 0.3])
_MAP_ODOM = transforms.make(transforms.rotation_from_vector([0, 0, 0.4]), [1.0, -2.0, 0.5])
_LOCALIZED = RelocalizationStatus.STATE_LOCALIZED


@pytest.fixture(scope="module")
def robot():
    robot = Robot("window", tf_timeout=3.0)
    robot.send_tf("base_link", FRAME, _BASE_CAMERA, 0.0, static=True)
    robot.add(camera_pose())
    robot.add(camera_pose(0.6))
    alone = _send(robot, camera_pose()).inliers
    # From the first odometry on that the node has seen, it waits for it.
    for _ in range(20):
        if _send(robot, camera_pose()).inliers > alone + 100:
            break
    yield robot
    robot.finish()


def _send_odometry(robot, map_camera, stamp):
    """Where odometry has the robot around a stamp."""
    odom_base = transforms.inverse(_MAP_ODOM) @ map_camera @ transforms.inverse(_BASE_CAMERA)
    for offset in (-0.1, 0.0, 0.1):
        robot.send_tf("odom", "base_link", odom_base, stamp + offset)


def _send(robot, map_camera, image=None):
    """Odometry around the next stamp, then the image."""
    stamp = robot.tick(0.5)
    _send_odometry(robot, map_camera, stamp)
    return robot.send(image_message(render(map_camera)[0] if image is None else image, stamp))


def _pose(robot):
    return conversions.to_pose(robot.received["pose"][-1].pose.pose)


def test_images_are_solved_together(robot):
    robot.call(Empty, "reinitialize_global_localization")
    statuses = [_send(robot, camera_pose(x)) for x in (0.0, 0.05, 0.1)]

    assert [status.state for status in statuses] == [_LOCALIZED] * 3
    # Of each past image some 160 matches are kept, nearly all of them inliers here.
    assert statuses[2].inliers > statuses[0].inliers + 250
    assert transforms.distance(_pose(robot), camera_pose(0.1)) < 0.02


def test_odometry_that_comes_after_its_image_is_waited_for(robot):
    robot.call(Empty, "reinitialize_global_localization")
    first = _send(robot, camera_pose(0.0))
    _send(robot, camera_pose(0.05))
    stamp = robot.tick(0.5)
    late = threading.Timer(0.3, _send_odometry, (robot, camera_pose(0.1), stamp))
    late.start()

    status = robot.send(image_message(render(camera_pose(0.1))[0], stamp))

    late.join()
    assert status.inliers > first.inliers + 250


def test_a_black_image_is_not_localized_by_those_before_it(robot):
    robot.call(Empty, "reinitialize_global_localization")
    for x in (0.0, 0.05, 0.1):
        _send(robot, camera_pose(x))

    black = _send(robot, camera_pose(0.25), image=np.zeros_like(render(camera_pose())[0]))
    after = _send(robot, camera_pose(0.15))

    assert black.state == RelocalizationStatus.STATE_NOT_LOCALIZED
    assert "in the newest image" in black.reason
    assert after.state == _LOCALIZED, after.reason
    assert transforms.distance(_pose(robot), camera_pose(0.15)) < 0.03


@pytest.mark.parametrize("why", ["reinitialized", "no odometry"])
def test_what_ties_images_no_more_starts_the_window_over(robot, why):
    for x in (0.0, 0.05, 0.1):
        _send(robot, camera_pose(x))
    if why == "reinitialized":
        robot.call(Empty, "reinitialize_global_localization")
    else:
        robot.clock += 20.0
        robot.send(image_message(render(camera_pose())[0], robot.tick()))

    status = _send(robot, camera_pose(0.1), image=np.zeros_like(render(camera_pose())[0]))

    assert status.state == RelocalizationStatus.STATE_NOT_LOCALIZED


def test_a_window_of_one_solves_each_image_by_itself():
    robot = Robot("window_of_one", **{"window.count": 1})
    try:
        robot.send_tf("base_link", FRAME, _BASE_CAMERA, 0.0, static=True)
        robot.add(camera_pose())
        statuses = [_send(robot, camera_pose(x)) for x in (0.0, 0.05)]
        black = _send(robot, camera_pose(), image=np.zeros_like(render(camera_pose())[0]))
    finally:
        log = robot.close()

    assert [status.state for status in statuses] == [_LOCALIZED] * 2, log
    assert statuses[1].inliers < statuses[0].inliers + 200
    assert black.state == RelocalizationStatus.STATE_NOT_LOCALIZED
