# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node over the real middleware: poses, details, priors, and which image wins."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from compressed_depth import packed_depth
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from lifecycle_msgs.srv import GetState
from ros_robot import LATCHED, Robot
from ros_world import FRAME, HEIGHT, WIDTH, camera_pose, header, image_message, jpeg_message, render
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from std_srvs.srv import Empty
from visualization_msgs.msg import Marker, MarkerArray

from mast3r_ros.geometry import transforms
from mast3r_ros.messages import conversions
from mast3r_ros.msg import Correspondences, RelativePose, RelocalizationStatus
from mast3r_ros.srv import AddKeyframe, Relocalize

pytestmark = pytest.mark.ros
QUERY = camera_pose(0.1, 0.05, 0.1, 0.05)


@pytest.fixture(scope="module")
def robot():
    robot = Robot("node")
    yield robot
    robot.finish()


@pytest.fixture
def mapped(robot):
    """With a map of two keyframes."""
    if robot.look(QUERY).map_keyframes != 2:
        robot.clear()
        for x in (0.0, 0.2):
            robot.add(camera_pose(x))
    return robot


def _check(message, truth):
    found = conversions.to_pose(message.pose.pose)
    assert transforms.distance(found, truth) < 0.01
    assert transforms.rotation_angle(found, truth) < 0.005


def _priors(x=0.0):
    prior = PoseWithCovarianceStamped()
    prior.header.frame_id = "map"
    prior.pose.pose.position.x = x
    prior.pose.covariance = (np.eye(6) * 0.01).ravel()
    return prior


def _facing(x):
    """The prior of a robot without TF, its camera looking along the map's z axis from x."""
    prior = _priors()
    turn = transforms.make([[0, -1, 0], [0, 0, -1], [1, 0, 0]], [x, 0, 0])
    prior.pose.pose = conversions.from_pose(turn)
    return prior


def test_an_empty_map_is_told(robot):
    robot.clear()

    status = robot.look(QUERY)

    assert status.state == RelocalizationStatus.STATE_NO_MAP
    assert "holds no keyframes" in status.reason
    assert status.protection_position == status.protection_rotation == np.inf


def test_a_pose_with_its_covariance_and_the_images_stamp(mapped):
    before = len(mapped.received["pose"])

    status = mapped.look(QUERY)

    message = mapped.wait(lambda: mapped.received["pose"][before:], "pose")[0]
    _check(message, QUERY)
    assert message.header.frame_id == "map"
    assert message.header.stamp == status.header.stamp
    covariance = message.pose.covariance.reshape(6, 6)
    assert (np.linalg.eigvalsh(covariance) > 0).all()
    deviation = np.sqrt(np.trace(covariance[:3, :3]))
    assert deviation < 0.1
    assert deviation < status.protection_position < 10 * deviation


def test_the_status_tells_all(mapped):
    status = mapped.look(QUERY)

    assert (status.state, status.reason) == (RelocalizationStatus.STATE_LOCALIZED, "")
    stages = [entry.stage for entry in status.latency]
    assert stages[:2] == ["wait", "convert"]
    assert set(stages) >= {"describe", "retrieve", "match", "solve", "publish"}
    assert sum(entry.seconds for entry in status.latency) <= status.total_seconds
    assert len(status.keyframe_ids) == status.map_keyframes == 2
    assert status.inliers > 100
    assert 0 < status.confidence <= 1
    assert 0 < status.protection_position < 0.5
    assert 0 < status.protection_rotation < 0.2
    assert (status.front_end, status.engine) == ("sift", "")
    assert status.header.frame_id == FRAME
    assert status.frames_seen >= status.frames_localized > 0
    assert (status.predicted_scale, status.predicted_scale_sigma) == (1.0, np.inf)


def test_the_status_is_latched(mapped):
    last = mapped.look(QUERY)

    mapped.listen("late", RelocalizationStatus, "relocalizer/status", LATCHED)

    assert mapped.wait(lambda: mapped.received["late"], "latched status") == [last]


def test_a_view_of_something_else_is_refused(mapped):
    random = np.random.default_rng(3).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)

    status = mapped.send(image_message(random, mapped.tick()))

    assert status.state == RelocalizationStatus.STATE_NOT_LOCALIZED
    assert status.reason
    assert list(status.keyframe_ids) == []


