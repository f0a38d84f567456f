# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whatever comes in, a clear status or answer goes out, and the node goes on."""

import array
import re
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from geometry_msgs.msg import Pose
from ros_robot import Robot
from ros_world import HEIGHT, WIDTH, calibration, camera_pose, header, image_message, render
from sensor_msgs.msg import Image

from mast3r_ros.messages import conversions
from mast3r_ros.msg import RelocalizationStatus
from mast3r_ros.srv import AddKeyframe, RemoveKeyframe

pytestmark = pytest.mark.ros
VIEW, DEPTH = render(camera_pose())


@pytest.fixture(scope="module")
def robot():
    robot = Robot("bad_input", max_megapixels=2.0, depth_timeout=0.3, service_timeout=5.0)
    robot.send_depth(image_message(DEPTH, robot.tick(), "32FC1"))
    yield robot
    robot.finish()


@pytest.fixture(autouse=True)
def _goes_on(robot):
    """After each test the node must still localize, and map where the test left no map."""
    yield
    status = robot.look(camera_pose(0.05))
    if status.state == RelocalizationStatus.STATE_NO_MAP:
        robot.add(camera_pose())
        status = robot.look(camera_pose(0.05))
    assert status.state == RelocalizationStatus.STATE_LOCALIZED


def _good(robot):
    return image_message(VIEW, robot.tick())


def _image(robot, **changes):
    message = _good(robot)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"encoding": "secret7"}, "encoding 'secret7'"),
        ({"step": 7}, "step 7"),
        ({"step": 3 * WIDTH + 1}, "the image needs"),
        ({"data": array.array("B", bytes(100))}, "100 bytes of data"),
        ({"data": array.array("B"), "width": 0, "height": 0, "step": 0}, "empty image"),
        ({"data": array.array("B")}, "0 bytes of data"),
        ({"height": 7072, "width": 7072, "step": 3 * 7072}, "max_megapixels"),
    ],
)
def test_images(robot, changes, told):
    status = robot.send(_image(robot, **changes))

    assert status.state == RelocalizationStatus.STATE_BAD_INPUT
    assert told in status.reason


def test_a_whole_50_megapixel_image(robot):
    side = 7072
    message = Image(header=header(robot.tick()), height=side, width=side, encoding="mono8")
    message.step, message.data = side, array.array("B", bytes(side * side))

    status = robot.send(message)

    assert status.state == RelocalizationStatus.STATE_BAD_INPUT
    assert "7072x7072" in status.reason


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"k": [0.0] * 9}, "is the camera calibrated"),
        ({"k": [float("nan")] * 9}, "must be finite"),
        ({"width": 2 * WIDTH}, f"camera calibrated for {2 * WIDTH}x{HEIGHT}"),
        ({"width": 0, "height": 0}, "image size 0x0"),
        ({"distortion_model": "funhouse"}, "distortion model 'funhouse'"),
        ({"d": [0.1, 0.2]}, "2 coefficients"),
    ],
)
def test_camera_info(robot, changes, told):
    message = _good(robot)
    info = calibration(robot.clock)
    for name, value in changes.items():
        setattr(info, name, value)

    status = robot.send(message, info)

    assert status.state == RelocalizationStatus.STATE_BAD_INPUT
    assert told in status.reason


