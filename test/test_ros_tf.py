# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the node tells TF, in each mode, and what it learns from it."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from geometry_msgs.msg import PoseWithCovarianceStamped
from ros_robot import Robot
from ros_world import FRAME, camera_pose, header, image_message, render
from std_srvs.srv import Empty
from tf2_msgs.msg import TFMessage

from mast3r_ros.geometry import transforms
from mast3r_ros.messages import conversions
from mast3r_ros.msg import RelocalizationStatus
from mast3r_ros.srv import AddKeyframe

pytestmark = pytest.mark.ros
# The camera sits 0.1 m ahead of the base and looks ahead: optical axes turned from the body's.
BASE_CAMERA = transforms.make([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], [0.1, 0.0, 0.3])
# Odometry began elsewhere, and turned.
MAP_ODOM = transforms.make(transforms.rotation_from_vector([0, 0, 0.4]), [1.0, -2.0, 0.5])


def _start(name, **parameters):
    robot = Robot(name, gate_confirmations=3, tf_timeout=2.0, **parameters)
    # What was heard of each child frame, newest last.
    robot.listen("tf", TFMessage, "/tf", 100)
    robot.listen("filtered", PoseWithCovarianceStamped, "filtered_pose", 100)
    robot.add(camera_pose())
    robot.add(camera_pose(0.6))
    return robot


def _heard(robot, child):
    return [
        entry
        for message in robot.received["tf"]
        for entry in message.transforms
        if entry.child_frame_id == child and entry.header.frame_id == "map"
    ]


def _now(robot):
    return robot.node.get_clock().now().nanoseconds


def _dated_after(robot, stamp):
    """The map -> odom heard whose stamps are later than one [ns]."""
    return [
        entry
        for entry in _heard(robot, "odom")
        if conversions.to_nanoseconds(entry.header.stamp) > stamp
    ]


def _sent_from_now_on(robot):
    """A map -> odom that is sent after this call: it is dated half a second ahead."""
    ahead = _now(robot) + 0.5e9
    return robot.wait(lambda: _dated_after(robot, ahead), "TF sent again")[-1]


def _near(entry, truth, tolerance=0.02):
    pose = conversions.from_transform(entry.transform)
    assert transforms.distance(pose, truth) < tolerance
    assert transforms.rotation_angle(pose, truth) < 0.01


def _near_pose(message, truth):
    assert transforms.distance(conversions.to_pose(message), truth) < 0.02


@pytest.fixture(scope="module")
def robot():
    robot = _start("map_odom", tf_mode="map_odom", tf_rate=25.0, transform_tolerance=0.5)
    robot.send_tf("base_link", FRAME, BASE_CAMERA, 0.0, static=True)
    yield robot
    robot.finish()


def _drive(robot, map_camera, map_odom=MAP_ODOM, image=None):
    """Send odometry around the next image's stamp, then the image."""
    robot.tick(1.0)
    odom_base = transforms.inverse(map_odom) @ map_camera @ transforms.inverse(BASE_CAMERA)
    for offset in (0.0, 0.2):
        robot.send_tf("odom", "base_link", odom_base, robot.clock + offset)
    if image is not None:
        return robot.send(image_message(image, robot.tick()))
    return robot.look(map_camera)


def test_without_odometry_the_status_says_why(robot):
    robot.clock += 50.0
    status = robot.look(camera_pose(0.05))

    assert status.state == RelocalizationStatus.STATE_LOCALIZED
    assert "map->odom not updated" in status.reason
    assert not _heard(robot, "odom")


def test_map_odom_begins_once_answers_agree_and_is_sent_again(robot):
    robot.call(Empty, "reinitialize_global_localization")
    reasons = [_drive(robot, camera_pose(x)).reason for x in (0.0, 0.05, 0.1)]

    assert "1 of 3" in reasons[0]
    assert "2 of 3" in reasons[1]
    assert reasons[2] == ""
    count = len(_heard(robot, "odom"))
    robot.wait(lambda: len(_heard(robot, "odom")) >= count + 5, "TF sent again")
    _near(_sent_from_now_on(robot), MAP_ODOM)
    # Dated half a second ahead of the node's clock, and each later than the one before.
    stamps = [conversions.to_nanoseconds(e.header.stamp) for e in _heard(robot, "odom")]
    assert stamps == sorted(stamps)
    assert stamps[-1] < _now(robot) + 0.5e9