def test_one_keyframe_without_depth_gives_a_direction(robot):
    robot.clear()
    answer = robot.add(camera_pose(), depth=False)
    assert not answer.has_depth
    subscription = robot.listen("relative", RelativePose, "relocalizer/relative_pose")
    before = len(robot.received["pose"])

    def looked():  # again: the node may not know yet who listens
        status = robot.look(camera_pose(0.3, 0.1))
        return robot.received["relative"] and status

    status = robot.wait(looked, "relative pose")

    assert status.state == RelocalizationStatus.STATE_DIRECTION_ONLY
    assert "direction only" in status.reason
    relative = robot.received["relative"][-1]
    assert not relative.metric
    step = relative.pose.pose.position
    assert np.linalg.norm([step.x, step.y, step.z]) == pytest.approx(1.0)
    assert len(robot.received["pose"]) == before
    robot.node.destroy_subscription(subscription)


def test_details_come_to_those_who_listen(mapped):
    kinds = {
        "relative_pose": RelativePose,
        "correspondences": Correspondences,
        "matches_image": Image,
        "points": PointCloud2,
    }
    subscriptions = [
        mapped.listen(name, kind, f"relocalizer/{name}") for name, kind in kinds.items()
    ]
    keyframes = mapped.listen("keyframes", MarkerArray, "relocalizer/keyframes", LATCHED)

    def complete():
        mapped.look(QUERY)
        return all(mapped.received[name] for name in kinds)

    mapped.wait(complete, "details")
    image, _ = render(QUERY)
    relative = mapped.received["relative_pose"][-1]
    found = mapped.received["correspondences"][-1]
    picture = mapped.received["matches_image"][-1]
    cloud = mapped.received["points"][-1]

    places = {0: camera_pose(0.0), 1: camera_pose(0.2)}
    ids = sorted({m.keyframe_id for m in mapped.received["relative_pose"]})
    truth = transforms.inverse(places[ids.index(relative.keyframe_id)]) @ QUERY
    _check(relative, truth)
    assert relative.metric
    assert relative.header.frame_id == f"keyframe_{relative.keyframe_id}"
    assert relative.matches >= relative.inliers > 50
    assert 0 < relative.confidence <= 1
    assert relative.keyframe_stamp.sec > 0

    count = len(found.confidence)
    assert len(found.reference_pixels) == len(found.query_pixels) == 2 * count
    assert len(found.reference_points) == 3 * count
    assert len(found.inlier) == count
    assert sum(found.inlier) > 50
    sizes = (found.reference_width, found.reference_height, found.query_width, found.query_height)
    assert sizes == (WIDTH, HEIGHT) * 2
    # Inliers are what they say: the point in the keyframe, moved, falls on the query's pixel.
    inlier = np.asarray(found.inlier, bool)
    xyz = np.asarray(found.reference_points).reshape(-1, 3)[inlier]
    owner = places[ids.index(found.keyframe_id)]
    seen = transforms.apply(transforms.inverse(QUERY) @ owner, xyz)
    uv = seen[:, :2] / seen[:, 2:] * 300.0 + ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    offset = np.linalg.norm(uv - np.asarray(found.query_pixels).reshape(-1, 2)[inlier], axis=1)
    assert np.median(offset) < 1.0

    # Six pixels of white part the two images.
    assert (picture.height, picture.width, picture.encoding) == (HEIGHT, 2 * WIDTH + 6, "rgb8")
    # In the camera's frame, so that large coordinates of the map cost no precision.
    assert cloud.header.frame_id == FRAME
    packed = np.frombuffer(cloud.data, [("xyz", "<f4", 3), ("rgb", "u1", 4)])
    assert len(packed) == cloud.width > 100
    in_map = transforms.apply(QUERY, packed["xyz"].astype(np.float64))
    np.testing.assert_allclose(np.median(in_map[:, 2]), 2.0, atol=0.02)
    # Colored by the query: as blue, green, red, nothing.
    assert abs(packed["rgb"][:, 2].mean() - image[..., 0].mean()) < 30

    markers = mapped.wait(lambda: mapped.received["keyframes"], "markers")[-1].markers
    assert markers[0].action == Marker.DELETEALL
    assert len(markers[1].points) == 2 * 16
    assert [m.text for m in markers[2:]] == [str(i) for i in ids]
    for subscription in (*subscriptions, keyframes):
        mapped.node.destroy_subscription(subscription)


