# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How drivers publish, and where users keep their maps."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.qos import ReliabilityPolicy
from ros_robot import LATCHED, Robot
from ros_world import HEIGHT, WIDTH, calibration, camera_pose, image_message, render
from sensor_msgs.msg import CameraInfo, PointCloud2
from synthetic import make_camera

from mast3r_ros.frame import Frame
from mast3r_ros.frontends import create
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.msg import RelocalizationStatus
from mast3r_ros.ros import pictures
from mast3r_ros.srv import AddKeyframe, LoadMap, SaveMap

pytestmark = pytest.mark.ros


def _status_of(robot, message):
    robot.images.publish(message)
    return robot.wait(
        lambda: next(
            (s for s in robot.received["status"] if s.header.stamp == message.header.stamp), None
        ),
        "status",
    )


def test_a_camera_info_that_was_published_once_before_the_node_came():
    robot = Robot("latched", autostart=False)
    robot.node.destroy_publisher(robot.calibrations)
    robot.calibrations = robot.node.create_publisher(CameraInfo, "camera_info", LATCHED)
    robot.calibrations.publish(calibration(1.0))
    try:
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            wanted = Transition(id=transition)
            call = robot.call(ChangeState, "relocalizer/change_state", transition=wanted)
            assert call.success
        robot.wait(robot.images.get_subscription_count, "subscription")
        image, _ = render(camera_pose())

        def calibrated():
            status = _status_of(robot, image_message(image, robot.tick()))
            return status.state == RelocalizationStatus.STATE_NO_MAP and robot.add(camera_pose())

        robot.wait(calibrated, "a calibrated image")
        assert robot.look(camera_pose(0.05)).state == RelocalizationStatus.STATE_LOCALIZED
    finally:
        log = robot.close()
    assert robot.process.returncode == 0, log
    assert "incompatible" not in log


def test_qos_of_a_single_topic_is_overridden():
    override = {"qos_overrides./qos/image.subscription.reliability": "reliable"}
    robot = Robot("qos", reliability="best_effort", **override)
    try:
        found = {
            topic: [
                info.qos_profile.reliability
                for info in robot.node.get_subscriptions_info_by_topic(f"/qos/{topic}")
            ]
            for topic in ("image", "camera_info")
        }
    finally:
        robot.close()
    assert found["image"] == [ReliabilityPolicy.RELIABLE]
    assert found["camera_info"] == [ReliabilityPolicy.BEST_EFFORT]


def test_paths_with_a_tilde_and_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MAPS", str(tmp_path / "maps"))
    keyframes = KeyframeMap(create("sift"))
    image, depth = render(camera_pose())
    keyframes.add(Frame(image, make_camera(), depth=depth), camera_pose())
    keyframes.save(tmp_path / "my_map")
    robot = Robot("paths", map="~/my_map")
    try:
        assert robot.look(camera_pose(0.05)).state == RelocalizationStatus.STATE_LOCALIZED
        answer = robot.call(SaveMap, "relocalizer/save_map", path="$MAPS/office")
        assert answer.success, answer.message
        assert answer.path == str(tmp_path / "maps/office")
        assert robot.call(LoadMap, "relocalizer/load_map", path="${MAPS}/office").success
        refused = robot.call(LoadMap, "relocalizer/load_map", path="$NO_SUCH_VARIABLE/office")
        assert "NO_SUCH_VARIABLE is not set" in refused.message
        robot.wait(lambda: "[WARN]" in robot.log(), "warning of the failed call")
    finally:
        log = robot.close()
    assert robot.process.returncode == 0, log
    assert "load_map failed: path" in log


def test_an_image_that_arrives_late_is_no_jump_of_time():
    robot = Robot("late", tf_mode="map_camera", gate_confirmations=2)
    try:
        robot.add(camera_pose())
        robot.tick(1.0)
        assert "1 of 2" in robot.look(camera_pose(0.05)).reason
        image, _ = render(camera_pose(0.05))
        late = _status_of(robot, image_message(image, robot.clock - 0.4))
        assert late.state == RelocalizationStatus.STATE_LOCALIZED
        assert late.reason == ""
        back = _status_of(robot, image_message(image, robot.clock - 2.0))
        assert "time jumped back by 2.0 s: TF buffer cleared" in back.reason
    finally:
        log = robot.close()
    assert robot.process.returncode == 0, log


def test_what_the_mask_covers_is_not_used(tmp_path):
    used = np.full((HEIGHT, WIDTH), 255, np.uint8)
    used[:, WIDTH // 2 :] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), used)
    robot = Robot("mask", mask=tmp_path / "mask.png")
    try:
        robot.listen("points", PointCloud2, "relocalizer/points")
        robot.add(camera_pose())

        def shown():
            robot.look(camera_pose())
            return robot.received["points"]

        cloud = robot.wait(shown, "points")[-1]
    finally:
        log = robot.close()
    assert robot.process.returncode == 0, log
    packed = np.frombuffer(cloud.data, [("xyz", "<f4", 3), ("rgb", "u1", 4)])
    assert len(packed) > 50
    # Left of the optical axis, within the reach of a feature's patch.
    assert np.quantile(packed["xyz"][:, 0] / packed["xyz"][:, 2], 0.99) < 0.05


def test_images_on_a_topic_of_rectified_images_have_the_camera_of_p(tmp_path):
    """The same rule as for bags: image_proc publishes them with the camera_info of the raw ones."""
    info = calibration(1.0)
    info.p = [300.0, 0.0, 310.0, 0.0, 0.0, 301.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    robot = Robot("rectified", image="image_rect_color")
    try:
        robot.send(image_message(render(camera_pose())[0], robot.tick()), info)
        answer = robot.call(AddKeyframe, "relocalizer/add_keyframe", pose_source=2)
        assert answer.success, answer.message
        assert robot.call(SaveMap, "relocalizer/save_map", path=str(tmp_path / "map")).success
    finally:
        log = robot.close()
    assert robot.process.returncode == 0, log
    (keyframe,) = KeyframeMap.load(tmp_path / "map", create("sift"))
    assert (keyframe.camera.fx, keyframe.camera.cy) == (300.0, 230.0)


def test_points_keep_their_precision_in_a_map_of_utm_coordinates():
    clouds = []
    for origin in (np.zeros(3), np.array([500000.123, 4649776.456, 210.0])):
        map_camera = transforms.make(camera_pose()[:3, :3], camera_pose()[:3, 3] + origin)
        keyframes = KeyframeMap(create("sift"))
        image, depth = render(camera_pose())
        frame = Frame(image, make_camera(), depth=depth, frame_id="camera_optical")
        keyframes.add(frame, map_camera)
        answer = Relocalizer(keyframes).localize(frame)
        assert answer.localized
        clouds.append((pictures.points(answer, keyframes, frame), answer.pose))
    for cloud, pose in clouds:
        assert cloud.header.frame_id == "camera_optical"
        packed = np.frombuffer(cloud.data, [("xyz", "<f4", 3), ("rgb", "u1", 4)])
        in_map = transforms.apply(pose, packed["xyz"].astype(np.float64))
        # The wall stands 2 m in front of the keyframe's camera.
        np.testing.assert_allclose(in_map[:, 2] - pose[2, 3], 2.0, atol=5e-3)
