# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bags as robots and simulators leave them: right, or told, and never silently wrong."""

import shutil
import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest
import yaml
from bag_world import (
    TYPES,
    Bag,
    camera_info,
    frames,
    header,
    image,
    make,
    pose_message,
    tf,
    tf_messages,
    truth,
    write,
)  # fmt: skip
from evaluation_world import CAMERA, POSES, view
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from mast3r_ros.datasets import RecordingError
from mast3r_ros.datasets.recording import read_frames
from mast3r_ros.datasets.summary import IGNORED, REFUSED, WITHOUT_DEPTH, WITHOUT_POSE
from mast3r_ros.geometry import transforms

IMAGE, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
TF, COMPRESSED = "tf2_msgs/msg/TFMessage", "sensor_msgs/msg/CompressedImage"
SECOND = 10**9


def _picture(i, stamp, record, frame_id="lens", topic="/cam/image_raw", info="/cam/camera_info"):
    yield info, INFO, record, camera_info(CAMERA, stamp, frame_id)
    yield topic, IMAGE, record, image(view(POSES[i]).image, "rgb8", stamp, frame_id)


def _open(tmp_path, messages, **options):
    path = write(tmp_path / "bag", sorted(messages, key=lambda m: m[2]))
    return Bag(path, **options)


# ---- time -------------------------------------------------------------------------------------
def test_runs_of_a_reset_simulation_are_told_apart(tmp_path):
    """Stamps begin again; with them images, depth, TF and calibration."""
    messages, expected = [], []
    for run, poses in enumerate((POSES[:4], POSES[3:])):
        for i, pose in enumerate(poses):
            stamp, record = (i + 1) * SECOND, (10 * run + i + 1) * SECOND
            depth = np.full((CAMERA.height, CAMERA.width), 1000 * (run + 1), np.uint16)
            messages += [
                ("/tf", TF, record - 1, tf("map", "lens", pose, stamp)),
                ("/depth", IMAGE, record, image(depth, "16UC1", stamp)),
                *_picture(0, stamp, record),
            ]
            expected.append(pose)

    bag = _open(tmp_path, messages, image_topic="/cam/image_raw", depth_topic="/depth")
    found = [(image, frame) for image, frame in read_frames(bag, with_depth=True)]

    np.testing.assert_allclose([i.pose for i, _ in found], expected, atol=1e-9)
    assert [f.depth[0, 0] for _, f in found] == [1.0] * 4 + [2.0] * 4
    assert len({i.name for i, _ in found}) == 8
    ((_, where, reason),) = bag.summary.reasons(IGNORED)
    assert where == "recorded at 11.000 s"
    assert "time jumped back by 3.000 s" in reason
    with pytest.raises(RecordingError, match="time jumped back"):
        Bag(tmp_path / "bag", "/cam/image_raw", strict=True)


def test_a_late_transform_is_no_reset(tmp_path):
    messages = [m for i in range(6) for m in _picture(i, (i + 2) * SECOND, (i + 2) * SECOND)]
    for i, pose in enumerate(POSES[:6]):
        late = 1_500_000_000 if i == 2 else 0
        messages.append(
            ("/tf", TF, (i + 2) * SECOND + late, tf("map", "lens", pose, (i + 2) * SECOND))
        )

    bag = _open(tmp_path, messages)

    np.testing.assert_allclose([i.pose for i in bag], POSES[:6], atol=1e-9)
    assert bag.summary.count(IGNORED) == 0


@pytest.mark.parametrize("zero", [[2], [0, 1, 2, 3]])
def test_images_without_a_stamp_are_refused_or_take_the_time_of_recording(tmp_path, zero):
    messages = []
    for i in range(4):
        record = (i + 1) * SECOND
        messages += _picture(i, 0 if i in zero else record, record)
        messages.append(("/tf", TF, record, tf("map", "lens", POSES[i], record)))

    by_record = _open(tmp_path, messages, use_record_times=True)
    np.testing.assert_allclose([i.pose for i in by_record], POSES[:4], atol=1e-9)
    if len(zero) == 4:
        with pytest.raises(RecordingError, match="all 4 images are on /cam/image_raw with stamp 0"):
            Bag(tmp_path / "bag")
        return
    bag = Bag(tmp_path / "bag")
    np.testing.assert_allclose([i.pose for i in bag], [POSES[i] for i in (0, 1, 3)], atol=1e-9)
    assert bag.summary.count(REFUSED) == 1
    assert "--use-record-times" in bag.summary.reasons(REFUSED)[0][2]