def test_the_newest_image_wins_and_the_others_are_counted(mapped):
    first = mapped.look(QUERY)
    image, _ = render(QUERY)
    burst = [image_message(image, mapped.tick()) for _ in range(12)]
    for message in burst:
        mapped.images.publish(message)

    last = mapped.wait(
        lambda: next(
            (s for s in mapped.received["status"] if s.header.stamp == burst[-1].header.stamp),
            None,
        ),
        "the status of the newest image",
    )

    assert last.state == RelocalizationStatus.STATE_LOCALIZED
    assert last.frames_dropped > first.frames_dropped
    answered = [s for s in mapped.received["status"] if s.header.stamp.sec >= 100]
    assert last.frames_seen == len(answered) + last.frames_dropped
    stamps = [conversions.to_nanoseconds(m.header.stamp) for m in burst]
    heard = [conversions.to_nanoseconds(s.header.stamp) for s in answered[-12:]]
    assert heard == sorted(heard)
    assert heard[-1] == stamps[-1]


def test_relocalize_answers_with_the_next_image(mapped):
    future = mapped.call_async(
        Relocalize, "relocalizer/relocalize", use_prior=True, prior=_priors(0.1)
    )
    mapped.wait(lambda: mapped.look(QUERY) and future.done(), "answer")
    answer = future.result()

    assert answer.success, answer.message
    assert "localized by keyframes" in answer.message
    _check(answer.pose, QUERY)
    assert answer.status.state == RelocalizationStatus.STATE_LOCALIZED
    assert answer.pose.header.stamp == answer.status.header.stamp


def test_relocalize_says_why_not(robot):
    robot.clear()
    future = robot.call_async(Relocalize, "relocalizer/relocalize")
    robot.wait(lambda: robot.look(QUERY) and future.done(), "answer")

    assert not future.result().success
    assert "no keyframes" in future.result().message
    assert future.result().status.state == RelocalizationStatus.STATE_NO_MAP


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"timeout": 0.2}, "within 0.2 s"),
        ({"timeout": -1.0}, "timeout -1.0"),
        ({"timeout": float("nan")}, "timeout nan"),
        ({"use_prior": True, "prior": PoseWithCovarianceStamped()}, None),
    ],
)
def test_relocalize_with_requests_that_cannot_be_met(mapped, request_, told):
    if told is None:
        bad = PoseWithCovarianceStamped()
        bad.header.frame_id = "moon"
        request_, told = {"use_prior": True, "prior": bad}, "prior in frame 'moon'"

    answer = mapped.call(Relocalize, "relocalizer/relocalize", **request_)

    assert not answer.success
    assert told in answer.message


def test_initialpose_and_reinitialize(mapped):
    mapped.deliver(mapped.initial_poses, _priors())
    assert mapped.look(QUERY).state == RelocalizationStatus.STATE_LOCALIZED
    bad = _priors()
    bad.header.frame_id = "moon"
    mapped.deliver(mapped.initial_poses, bad)
    mapped.wait(lambda: "prior in frame 'moon'" in mapped.log(), "warning")

    mapped.call(Empty, "reinitialize_global_localization")

    assert mapped.look(QUERY).state == RelocalizationStatus.STATE_LOCALIZED


def test_diagnostics(mapped):
    mapped.listen("diagnostics", DiagnosticArray, "/diagnostics")

    def localized():
        mapped.look(QUERY)
        entries = [s for a in mapped.received["diagnostics"] for s in a.status]
        return next((s for s in entries if s.level == DiagnosticStatus.OK), None)

    entry = mapped.wait(localized, "diagnostics")
    values = {pair.key: pair.value for pair in entry.values}
    assert entry.name == "relocalizer: /node/relocalizer"
    assert (values["front end"], values["keyframes"]) == ("sift", "2")
    assert float(values["images per second"]) > 0
    assert values["last localized"].endswith("s ago")
    assert "describe [ms]" in values

    def quiet():
        return mapped.received["diagnostics"][-1].status[0].message == "no images"

    mapped.wait(quiet, "diagnostics of silence")


