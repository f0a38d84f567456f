# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A robot with a rectified stereo pair: keyframes get their depth from the right camera."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from ros_robot import Robot
from ros_world import calibration, camera_pose, image_message, render
from sensor_msgs.msg import CameraInfo, Image

from mast3r_ros import srv
from mast3r_ros.geometry import transforms
from mast3r_ros.messages import conversions
from mast3r_ros.msg import RelocalizationStatus

pytestmark = pytest.mark.ros
_BASELINE = 0.12


class _Stereo(Robot):
    """A robot with two cameras side by side."""

    def __init__(self):
        super().__init__("stereo", depth_source="stereo", rectified=True)
        self.right = self.node.create_publisher(Image, "right/image", 10)
        self.right_info = self.node.create_publisher(CameraInfo, "right/camera_info", 10)
        for publisher in (self.right, self.right_info):
            self.wait(publisher.get_subscription_count, "the node to listen")

    def add_pair(self, pose, baseline=_BASELINE, rows=slice(None)):
        """Add the left image from a pose to the map, with what the right camera sends."""
        stamp = self.tick()
        info = calibration(stamp)
        info.p[3] = -info.p[0] * baseline
        beside = render(pose @ transforms.make(np.eye(3), [_BASELINE, 0.0, 0.0]))[0]
        self.deliver(self.right_info, info)
        self.deliver(self.right, image_message(np.ascontiguousarray(beside[rows]), stamp))
        self.send(image_message(render(pose)[0], stamp))
        return self.call(
            srv.AddKeyframe, "relocalizer/add_keyframe", pose=conversions.from_pose(pose)
        )


@pytest.fixture(scope="module")
def robot():
    """Its node, for all tests."""
    robot = _Stereo()
    yield robot
    robot.close()


def test_a_stereo_pair_maps_and_localizes_in_meters(robot):
    answer = robot.add_pair(camera_pose())
    assert (answer.success, answer.has_depth) == (True, True), answer.message

    before = camera_pose(0.2)
    status = robot.look(before)
    assert status.state == RelocalizationStatus.STATE_LOCALIZED, status.reason
    found = robot.wait(
        lambda: [m for m in robot.received["pose"] if m.header.stamp == status.header.stamp], "pose"
    )
    off = transforms.distance(conversions.to_pose(found[-1].pose.pose), before)
    assert off < 0.02


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"baseline": 0.0}, "/stereo/right/camera_info: P[3] is"),
        ({"rows": slice(0, 120)}, "/stereo/right/image: a right image of 320x120 pixels"),
    ],
)
def test_what_is_no_stereo_pair_is_refused(robot, given, told):
    answer = robot.add_pair(camera_pose(), **given)

    assert not answer.success
    assert told in answer.message