@pytest.mark.parametrize("frozen", [[3], [1, 2, 3]])
def test_images_that_repeat_a_stamp_are_refused_or_take_the_time_of_recording(tmp_path, frozen):
    """A driver that hangs stamps new images as an old one."""
    messages = []
    for i in range(4):
        record = (i + 1) * SECOND
        messages += _picture(i, frozen[0] * SECOND if i in frozen else record, record)
        messages.append(("/tf", TF, record, tf("map", "lens", POSES[i], record)))

    by_record = _open(tmp_path, messages, use_record_times=True)
    np.testing.assert_allclose([i.pose for i in by_record], POSES[:4], atol=1e-9)
    if len(frozen) == 3:
        with pytest.raises(RecordingError, match=r"all 4 images but one are .* with the stamp"):
            Bag(tmp_path / "bag")
        return
    bag = Bag(tmp_path / "bag")
    np.testing.assert_allclose([i.pose for i in bag], POSES[:3], atol=1e-9)
    ((_, name, reason),) = bag.summary.reasons(REFUSED)
    assert name == "image 3"
    assert "the stamp of an image that was recorded 1.000 s before" in reason


def test_an_image_recorded_twice_is_read_twice(tmp_path):
    messages = [m for record in (SECOND, SECOND + 5_000_000) for m in _picture(0, SECOND, record)]
    messages.append(("/tf", TF, SECOND, tf("map", "lens", POSES[0], SECOND)))

    assert len([i for i in _open(tmp_path, messages) if i.pose is not None]) == 2


@pytest.mark.parametrize("by_topic", [False, True])
def test_two_poses_of_one_time_are_counted(tmp_path, by_topic):
    """As where runs of a reset simulation were recorded in simulated time, and lie over another."""
    messages = []
    for i in range(3):
        time = (i + 1) * SECOND
        messages += _picture(i, time, time)
        for pose in (POSES[i], POSES[i], POSES[i + 2]):
            if by_topic:
                stamped = make("geometry_msgs/msg/PoseStamped", header=header(time, "map"),
                               pose=pose_message(pose))  # fmt: skip
                messages.append(("/truth", "geometry_msgs/msg/PoseStamped", time, stamped))
            else:
                messages.append(("/tf", TF, time, tf("map", "lens", pose, time)))

    bag = _open(tmp_path, messages, pose_topic="/truth" if by_topic else None)

    np.testing.assert_allclose([i.pose for i in bag], POSES[:3], atol=1e-9)
    ((count, _, reason),) = bag.summary.reasons(IGNORED)
    assert count == 3
    assert "two poses of this time" in reason


def test_runs_that_lie_over_one_another_are_told(tmp_path):
    """A reset simulation, recorded in simulated time: nothing tells its runs apart."""
    messages = []
    for run in range(2):
        for i in range(3):
            time = (i + 1) * SECOND
            messages += _picture(i + run, time, time)
            messages.append(("/tf", TF, time, tf("map", "lens", POSES[i + run], time)))

    with pytest.raises(RecordingError, match="cannot be told apart; record in wall time"):
        _open(tmp_path, messages)


def test_transforms_and_poses_without_a_stamp_are_no_truth(tmp_path):
    messages = [m for i in range(3) for m in _picture(i, (i + 1) * SECOND, (i + 1) * SECOND)]
    for i in range(3):
        messages.append(("/tf", TF, (i + 1) * SECOND, tf("map", "lens", POSES[i], 0)))
        stamped = make(
            "geometry_msgs/msg/PoseStamped", header=header(0, "map"), pose=pose_message(POSES[i])
        )
        messages.append(("/truth", "geometry_msgs/msg/PoseStamped", (i + 1) * SECOND, stamped))

    for options in ({}, {"pose_topic": "/truth"}):
        bag = _open(tmp_path, messages, **options)
        with pytest.raises(RecordingError, match="no image with a known pose"):
            list(bag.posed())
        assert bag.summary.count(IGNORED) >= 3
    (by_record,) = [_open(tmp_path, messages, use_record_times=True, pose_topic="/truth")]
    np.testing.assert_allclose([i.pose for i in by_record], POSES[:3], atol=1e-9)


