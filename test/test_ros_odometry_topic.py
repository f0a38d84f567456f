# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Odometry from nav_msgs/Odometry in place of TF, and what a jump of it resets."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from ros_robot import Robot
from ros_world import FRAME, camera_pose, header
from std_srvs.srv import Empty
from tf2_msgs.msg import TFMessage

from mast3r_ros.geometry import transforms
from mast3r_ros.messages import conversions
from mast3r_ros.msg import RelocalizationStatus

pytestmark = pytest.mark.ros
_BASE_CAMERA = transforms.make([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], [0.1, 0.0, 0.3])
_MAP_ODOM = transforms.make(transforms.rotation_from_vector([0, 0, 0.4]), [1.0, -2.0, 0.5])


@pytest.fixture(scope="module")
def robot():
    robot = Robot("odometry_topic", tf_mode="map_odom", odometry="topic", tf_timeout=2.0)
    robot.odometry = robot.node.create_publisher(Odometry, "odometry", 100)
    robot.listen("tf", TFMessage, "/tf", 100)
    robot.listen("filtered", PoseWithCovarianceStamped, "filtered_pose", 100)
    robot.wait(robot.odometry.get_subscription_count, "the node to listen to odometry")
    robot.send_tf("base_link", FRAME, _BASE_CAMERA, 0.0, static=True)
    robot.add(camera_pose())
    robot.add(camera_pose(0.6))
    yield robot
    robot.finish()


def _tell(robot, odom_base, stamp, frame="odom"):
    message = Odometry(header=header(stamp), child_frame_id="base_link")
    message.header.frame_id = frame
    message.pose.pose = conversions.from_pose(odom_base)
    robot.deliver(robot.odometry, message)


def _drive(robot, map_camera, map_odom=_MAP_ODOM):
    """Odometry around the next image's stamp, then the image."""
    robot.tick(0.5)
    odom_base = transforms.inverse(map_odom) @ map_camera @ transforms.inverse(_BASE_CAMERA)
    for offset in (0.0, 0.2):
        _tell(robot, odom_base, robot.clock + offset)
    return robot.look(map_camera)


def _map_odoms(robot):
    return [
        conversions.from_transform(entry.transform)
        for message in robot.received["tf"]
        for entry in message.transforms
        if (entry.header.frame_id, entry.child_frame_id) == ("map", "odom")
    ]


def test_without_odometry_the_status_names_the_topic(robot):
    status = robot.look(camera_pose(0.05))

    assert "map->odom not updated" in status.reason
    assert "/odometry -> camera_optical: no odometry has come yet" in status.reason


def test_the_topic_ties_images_and_gives_map_odom(robot):
    robot.call(Empty, "reinitialize_global_localization")
    statuses = [_drive(robot, camera_pose(x)) for x in (0.0, 0.05, 0.1)]

    assert statuses[2].inliers > statuses[0].inliers + 250
    assert [s.filter_state for s in statuses][2] == RelocalizationStatus.FILTER_LOCALIZED
    odom = robot.wait(lambda: _map_odoms(robot), "map -> odom")[-1]
    assert transforms.distance(odom, _MAP_ODOM) < 0.02

    driven = camera_pose(0.6) @ transforms.inverse(_BASE_CAMERA)
    _tell(robot, transforms.inverse(_MAP_ODOM) @ driven, robot.clock + 0.6)
    robot.wait(
        lambda: any(
            transforms.distance(conversions.to_pose(p.pose.pose), driven) < 0.03
            for p in robot.received["filtered"][-3:]
        ),
        "a filtered pose by the topic",
    )


def test_a_jump_of_odometry_starts_everything_over(robot):
    for x in (0.0, 0.05, 0.1):
        _drive(robot, camera_pose(x))
    elsewhere = transforms.perturb(_MAP_ODOM, [30.0, 0, 0, 0, 0, 0])

    status = _drive(robot, camera_pose(0.1), elsewhere)

    assert "odometry jumped: the window and map->odom start over" in status.reason
    assert "1 of 3" in status.reason
    assert status.filter_state == RelocalizationStatus.FILTER_INITIALIZING
    statuses = [_drive(robot, camera_pose(0.1), elsewhere) for _ in range(2)]
    assert statuses[-1].filter_state == RelocalizationStatus.FILTER_LOCALIZED


def test_odometry_in_another_frame_is_ignored_with_a_warning(robot):
    _tell(robot, np.eye(4), robot.clock + 100.0, frame="world")

    robot.wait(lambda: "in frame 'world': `odom_frame` is 'odom'" in robot.log(), "warning")