def test_camera_info_that_changes_with_the_images(robot):
    """A camera that switches to half its size: each image goes with its own calibration."""
    robot.clear()
    robot.add(camera_pose())
    small = render(camera_pose(0.05), WIDTH // 2, HEIGHT // 2)[0]
    stamp = robot.tick()

    status = robot.send(image_message(small, stamp), calibration(stamp, WIDTH // 2, HEIGHT // 2))
    again = robot.look(camera_pose(0.05))

    assert status.state != RelocalizationStatus.STATE_BAD_INPUT
    assert again.state == RelocalizationStatus.STATE_LOCALIZED


def test_an_image_that_overtakes_its_camera_info(robot):
    small = render(camera_pose(0.05), WIDTH // 4, HEIGHT // 4)[0]
    message = image_message(small, robot.tick())

    robot.images.publish(message)
    time.sleep(0.02)
    robot.calibrations.publish(calibration(robot.clock, WIDTH // 4, HEIGHT // 4))
    status = robot.wait(
        lambda: next(
            (s for s in robot.received["status"] if s.header.stamp == message.header.stamp), None
        ),
        "status of the early image",
    )

    assert status.state != RelocalizationStatus.STATE_BAD_INPUT, status.reason


def test_stamps_that_go_back(robot):
    robot.clear()
    robot.add(camera_pose())
    now = robot.clock
    robot.clock = 50.0

    status = robot.look(camera_pose(0.05))

    assert status.state == RelocalizationStatus.STATE_LOCALIZED
    assert "time jumped back by 5" in status.reason
    assert status.reason.endswith(" s: TF buffer cleared")
    assert robot.look(camera_pose(0.05)).reason == ""
    robot.clock = now


def _add_with_depth(robot, depth_message):
    stamp = robot.tick()
    depth_message.header = header(stamp)
    robot.send_depth(depth_message)
    robot.send(image_message(VIEW, stamp))
    pose = conversions.from_pose(camera_pose())
    return robot.call(AddKeyframe, "relocalizer/add_keyframe", pose=pose)


def test_depth_of_nothing_but_nan(robot):
    answer = _add_with_depth(robot, image_message(np.full_like(DEPTH, np.nan), 0.0, "32FC1"))

    assert (answer.success, answer.has_depth) == (True, False), answer.message
    assert "holds no value above zero" in answer.message


@pytest.mark.parametrize(
    ("every", "state"),
    [
        (8, RelocalizationStatus.STATE_LOCALIZED),
        # None of the features knows its depth.
        (3, RelocalizationStatus.STATE_DIRECTION_ONLY),
    ],
)
def test_depth_with_holes(robot, every, state):
    holes = DEPTH.copy()
    holes[::every], holes[1::every], holes[:, ::every] = np.nan, np.inf, -1.0
    robot.clear()

    answer = _add_with_depth(robot, image_message(holes, 0.0, "32FC1"))

    assert (answer.success, answer.has_depth) == (True, True), answer.message
    assert robot.look(camera_pose(0.05)).state == state
    robot.clear()


def test_depth_in_millimeters(robot):
    robot.clear()
    millimeters = np.uint16(np.rint(DEPTH * 1000))

    answer = _add_with_depth(robot, image_message(millimeters, 0.0, "16UC1"))

    assert (answer.success, answer.has_depth) == (True, True), answer.message
    assert robot.look(camera_pose(0.05)).state == RelocalizationStatus.STATE_LOCALIZED


def test_depth_of_half_the_size_is_registered(robot):
    robot.clear()

    answer = _add_with_depth(robot, image_message(DEPTH[::2, ::2].copy(), 0.0, "32FC1"))

    assert (answer.success, answer.has_depth) == (True, True), answer.message
    assert robot.look(camera_pose(0.05)).state == RelocalizationStatus.STATE_LOCALIZED


@pytest.mark.parametrize(
    ("depth", "encoding", "told"),
    [
        (DEPTH[:, ::2].copy(), "32FC1", "depth of 160x240 pixels does not have the aspect ratio"),
        (VIEW, "rgb8", "depth with encoding 'rgb8'"),
        (DEPTH[:9], "32FC1", "depth of 320x9 pixels does not have the aspect ratio"),
    ],
)
def test_depth_that_does_not_fit(robot, depth, encoding, told):
    answer = _add_with_depth(robot, image_message(depth, 0.0, encoding))

    assert not answer.success
    assert told in answer.message


def test_depth_too_far_in_time(robot):
    robot.send_depth(image_message(DEPTH, robot.tick(), "32FC1"))
    robot.send(image_message(VIEW, robot.tick(0.5)))
    pose = conversions.from_pose(camera_pose())

    answer = robot.call(AddKeyframe, "relocalizer/add_keyframe", pose=pose)

    assert (answer.success, answer.has_depth) == (True, False), answer.message
    assert "depth_tolerance" in answer.message


# By the package's own TF, or by tf2_ros.
_NO_TF = "TF does not connect|target_frame does not exist"


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"pose": Pose()}, None),
        ({"pose_source": 9}, "pose_source 9"),
        ({"pose_source": AddKeyframe.Request.POSE_FROM_TF, "timeout": 0.2}, _NO_TF),
        ({"pose_source": AddKeyframe.Request.POSE_IDENTITY}, "only the first can be its origin"),
        ({"wait_for_next": True, "timeout": 0.2}, "no image on /bad_input/image in time"),
        ({"timeout": float("inf")}, "timeout inf"),
    ],
)
def test_keyframes_that_cannot_be_added(robot, request_, told):
    if told is None:
        no_pose = Pose()
        no_pose.orientation.w = 0.0
        request_, told = {"pose": no_pose}, "not a pose"
    robot.clear()
    robot.add(camera_pose())

    answer = robot.call(AddKeyframe, "relocalizer/add_keyframe", **request_)

    assert not answer.success
    assert re.search(told, answer.message)


def test_a_keyframe_from_an_image_that_is_none(robot):
    robot.send(_image(robot, encoding="secret7"))

    answer = robot.call(AddKeyframe, "relocalizer/add_keyframe")

    assert not answer.success
    assert "encoding 'secret7'" in answer.message


def test_a_keyframe_that_is_not_there(robot):
    answer = robot.call(RemoveKeyframe, "relocalizer/remove_keyframe", keyframe_id=12345)

    assert not answer.success
    assert "no keyframe 12345" in answer.message


def test_without_camera_info():
    """A node that has never heard any, so a node of its own."""
    robot = Robot("no_camera_info")
    try:
        answer = robot.call(AddKeyframe, "relocalizer/add_keyframe", timeout=0.2)
        assert "no image on /no_camera_info/image" in answer.message
        message = _good(robot)
        robot.images.publish(message)
        robot.wait(lambda: robot.received["status"][-1].header.stamp.sec, "status")
        answer = robot.call(AddKeyframe, "relocalizer/add_keyframe")
        assert not answer.success
        assert "no camera_info on /no_camera_info/camera_info" in answer.message
    finally:
        robot.close()
    assert robot.process.returncode == 0