@pytest.mark.parametrize("by_topic", [False, True])
def test_across_a_gap_nothing_is_interpolated(tmp_path, by_topic):
    times = [1.0, 1.5, 12.0, 21.0, 21.5]
    messages = [m for i, t in enumerate(times) for m in _picture(i, int(t * 1e9), int(t * 1e9))]
    for i, t in enumerate(times):
        if t == 12.0:
            continue
        stamp = int(t * 1e9)
        pose = make(
            "geometry_msgs/msg/PoseStamped",
            header=header(stamp, "map"),
            pose=pose_message(POSES[i]),
        )
        messages.append(
            ("/truth", "geometry_msgs/msg/PoseStamped", stamp, pose)
            if by_topic
            else ("/tf", TF, stamp, tf("map", "lens", POSES[i], stamp))
        )
    options = {"pose_topic": "/truth"} if by_topic else {}

    bag = _open(tmp_path, messages, **options)

    assert [i.pose is None for i in bag] == [False, False, True, False, False]
    ((_, name, reason),) = bag.summary.reasons(WITHOUT_POSE)
    assert name == "12.000"
    assert "gap of 19.500 s is longer than `max_gap`, 1 s" in reason
    assert all(i.pose is not None for i in Bag(tmp_path / "bag", max_gap=30.0, **options))


# ---- frames -----------------------------------------------------------------------------------
def test_transforms_that_are_none_are_left_out_and_counted(tmp_path):
    messages = [m for i in range(3) for m in _picture(i, (i + 1) * SECOND, (i + 1) * SECOND)]
    messages += tf_messages("/tf", *(("map", "lens", POSES[i], (i + 1) * SECOND) for i in range(3)))
    wheel = tf("base", "wheel", np.eye(4), SECOND)
    wheel.transforms[0].transform.translation.x = float("nan")
    gripper = tf("base", "gripper", np.eye(4), SECOND)
    gripper.transforms[0].transform.rotation.w = 0.0
    messages += [("/tf", TF, SECOND, wheel), ("/tf_static", TF, SECOND, gripper)]

    bag = _open(tmp_path, messages)

    np.testing.assert_allclose([i.pose for i in bag], POSES[:3], atol=1e-9)
    assert bag.summary.count(IGNORED) == 2


@pytest.mark.parametrize("kind", ["PoseStamped", "PoseWithCovarianceStamped"])
def test_poses_in_another_frame_are_brought_to_the_map_by_tf(tmp_path, kind):
    turned = transforms.make(transforms.rotation_from_vector([0, 0, 1.57]), [10, 0, 0])
    kind = f"geometry_msgs/msg/{kind}"
    messages = []
    for i in range(3):
        stamp, pose = (i + 1) * SECOND, pose_message(POSES[i])
        if "Covariance" in kind:
            pose = make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36))
        messages += _picture(i, stamp, stamp)
        messages.append(
            ("/truth", kind, stamp, make(kind, header=header(stamp, "odom"), pose=pose))
        )
    path = write(tmp_path / "alone", messages)
    with pytest.raises(RecordingError, match=r"poses in frame odom: .*--map-frame"):
        list(Bag(path, pose_topic="/truth").posed())

    bag = _open(tmp_path, [*messages, *tf_messages("/tf_static", ("map", "odom", turned, 1))],
                pose_topic="/truth")  # fmt: skip

    np.testing.assert_allclose([i.pose for i in bag], [turned @ p for p in POSES[:3]], atol=1e-9)
    np.testing.assert_allclose(
        [i.pose for i in Bag(path, pose_topic="/truth", map_frame="odom")], POSES[:3], atol=1e-9
    )


