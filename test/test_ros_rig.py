# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A rig of two cameras: one pose of the robot, and a camera that is unplugged."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from ros_robot import Robot
from ros_world import FRAME, calibration, camera_pose, header, image_message, render
from sensor_msgs.msg import CameraInfo, Image

from mast3r_ros import srv
from mast3r_ros.geometry import transforms
from mast3r_ros.messages import conversions
from mast3r_ros.msg import Correspondences, RelativePose, RelocalizationStatus
from mast3r_ros.ros import rig as rigs
from mast3r_ros.ros.inputs import Incoming
from mast3r_ros.ros.options import NodeOptions

pytestmark = pytest.mark.ros
_OPTICAL = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
_MOUNTS = {
    "left": transforms.make(_OPTICAL, [0.1, 0.15, 0.3]),
    "right": transforms.make(_OPTICAL, [0.1, -0.15, 0.3]),
}
_LOCALIZED = RelocalizationStatus.STATE_LOCALIZED


def _image(camera, stamp):
    message = image_message(np.zeros((2, 2, 3), np.uint8), stamp)
    return Incoming(message, stamp, camera)


@pytest.fixture
def instants(monkeypatch):
    """A rig of `a` and `b`, and what it has handed on."""
    monkeypatch.setattr(rigs, "Inputs", lambda *_: SimpleNamespace())
    handed: list[rigs.Instant] = []
    rig = rigs.Rig(None, lambda: NodeOptions(cameras="a, b"), handed.append)
    return rig._take, handed


def test_images_of_one_instant_are_handed_on_together_in_the_order_of_the_cameras(instants):
    take, handed = instants
    take(_image("b", 1.000))
    assert not handed
    take(_image("a", 1.005))
    take(_image("a", 1.100))
    take(_image("b", 1.105))

    assert [i.cameras for i in handed] == [("a", "b")] * 2
    assert [i.stamp for i in handed] == [1_005_000_000, 1_100_000_000]


def test_images_beyond_the_tolerance_are_of_two_instants(instants):
    take, handed = instants
    take(_image("a", 1.00))
    take(_image("b", 1.05))
    assert not handed

    take(_image("a", 1.10))
    assert [i.cameras for i in handed] == [("a",)]


def test_a_camera_that_is_unplugged_is_waited_for_until_it_is_silent(instants):
    take, handed = instants
    take(_image("a", 1.0))
    take(_image("b", 1.0))
    for step in range(1, 16):
        take(_image("a", 1.0 + step / 10))
    # Up to a second of silence each instant waits for the next image, then for none.
    assert [i.cameras for i in handed[:2]] == [("a", "b"), ("a",)]
    assert len(handed) == 16
    assert [i.silent for i in handed].count(("b",)) == 6
    assert handed[-1].stamp == 2_500_000_000

    take(_image("b", 2.6))
    take(_image("a", 2.6))
    assert (handed[-1].cameras, handed[-1].silent) == (("a", "b"), ())


def test_time_that_goes_back_starts_over(instants):
    take, handed = instants
    for stamp in (100.0, 10.0):
        take(_image("a", stamp))
        take(_image("b", stamp))

    assert [i.stamp for i in handed] == [100_000_000_000, 10_000_000_000]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"cameras": "a,,b"}, "cameras = 'a,,b'"),
        ({"cameras": "a,a"}, "cameras = 'a,a'"),
        ({"cameras": "a,b", "camera_frame": "x"}, "camera_frame = 'x'"),
    ],
)
def test_names_that_make_no_rig_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        NodeOptions(**options)


class _Rig(Robot):
    """A robot with two cameras."""

    def __init__(self):
        super().__init__("rig", wait=False, cameras="left,right")
        make = self.node.create_publisher
        self.of = {
            name: (
                make(Image, f"{name}/image", 10),
                make(CameraInfo, f"{name}/camera_info", 10),
                make(Image, f"{name}/depth", 10),
            )
            for name in _MOUNTS
        }
        try:
            for publishers in self.of.values():
                for publisher in publishers:
                    self.wait(publisher.get_subscription_count, "the node to listen")
        except BaseException:
            self.close()
            raise

    def send_from(self, base, cameras=tuple(_MOUNTS), depth=False, wait=True):
        """The images of one instant; waits for their status."""
        stamp = self.tick()
        for name in cameras:
            image, z = render(base @ _MOUNTS[name])
            images, calibrations, depths = self.of[name]
            info, message = calibration(stamp), image_message(image, stamp)
            info.header.frame_id = message.header.frame_id = f"{name}_optical"
            self.deliver(calibrations, info)
            if depth:
                self.deliver(depths, image_message(z, stamp, "32FC1"))
            self.deliver(images, message)
        return self.status_of(stamp) if wait else None

    def status_of(self, stamp):
        """The status of the instant of a stamp, once there is one."""
        wanted = header(stamp).stamp
        found = self.wait(
            lambda: [s for s in self.received["status"] if s.header.stamp == wanted], "status"
        )
        return found[-1]


