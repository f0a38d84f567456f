# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bags as recordings: both storages, raw and compressed, poses from TF and from topics."""

from dataclasses import replace

import numpy as np
import pytest
from bag_world import (
    STEP,
    Bag,
    camera_info,
    compressed,
    frames,
    image,
    odometry,
    tf_messages,
    truth,
    write,
)  # fmt: skip
from evaluation_world import CAMERA, POSES, view, write_calibration
from rosbags.rosbag2 import StoragePlugin

from mast3r_ros.datasets import RecordingError
from mast3r_ros.datasets.kinds import is_bag
from mast3r_ros.datasets.summary import WITHOUT_POSE
from mast3r_ros.geometry import transforms

STORAGES = [StoragePlugin.SQLITE3, StoragePlugin.MCAP]


@pytest.mark.parametrize("storage", STORAGES)
def test_images_come_with_pose_camera_stamp_and_depth(tmp_path, storage):
    path = write(tmp_path / "bag", [*frames(), *truth()], storage)

    bag = Bag(path, "/camera/image_raw", "/depth", "/truth")

    assert is_bag(path)
    assert len(bag) == 4
    loaded = [(image, image.load(True)) for image in bag]
    np.testing.assert_allclose([i.pose for i, _ in loaded], POSES[:4], atol=1e-9)
    for i, (_, frame) in enumerate(loaded):
        expected = view(POSES[i])
        assert (frame.stamp, frame.frame_id, frame.camera) == ((i + 1) * STEP, "lens", CAMERA)
        np.testing.assert_array_equal(frame.image, expected.image)
        np.testing.assert_allclose(frame.depth, expected.depth, atol=6e-4)


@pytest.mark.parametrize("suffix", [".mcap", ".db3"])
def test_a_bags_only_file_will_do(tmp_path, suffix):
    storage = StoragePlugin.MCAP if suffix == ".mcap" else StoragePlugin.SQLITE3
    path = write(tmp_path / "bag", [*frames(with_depth=False), *truth()], storage)
    (file,) = path.glob(f"*{suffix}")

    assert is_bag(file)
    assert len(list(Bag(file, pose_topic="/truth"))) == 4


def test_compressed_images(tmp_path):
    small = compressed(view(POSES[0]).image, STEP)
    messages = [
        ("/image/compressed", "sensor_msgs/msg/CompressedImage", STEP, small),
        ("/camera_info", "sensor_msgs/msg/CameraInfo", STEP, camera_info(CAMERA, STEP)),
    ]

    (found,) = Bag(write(tmp_path / "bag", [*messages, *truth(1)]), pose_topic="/truth")

    np.testing.assert_array_equal(found.load(False).image, view(POSES[0]).image)


def test_poses_from_tf_between_which_is_interpolated(tmp_path):
    mount = transforms.make(transforms.rotation_from_vector([0.1, 0.2, 0.3]), [0.1, 0.0, 0.5])
    base = [pose @ transforms.inverse(mount) for pose in POSES]
    messages = [
        *frames(with_depth=False),
        *tf_messages("/tf_static", ("base", "lens", mount, STEP)),
        # The third image has none of its own.
        *tf_messages("/tf", *(("map", "base", base[i], (i + 1) * STEP) for i in (0, 1, 3))),
    ]
    messages.sort(key=lambda message: message[2])

    poses = [image.pose for image in Bag(write(tmp_path / "bag", messages), max_gap=6.0)]

    np.testing.assert_allclose(
        [poses[i] for i in (0, 1, 3)], [POSES[i] for i in (0, 1, 3)], atol=1e-9
    )
    assert transforms.distance(poses[2], POSES[2]) < 1e-3
    assert transforms.rotation_angle(poses[2], POSES[2]) < 1e-3


def test_images_without_a_pose_are_left_out(tmp_path):
    messages = [
        *frames(4, with_depth=False),
        *tf_messages("/tf", ("map", "lens", POSES[1], 2 * STEP)),
    ]

    bag = Bag(write(tmp_path / "bag", messages))

    assert [image.name for image in bag.posed()] == ["6.000"]
    assert [image.pose is None for image in bag] == [True, False, True, True]
    assert bag.summary.count(WITHOUT_POSE) == 3