def test_a_namespaced_robot_has_its_own_tf(tmp_path):
    messages = []
    for i in range(3):
        stamp = (i + 1) * SECOND
        messages += _picture(i, stamp, stamp, topic="/r1/cam/image", info="/r1/cam/camera_info")
        messages += tf_messages("/r1/tf", ("map", "base", POSES[i], stamp))
        messages += tf_messages("/tf", ("map", "base", POSES[i + 1], stamp))
    messages += tf_messages("/r1/tf_static", ("base", "lens", np.eye(4), 1))

    bag = _open(tmp_path, messages)
    other = Bag(tmp_path / "bag", tf_topic="/tf")

    np.testing.assert_allclose([i.pose for i in bag], POSES[:3], atol=1e-9)
    np.testing.assert_allclose([i.pose for i in other], POSES[1:4], atol=1e-9)
    with pytest.raises(RecordingError, match="no topic /r2/tf of TFMessage"):
        Bag(tmp_path / "bag", tf_topic="/r2/tf")


def test_a_prefix_of_the_frames_in_tf(tmp_path):
    messages = [
        *_picture(0, SECOND, SECOND),
        *tf_messages("/tf", ("map", "r1/lens", POSES[1], SECOND)),
    ]

    (found,) = _open(tmp_path, messages, frame_prefix="r1/")

    np.testing.assert_allclose(found.pose, POSES[1], atol=1e-9)
    with pytest.raises(RecordingError, match="TF has 'r1/lens': give --frame-prefix r1/"):
        list(Bag(tmp_path / "bag").posed())


_OPTICAL = transforms.make([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], [0, 0, 0])


def _body(tmp_path, frame_id, **options):
    messages = [
        *_picture(0, SECOND, SECOND, frame_id),
        *tf_messages("/tf", ("map", "link", POSES[1] @ transforms.inverse(_OPTICAL), SECOND)),
        *tf_messages("/tf_static", ("link", "optical_frame", _OPTICAL, 1)),
    ]
    return _open(tmp_path, messages, **options)


def test_images_in_the_frame_of_the_cameras_body_are_told(tmp_path):
    with pytest.raises(
        RecordingError, match=r"'link', below which .* 'optical_frame'.*--camera-frame"
    ):
        _body(tmp_path, "link")
    with pytest.raises(RecordingError, match="no frame_id: give --camera-frame"):
        list(_body(tmp_path, "").posed())
    for frame_id in ("optical_frame", "/optical_frame"):
        (found,) = _body(tmp_path, frame_id)
        np.testing.assert_allclose(found.pose, POSES[1], atol=1e-9)
    for frame_id in ("", "link"):
        (found,) = _body(tmp_path, frame_id, camera_frame="optical_frame")
        np.testing.assert_allclose(found.pose, POSES[1], atol=1e-9)
        assert found.load(False).frame_id == "optical_frame"


# ---- calibration ------------------------------------------------------------------------------
def _infos(tmp_path, infos, topic="/left/image_raw", frame_id="left", **options):
    """Infos as (topic, frame_id, focal length or size)."""
    messages = [(topic, IMAGE, SECOND, image(view(POSES[0]).image, "rgb8", SECOND, frame_id))]
    for name, frame, value in infos:
        camera = replace(CAMERA, fx=value) if isinstance(value, float) else value
        messages.append((name, INFO, SECOND, camera_info(camera, SECOND, frame)))
    bag = _open(tmp_path, messages, **options)
    (found,) = bag
    return found.load(False).camera.fx