def test_the_node_is_active(robot):
    assert robot.call(GetState, "relocalizer/get_state").current_state.label == "active"


def test_a_prior_steers_the_search_until_it_is_old_or_dropped():
    """Of two keyframes only one is looked at: the one that looks alike, or the one believed in."""
    robot = Robot("priors", num_candidates=1, prior_timeout=2.0)
    try:
        robot.add(camera_pose())
        # Another place, 50 m away, that shows something else.
        noise = np.random.default_rng(5).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        robot.send(image_message(noise, robot.tick()))
        far = conversions.from_pose(camera_pose(50.0))
        assert robot.call(AddKeyframe, "relocalizer/add_keyframe", pose=far).success
        assert robot.look(QUERY).state == RelocalizationStatus.STATE_LOCALIZED

        robot.deliver(robot.initial_poses, _facing(50.0))
        robot.wait(lambda: robot.look(QUERY).state != 1, "the prior's effect")
        # Too old.
        robot.wait(lambda: robot.look(QUERY).state == 1, "the prior's end")

        robot.deliver(robot.initial_poses, _facing(50.0))
        robot.wait(lambda: robot.look(QUERY).state != 1, "the prior's effect")
        robot.call(Empty, "reinitialize_global_localization")
        assert robot.look(QUERY).state == RelocalizationStatus.STATE_LOCALIZED

        for x, success in ((50.0, False), (0.0, True)):
            future = robot.call_async(
                Relocalize, "relocalizer/relocalize", use_prior=True, prior=_facing(x)
            )
            robot.wait(lambda f=future: robot.look(QUERY) and f.done(), "answer")
            assert future.result().success == success
    finally:
        robot.close()
    assert robot.process.returncode == 0


@pytest.mark.parametrize("kind", ["png", "rvl"])
def test_compressed_depth(kind):
    """A keyframe with its depth makes a map by which the next image is localized in meters."""
    robot = Robot(f"packed_{kind}", depth_transport="compressedDepth")
    try:
        image, depth = render(camera_pose())
        given = conversions.from_pose(camera_pose())
        form, data = packed_depth(depth, kind)
        stamp = robot.tick()
        damaged = CompressedImage(header=header(stamp), format=form, data=list(data[:40]))
        robot.send_depth(damaged)
        robot.send(image_message(image, stamp))
        answer = robot.call(AddKeyframe, "relocalizer/add_keyframe", pose=given)
        assert (answer.success, answer.has_depth) == (False, False)
        assert f"/packed_{kind}/depth/compressedDepth: " in answer.message

        stamp = robot.tick()
        robot.send_depth(CompressedImage(header=header(stamp), format=form, data=list(data)))
        robot.send(image_message(image, stamp))
        answer = robot.call(AddKeyframe, "relocalizer/add_keyframe", pose=given)
        assert (answer.success, answer.has_depth) == (True, True), answer.message

        status = robot.look(QUERY)
        assert status.state == RelocalizationStatus.STATE_LOCALIZED, status.reason
        _check(robot.wait(lambda: robot.received["pose"], "the pose")[-1], QUERY)
    finally:
        robot.close()
    assert robot.process.returncode == 0


def test_compressed_images():
    robot = Robot("compressed", image_transport="compressed")
    try:
        image, _ = render(camera_pose())
        status = robot.send(jpeg_message(image, robot.tick()))
        assert status.state == RelocalizationStatus.STATE_NO_MAP
        damaged = jpeg_message(image, robot.tick())
        damaged.data = damaged.data[: len(damaged.data) // 2]
        status = robot.send(damaged)
        assert status.state == RelocalizationStatus.STATE_BAD_INPUT
        assert "cut off" in status.reason
        damaged.header.stamp.sec += 1
        damaged.data = damaged.data[5:]
        assert "neither a JPEG nor a PNG" in robot.send(damaged).reason
        status = robot.send(jpeg_message(image, robot.tick()))
        assert status.state == RelocalizationStatus.STATE_NO_MAP
    finally:
        robot.close()
    assert robot.process.returncode == 0