def test_the_robots_pose_follows_odometry_between_the_images(robot):
    for x in (0.0, 0.05, 0.1, 0.1):
        status = _drive(robot, camera_pose(x))
    for _ in range(4):  # an image may be lost on a busy machine
        if status.filter_state == RelocalizationStatus.FILTER_LOCALIZED:
            break
        status = _drive(robot, camera_pose(0.1))
    assert status.filter_state == RelocalizationStatus.FILTER_LOCALIZED
    assert status.distance_since_fix == 0.0
    # Odometry alone, without an image: half a meter to the side.
    driven = camera_pose(0.6) @ transforms.inverse(BASE_CAMERA)
    stamp = robot.clock + 0.6
    robot.send_tf("odom", "base_link", transforms.inverse(MAP_ODOM) @ driven, stamp)

    def there():
        return [p for p in robot.received["filtered"] if p.header.stamp == header(stamp).stamp]

    robot.wait(there, "a filtered pose at the stamp of odometry")

    pose = there()[-1]
    assert pose.header.frame_id == "map"
    assert transforms.distance(conversions.to_pose(pose.pose.pose), driven) < 0.03
    covariance = conversions.to_covariance(pose.pose.covariance)
    before = conversions.to_covariance(robot.received["pose"][-1].pose.covariance)
    assert np.trace(covariance[:3, :3]) > 0.02**2 * 0.4
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert np.isfinite(before).all()


def test_without_fixes_the_state_is_dead_reckoning_and_the_way_is_told(robot):
    for _ in range(4):
        _drive(robot, camera_pose(0.05))
    black = np.zeros_like(render(camera_pose())[0])
    for x in (0.6, 1.2, 1.8, 2.4):
        robot.tick(3.5)  # too long for the window to tie them to the images before
        status = _drive(robot, camera_pose(x), image=black)

    assert status.state == RelocalizationStatus.STATE_NOT_LOCALIZED
    assert status.filter_state == RelocalizationStatus.FILTER_DEAD_RECKONING
    assert status.distance_since_fix == pytest.approx(2.35, abs=0.02)
    assert status.seconds_since_fix > 10.0
    status = _drive(robot, camera_pose(0.05))
    assert status.filter_state == RelocalizationStatus.FILTER_LOCALIZED


def test_one_odd_answer_does_not_move_tf(robot):
    for _ in range(3):
        _drive(robot, camera_pose(0.05))
    odd = transforms.perturb(MAP_ODOM, [3.0, 0, 0, 0, 0, 0])

    status = _drive(robot, camera_pose(0.05), odd)

    assert status.state == RelocalizationStatus.STATE_LOCALIZED
    assert "map->odom held back: 1 of 3 consistent poses" in status.reason
    _near(_sent_from_now_on(robot), MAP_ODOM)
    for _ in range(2):
        _drive(robot, camera_pose(0.05), odd)
    _near(_sent_from_now_on(robot), odd)