_SMALL = CAMERA.resized(CAMERA.width // 2, CAMERA.height // 2)


@pytest.mark.parametrize(
    ("infos", "topic"),
    [
        # A sibling of the images, though another comes first in the alphabet.
        ([("/a/camera_info", "left", 1.0), ("/left/camera_info", "left", 2.0)], "/left/image_raw"),
        ([("/left/camera_info", "body", 2.0), ("/right/camera_info", "r", 1.0)], "/left/image_raw"),
        ([("/left/camera_info", "", 2.0), ("/camera_info", "", 1.0)], "/left/image_raw/compressed"),
        # In a parent or root namespace, below the images, or published elsewhere: by frame_id.
        ([("/camera_info", "left", 2.0), ("/right/camera_info", "right", 1.0)], "/left/image_raw"),
        ([("/x/left_info", "left", 2.0), ("/x/right_info", "right", 1.0)], "/x/left_image"),
        ([("/left/image_raw/camera_info", "left", 2.0), ("/r/i", "right", 1.0)], "/left/image_raw"),
        ([("/left/camera_info", "left", 2.0), ("/right/camera_info", "right", 1.0)], "/new/image"),
        # Of the right size.
        ([("/left/camera_info", "left", _SMALL), ("/left/info", "left", 2.0)], "/left/image_raw"),
        # The same twice.
        ([("/left/a", "left", 2.0), ("/left/b", "left", 2.0)], "/left/image_raw"),
        # A root namespace, and frames that are not named.
        ([("/camera_info", "", 2.0)], "/left/image_raw"),
    ],
)
def test_the_calibration_that_fits_is_taken(tmp_path, infos, topic):
    topic = topic.removesuffix("/compressed")

    assert _infos(tmp_path, infos, topic) == 2.0


@pytest.mark.parametrize(
    ("infos", "said"),
    [
        ([("/right/camera_info", "right", 1.0)], "no camera_info topic fits"),
        ([("/right/camera_info", "", 1.0)], "no camera_info topic fits"),
        ([("/a/camera_info", "left", 1.0), ("/b/camera_info", "left", 2.0)], "several .* fit"),
        ([("/left/a", "", 1.0), ("/left/b", "", 2.0)], "several .* fit"),
        ([("/left/camera_info", "left", _SMALL)], "no camera_info topic fits"),
    ],
)
def test_a_calibration_that_is_unclear_is_told_with_the_candidates(tmp_path, infos, said):
    with pytest.raises(RecordingError, match=f"{said}.*{infos[0][0]} .*--camera-info-topic"):
        _infos(tmp_path, infos)


def test_a_calibration_by_its_topic(tmp_path):
    infos = [("/a/camera_info", "left", 1.0), ("/b/camera_info", "left", 2.0)]

    assert _infos(tmp_path, infos, camera_info_topic="/a/camera_info") == 1.0
    with pytest.raises(RecordingError, match="no topic /c of CameraInfo"):
        Bag(tmp_path / "bag", camera_info_topic="/c")


@pytest.mark.parametrize("bad", [[0], [2], [0, 1, 2]])
def test_messages_that_are_no_calibration_are_left_out(tmp_path, bad):
    messages = []
    for i in range(3):
        stamp = (i + 1) * SECOND
        info, picture = _picture(i, stamp, stamp)
        if i in bad:
            info[3].k = np.zeros(9)
            info[3].width = info[3].height = 0
        messages += [info, picture]
    messages += tf_messages("/tf", *(("map", "lens", POSES[i], (i + 1) * SECOND) for i in range(3)))
    if len(bad) == 3:
        with pytest.raises(RecordingError, match=r"no calibration, image size 0x0.*--camera"):
            _open(tmp_path, messages)
        return

    bag = _open(tmp_path, messages)

    assert {i.load(False).camera for i in bag} == {CAMERA}
    assert bag.summary.count(IGNORED) == 1


def test_rectified_images_have_the_camera_of_p(tmp_path):
    info = camera_info(CAMERA, SECOND, p=np.array([200.0, 0, 90, 0, 0, 201, 70, 0, 0, 0, 1, 0]))
    info.d = np.array([-0.3, 0.1, 0.0, 0.0, 0.0])
    pixels = image(view(POSES[0]).image, "rgb8", SECOND)
    messages = [
        ("/cam/camera_info", INFO, SECOND, info),
        ("/cam/image", IMAGE, SECOND, pixels),
        ("/cam/image_rect_color", IMAGE, SECOND, pixels),
    ]

    (raw,) = _open(tmp_path, messages, image_topic="/cam/image")
    (rectified,) = Bag(tmp_path / "bag", "/cam/image", rectified=True)
    (named,) = Bag(tmp_path / "bag", "/cam/image_rect_color")

    assert len(raw.load(False).camera.distortion) == 4
    camera = rectified.load(False).camera
    assert (camera.fx, camera.cy, camera.distortion) == (200.0, 70.0, ())
    assert named.load(False).camera == camera


def test_a_mask_belongs_to_every_image(tmp_path):
    mask = np.full((CAMERA.height, CAMERA.width), 255, np.uint8)
    mask[-20:] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), mask)

    (found,) = _open(tmp_path, _picture(0, SECOND, SECOND), mask=tmp_path / "mask.png")

    np.testing.assert_array_equal(found.load(False).mask, mask)