def _base(x):
    """A base whose cameras look at the wall around x."""
    return camera_pose(x) @ transforms.inverse(transforms.make(_OPTICAL, [0.1, 0.0, 0.3]))


@pytest.fixture(scope="module")
def robot():
    robot = _Rig()
    try:
        robot.listen("correspondences", Correspondences, "relocalizer/correspondences", 50)
        robot.listen("relative", RelativePose, "relocalizer/relative_pose", 50)
        for name, mount in _MOUNTS.items():
            robot.send_tf("base_link", f"{name}_optical", mount, 0.0, static=True)
        robot.send_from(_base(0.0), depth=True)
        answer = robot.call(
            srv.AddKeyframe,
            "relocalizer/add_keyframe",
            camera="left",
            pose=conversions.from_pose(_base(0.0) @ _MOUNTS["left"]),
        )
        assert answer.success, answer.message
        assert answer.has_depth
        yield robot
    finally:
        robot.finish()


def test_both_cameras_give_one_pose_of_the_robot(robot):
    status = robot.send_from(_base(0.1))

    assert status.state == _LOCALIZED, status.reason
    assert (status.cameras, status.silent_cameras) == (["left", "right"], [])
    pose = robot.wait(lambda: robot.received["pose"], "pose")[-1]
    assert transforms.distance(conversions.to_pose(pose.pose.pose), _base(0.1)) < 0.02
    for key in ("correspondences", "relative"):
        robot.wait(
            lambda key=key: {m.camera for m in robot.received[key]} == {"left", "right"},
            f"{key} of both cameras",
        )
    for told in robot.received["relative"]:
        truth = transforms.inverse(_MOUNTS["left"]) @ transforms.inverse(_base(0.0))
        truth = truth @ _base(0.1) @ _MOUNTS[told.camera]
        assert transforms.distance(conversions.to_pose(told.pose.pose), truth) < 0.02


def test_the_rig_goes_on_with_one_camera_and_says_which_is_silent(robot):
    robot.send_from(_base(0.1))
    for step in range(12):
        robot.send_from(_base(0.1), cameras=("right",), wait=step > 10)
    status = robot.send_from(_base(0.15), cameras=("right",))

    assert status.state == _LOCALIZED, status.reason
    assert (status.cameras, status.silent_cameras) == (["right"], ["left"])
    assert "camera left is silent" in status.reason
    robot.wait(
        lambda: (
            transforms.distance(
                conversions.to_pose(robot.received["pose"][-1].pose.pose), _base(0.15)
            )
            < 0.02
        ),
        "the robot's pose by the right camera",
    )

    for _ in range(2):
        status = robot.send_from(_base(0.1))
    assert (status.cameras, status.silent_cameras) == (["left", "right"], [])


def test_a_camera_without_extrinsics_is_named(robot):
    stamp = robot.tick()
    image, _ = render(_base(0.1) @ _MOUNTS["left"])
    for name in _MOUNTS:
        message, info = image_message(image, stamp), calibration(stamp)
        message.header.frame_id = "left_optical" if name == "left" else "nowhere"
        robot.deliver(robot.of[name][1], info)
        robot.deliver(robot.of[name][0], message)
    status = robot.status_of(stamp)

    assert status.state == _LOCALIZED, status.reason
    assert "camera right: " in status.reason
    assert "nowhere" in status.reason


def test_a_keyframe_of_a_camera_that_is_none_is_refused(robot):
    answer = robot.call(srv.AddKeyframe, "relocalizer/add_keyframe", camera="back")

    assert not answer.success
    assert answer.message == "no camera 'back': there is left, right"


def test_the_pose_of_one_camera_can_be_that_of_the_base():
    robot = Robot("output_base", output_frame="base")
    try:
        robot.send_tf("base_link", FRAME, _MOUNTS["left"], 0.0, static=True)
        robot.add(camera_pose())
        status = robot.look(camera_pose(0.1))
        assert status.state == _LOCALIZED, status.reason
        pose = robot.wait(lambda: robot.received["pose"], "pose")[-1]
        truth = camera_pose(0.1) @ transforms.inverse(_MOUNTS["left"])
        assert transforms.distance(conversions.to_pose(pose.pose.pose), truth) < 0.02
    finally:
        robot.close()