def test_an_image_that_sees_too_little_leaves_tf_as_it_is(robot):
    for x in (0.0, 0.05, 0.1):
        _drive(robot, camera_pose(x))
    image = render(camera_pose(0.1))[0]
    little = np.zeros_like(image)
    middle = tuple(slice(n // 2 - 14, n // 2 + 14) for n in image.shape[:2])
    little[middle] = image[middle]

    status = _drive(robot, camera_pose(0.1), image=little)

    # The images before hold the window's pose, and are in the filter already.
    assert status.state == RelocalizationStatus.STATE_LOCALIZED
    assert "map->odom not corrected" in status.reason
    assert 0.0 < status.seconds_since_fix < 5.0
    _near(_sent_from_now_on(robot), MAP_ODOM)


def test_reinitialize_stops_tf_until_answers_agree_anew(robot):
    for _ in range(3):
        _drive(robot, camera_pose(0.05))

    robot.call(Empty, "reinitialize_global_localization")
    since = _now(robot)
    reason = _drive(robot, camera_pose(0.05)).reason

    assert "1 of 3" in reason
    assert not _dated_after(robot, since + 0.5e9)


def test_a_prior_goes_through_the_base(robot):
    """The robot is told where its base is; its camera looks at keyframe 1 from there."""
    prior = PoseWithCovarianceStamped()
    prior.header.frame_id = "map"
    base = camera_pose(0.6) @ transforms.inverse(BASE_CAMERA)
    prior.pose.pose = conversions.from_pose(base)
    prior.pose.covariance = (np.eye(6) * 1e-4).ravel()
    robot.deliver(robot.initial_poses, prior)

    assert _drive(robot, camera_pose(0.6)).state == RelocalizationStatus.STATE_LOCALIZED


def test_a_keyframe_where_tf_says():
    """The camera's pose in the map, by way of odometry; the node itself publishes no TF."""
    robot = _start("keyframe_from_tf", tf_mode="none")
    try:
        truth = camera_pose(0.3)
        robot.send_tf("base_link", FRAME, BASE_CAMERA, 0.0, static=True)
        _drive(robot, truth)
        for offset in (-0.5, 0.5):
            robot.send_tf("map", "odom", MAP_ODOM, robot.clock + offset)

        answer = robot.call(
            AddKeyframe,
            "relocalizer/add_keyframe",
            pose_source=AddKeyframe.Request.POSE_FROM_TF,
            timeout=5.0,
        )

        assert answer.success, answer.message
        status = robot.look(truth)
        assert (status.map_keyframes, status.state) == (3, RelocalizationStatus.STATE_LOCALIZED)
        _near_pose(robot.wait(lambda: robot.received["pose"], "pose")[-1].pose.pose, truth)
        refused = _add_without_stamp(robot, truth)
        assert not refused.success
        assert "stamp 0 has no time of exposure" in refused.message
    finally:
        log = robot.close()
    assert robot.process.returncode == 0, log


def _add_without_stamp(robot, truth):
    """For TF, stamp 0 means the latest transform, which is not that of the image."""
    status = robot.send(image_message(render(truth)[0], 0.0))
    assert (status.state, status.reason) == (RelocalizationStatus.STATE_LOCALIZED, "")
    source = AddKeyframe.Request.POSE_FROM_TF
    return robot.call(AddKeyframe, "relocalizer/add_keyframe", pose_source=source, timeout=5.0)


def test_a_transform_that_is_none_is_passed_over(robot):
    nowhere = np.eye(4)
    nowhere[0, 3] = np.nan
    robot.send_tf("odom", "broken", nowhere, robot.clock)

    robot.wait(lambda: "broken" in robot.log(), "warning")
    assert _drive(robot, camera_pose()).state == RelocalizationStatus.STATE_LOCALIZED


def test_map_camera():
    robot = _start("map_camera", tf_mode="map_camera")
    try:
        for x in (0.0, 0.1, 0.2):
            robot.look(camera_pose(x))
        status = robot.look(camera_pose(0.3))
        entries = robot.wait(lambda: len(_heard(robot, FRAME)) >= 2 and _heard(robot, FRAME), "TF")
        _near(entries[-1], camera_pose(0.3))
        assert entries[-1].header.stamp == status.header.stamp
        assert len(entries) <= 4
    finally:
        robot.close()
    assert robot.process.returncode == 0


def test_none_tells_tf_nothing_and_a_direction_never_reaches_it():
    robot = Robot("direction", tf_mode="map_camera", gate_confirmations=1)
    try:
        robot.listen("tf", TFMessage, "/tf", 100)
        robot.add(camera_pose(), depth=False)
        states = [robot.look(camera_pose(0.3, 0.1)).state for _ in range(3)]
        assert states == [RelocalizationStatus.STATE_DIRECTION_ONLY] * 3
        assert not _heard(robot, FRAME)
    finally:
        robot.close()
    assert robot.process.returncode == 0