# ---- depth ------------------------------------------------------------------------------------
def _with_depth(tmp_path, kind, message):
    messages = [*_picture(0, SECOND, SECOND), ("/aligned/compressedDepth", kind, SECOND, message)]
    bag = _open(tmp_path, messages, depth_topic="/aligned/compressedDepth")
    ((_, frame),) = read_frames(bag, with_depth=True)
    return frame.depth


def test_compressed_depth_and_images_are_told_apart_without_options(tmp_path):
    millimeters = np.rint(view(POSES[0]).depth * 1000).astype(np.uint16)
    data = struct.pack("<iff", 0, 0, 0) + bytes(cv2.imencode(".png", millimeters)[1])
    message = make(
        COMPRESSED,
        header=header(SECOND),
        format="16UC1; compressedDepth png",
        data=np.frombuffer(data, np.uint8),
    )

    depth = _with_depth(tmp_path, COMPRESSED, message)

    np.testing.assert_allclose(depth, millimeters / 1000, rtol=1e-6)
    with pytest.raises(RecordingError, match="is a depth image: give it as depth"):
        Bag(tmp_path / "bag", "/aligned/compressedDepth")


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_depth_of_half_the_size_is_registered(tmp_path, encoding):
    half = view(POSES[0]).depth[::2, ::2]
    raw = half.astype("<f4") if encoding == "32FC1" else np.rint(half * 1000).astype(np.uint16)

    depth = _with_depth(tmp_path, IMAGE, image(raw, encoding, SECOND))

    assert depth.shape == (CAMERA.height, CAMERA.width)
    np.testing.assert_allclose(depth[::2, ::2], half, atol=6e-4)
    np.testing.assert_allclose(depth[1::2, 1::2], half, atol=6e-4)