def test_odometry_names_the_frame_that_it_speaks_of(tmp_path):
    mount = transforms.make(np.eye(3), [0.0, 0.0, 0.4])
    message = odometry(POSES[0] @ transforms.inverse(mount), STEP)
    messages = [
        *frames(1, with_depth=False),
        *tf_messages("/tf_static", ("base", "lens", mount, STEP)),
        ("/odom", "nav_msgs/msg/Odometry", STEP, message),
    ]

    path = write(tmp_path / "bag", messages)
    (found,) = Bag(path, pose_topic="/odom", map_frame="odom")

    np.testing.assert_allclose(found.pose, POSES[0], atol=1e-9)
    with pytest.raises(RecordingError, match=r"in frame odom: .*--map-frame"):
        list(Bag(path, pose_topic="/odom").posed())


def test_a_pose_topic_of_another_frame(tmp_path):
    mount = transforms.make(np.eye(3), [0.0, 0.0, 0.4])
    messages = [
        *frames(1, with_depth=False),
        *tf_messages("/tf_static", ("base", "lens", mount, STEP)),
        *truth(1),
    ]
    path = write(tmp_path / "bag", messages)

    (found,) = Bag(path, pose_topic="/truth", pose_frame="base")

    np.testing.assert_allclose(found.pose, POSES[0] @ mount, atol=1e-9)


def test_a_calibration_that_changes(tmp_path):
    other = replace(CAMERA, fx=333.0)
    messages = [
        *frames(2, with_depth=False, with_camera=False),
        ("/camera/camera_info", "sensor_msgs/msg/CameraInfo", STEP, camera_info(CAMERA, STEP)),
        (
            "/camera/camera_info",
            "sensor_msgs/msg/CameraInfo",
            2 * STEP,
            camera_info(other, 2 * STEP),
        ),
        *truth(2),
    ]

    cameras = [
        i.load(False).camera for i in Bag(write(tmp_path / "b", messages), pose_topic="/truth")
    ]

    assert cameras == [CAMERA, other]


def test_a_calibration_file(tmp_path):
    write_calibration(tmp_path / "camera.yaml")
    path = write(tmp_path / "bag", [*frames(1, with_depth=False, with_camera=False), *truth(1)])

    (found,) = Bag(path, pose_topic="/truth", camera_file=tmp_path / "camera.yaml")

    assert found.load(False).camera == CAMERA
    with pytest.raises(RecordingError, match="--camera"):
        Bag(path, pose_topic="/truth")


def test_depth_far_in_time_is_no_depth(tmp_path):
    depth = np.full((CAMERA.height, CAMERA.width), 2000, np.uint16)
    late = STEP + 25_000_000
    messages = [
        *frames(1, with_depth=False),
        ("/depth", "sensor_msgs/msg/Image", late, image(depth, "16UC1", late)),
        *truth(1),
    ]

    bag = Bag(write(tmp_path / "bag", messages), "/camera/image_raw", "/depth", "/truth")

    assert [i.load(True).depth for i in bag] == [None]


def test_what_is_missing_is_told(tmp_path):
    path = write(tmp_path / "bag", [*frames(1), *truth(1)])

    with pytest.raises(RecordingError, match=r"which topic\? .*/camera/image_raw, /depth"):
        Bag(path)
    with pytest.raises(RecordingError, match="no topic /picture"):
        Bag(path, "/picture")
    with pytest.raises(RecordingError, match="no topic /image of PoseStamped"):
        Bag(path, "/depth", pose_topic="/image")
    with pytest.raises(RecordingError, match=r"no image with a known pose: .*'map'"):
        list(Bag(path, "/camera/image_raw").posed())


def test_what_is_no_bag(tmp_path):
    (tmp_path / "metadata.yaml").write_text("nothing: here\n")
    (tmp_path / "cut.mcap").write_bytes(b"\x89MCAP0\r\n and no more")

    assert not is_bag(tmp_path / "nowhere")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "cut.mcap"):
        with pytest.raises(RecordingError, match="not a bag that can be read"):
            Bag(path)