def test_depth_of_another_field_of_view_is_told(tmp_path):
    raw = np.full((CAMERA.height, CAMERA.width // 2), 1000, np.uint16)

    with pytest.raises(RecordingError, match=r"aspect ratio .* register the depth"):
        _with_depth(tmp_path, IMAGE, image(raw, "16UC1", SECOND))


def test_images_without_depth_are_counted(tmp_path):
    depth = image(np.full((CAMERA.height, CAMERA.width), 1000, np.uint16), "16UC1", SECOND)
    messages = [
        *_picture(0, SECOND, SECOND), *_picture(1, 2 * SECOND, 2 * SECOND),
        ("/depth", IMAGE, SECOND, depth),
    ]  # fmt: skip
    bag = _open(tmp_path, messages, depth_topic="/depth")

    assert [f.depth is None for _, f in read_frames(bag, with_depth=True)] == [False, True]
    assert bag.summary.count(WITHOUT_DEPTH) == 1


# ---- files ------------------------------------------------------------------------------------
STORAGES = [(StoragePlugin.MCAP, ".mcap"), (StoragePlugin.SQLITE3, ".db3")]


def _count(path):
    return len(list(read_frames(Bag(path, pose_topic="/truth").posed(), with_depth=False)))


@pytest.fixture(params=STORAGES, ids=[suffix for _, suffix in STORAGES])
def recorded(request, tmp_path):
    storage, suffix = request.param
    return write(tmp_path / "bag", [*frames(with_depth=False), *truth()], storage), suffix


def test_metadata_is_a_cache(recorded):
    path, suffix = recorded
    metadata = path / "metadata.yaml"
    content = yaml.safe_load(metadata.read_text())
    listed = content["rosbag2_bagfile_information"]["topics_with_message_count"]
    for topic in listed:
        topic["topic_metadata"]["offered_qos_profiles"] = [
            {
                "history": 1, "depth": 5, "reliability": 2, "durability": 1, "liveliness": 1,
                "deadline": {"sec": 0, "nsec": 0}, "lifespan": {"sec": 0, "nsec": 0},
                "liveliness_lease_duration": {"sec": 0, "nsec": 0},
                "avoid_ros_namespace_conventions": False,
            }
        ]  # fmt: skip
        topic["message_count"] = 0
    metadata.write_text(yaml.safe_dump(content))
    assert _count(path) == 4

    metadata.write_text("{ not yaml")
    assert _count(path) == 4

    metadata.unlink()
    assert _count(path) == _count(next(path.glob(f"*{suffix}"))) == 4


@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
@pytest.mark.parametrize(("storage", "suffix"), STORAGES)
def test_compressed_bags(tmp_path, storage, suffix, mode):
    path = tmp_path / "bag"
    writer = Writer(path, version=9, storage_plugin=storage)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for topic, kind, time, message in [*frames(with_depth=False), *truth()]:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=TYPES)
            writer.write(connections[topic], time, TYPES.serialize_cdr(message, kind))

    assert _count(path) == 4
    (path / "metadata.yaml").unlink()
    assert _count(path) == 4
    assert _count(next(path.iterdir())) == 4


def test_a_bag_in_two_files_and_one_of_them_missing(tmp_path):
    messages = [*frames(with_depth=False), *truth()]
    messages.sort(key=lambda m: m[2])
    path = tmp_path / "split"
    path.mkdir()
    for i, half in enumerate((messages[:6], messages[6:])):
        part = write(tmp_path / f"part{i}", half)
        shutil.copy(next(part.glob("*.mcap")), path / f"split_{i}.mcap")
    names = [f"split_{i}.mcap" for i in (0, 1)]
    listing = {"rosbag2_bagfile_information": {"relative_file_paths": names}}
    (path / "metadata.yaml").write_text(yaml.safe_dump(listing))

    assert _count(path) == 4
    (path / "split_1.mcap").unlink()
    with pytest.raises(RecordingError, match=r"names split_1\.mcap, which is not there"):
        _count(path)


def test_a_torn_bag_is_told_with_a_remedy(recorded):
    path, suffix = recorded
    file = next(path.glob(f"*{suffix}"))
    file.write_bytes(file.read_bytes()[:-3000])

    with pytest.raises(RecordingError, match=rf"{file.name} is not a bag .*[. ]recover"):
        _count(path)


def test_images_can_be_loaded_out_of_turn(recorded):
    path, _ = recorded
    listed = list(Bag(path, pose_topic="/truth"))

    for i in (2, 0, 3, 3):
        np.testing.assert_array_equal(listed[i].load(False).image, view(POSES[i]).image)


@pytest.mark.parametrize(
    ("parent", "child"), [("lens", "lens"), ("/lens", "lens"), ("map", ""), ("", "lens")]
)
def test_a_transform_that_joins_no_frames_is_ignored(tmp_path, parent, child):
    """tf2 refuses it, too; taken, it would cut the frame off its parent."""
    messages = [m for i in range(2) for m in _picture(i, (i + 1) * SECOND, (i + 1) * SECOND)]
    messages += [
        ("/tf", TF, (i + 1) * SECOND - 1, tf("map", "lens", POSES[i], (i + 1) * SECOND))
        for i in range(2)
    ]
    messages.append(("/tf", TF, SECOND + 5, tf(parent, child, np.eye(4), SECOND + 5)))

    bag = _open(tmp_path, messages)

    np.testing.assert_allclose([i.pose for i in bag], POSES[:2], atol=1e-9)
    ((_, where, reason),) = bag.summary.reasons(IGNORED)
    assert where == f"'{parent}' -> '{child}' on /tf recorded at {SECOND + 5} ns"
    assert "a frame is not its own parent" in reason


@pytest.mark.parametrize("value", [0, np.inf, np.nan])
def test_depth_that_holds_nothing_is_none(tmp_path, value):
    depth = np.full((CAMERA.height, CAMERA.width), value, np.float32)
    messages = [
        *_picture(0, SECOND, SECOND),
        ("/depth", IMAGE, SECOND, image(depth, "32FC1", SECOND)),
        ("/tf", TF, SECOND, tf("map", "lens", POSES[0], SECOND)),
    ]

    bag = _open(tmp_path, messages, depth_topic="/depth")
    ((_, frame),) = read_frames(bag, with_depth=True)

    assert frame.depth is None
    ((_, _, reason),) = bag.summary.reasons(WITHOUT_DEPTH)
    assert "/depth holds no value above zero" in reason
