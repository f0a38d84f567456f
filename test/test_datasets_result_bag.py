# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Results beside what was recorded, as other tools read them."""

from pathlib import Path

import numpy as np
import pytest
from bag_world import (
    TYPES,
    Bag,
    frames,
    header,
    make,
    pose_message,
    tf_messages,
    truth,
    write,
)
from evaluation_world import POSES, write_tum
from rosbags.highlevel import AnyReader
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from mast3r_ros.datasets import RecordingError, definitions, open_dataset
from mast3r_ros.datasets.recording import read_frames
from mast3r_ros.datasets.result_bag import (
    POSE,
    RELATIVE_POSE,
    STATUS,
    RelativeResult,
    Result,
    ResultBag,
)
from mast3r_ros.datasets.summary import IGNORED
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.frame_tree import TfBuffer
from mast3r_ros.messages import conversions

_ROOT = Path(__file__).resolve().parent.parent
_LOSSY = Qos(
    QosHistory.KEEP_LAST, 5, QosReliability.BEST_EFFORT, QosDurability.VOLATILE,
    QosTime(1, 0), QosTime(2, 0), QosLiveliness.AUTOMATIC, QosTime(3, 0), False,
)  # fmt: skip
_MOUNT = transforms.make(transforms.rotation_from_vector([0.1, 0.2, 0.3]), [0.1, 0.0, 0.5])


@pytest.mark.parametrize("kind", definitions.FIELDS)
def test_definitions_are_those_of_the_message_files(kind):
    text = (_ROOT / "msg" / f"{kind.rpartition('/')[2]}.msg").read_text()

    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    assert [line for line in lines if line] == definitions.FIELDS[kind].splitlines()


def _read(path, *topics):
    """Messages by topic, as (time, message)."""
    found = {topic: [] for topic in topics}
    with AnyReader([path]) as reader:
        for connection, time, data in reader.messages():
            if not topics or connection.topic in topics:
                message = reader.deserialize(data, connection.msgtype)
                found.setdefault(connection.topic, []).append((time, message))
    return found


def _localize(path, source):
    """Every image but the second is localized, at its true place."""
    with ResultBag(path, source) as bag:
        for i, (image, frame) in enumerate(read_frames(source, with_depth=False)):
            if i == 1:
                bag.add(image, frame.frame_id, Result("not_localized", "too few matches"))
                continue
            relative = RelativeResult(7, 5 * 10**9, np.eye(4), np.eye(6), True, 0.5, 100, 80)
            result = Result(
                "localized", "", POSES[i], 0.01 * np.eye(6), 0.8, 80, (7, 3),
                {"match": 0.25, "solve": 0.5}, (relative,), 9, "sift",
            )  # fmt: skip
            bag.add(image, frame.frame_id, result)


def test_results_stand_beside_the_recorded_topics(tmp_path):
    messages = [
        *frames(3, with_depth=False),
        *tf_messages("/tf_static", ("base", "lens", _MOUNT, 1)),
        *tf_messages("/tf", *(("odom", "base", POSES[i], (i + 1) * 3 * 10**9) for i in range(3))),
    ]
    path = write(tmp_path / "bag", sorted(messages, key=lambda m: m[2]))

    _localize(tmp_path / "out", Bag(path))

    found = _read(tmp_path / "out")
    recorded = _read(path)
    for topic in ("/camera/image_raw", "/camera/camera_info", "/tf_static"):
        assert len(found[topic]) == len(recorded[topic])
    np.testing.assert_array_equal(
        found["/camera/image_raw"][2][1].data, recorded["/camera/image_raw"][2][1].data
    )
    assert [m.header.frame_id for _, m in found[POSE]] == ["map", "map"]
    for (time, message), i in zip(found[POSE], (0, 2), strict=True):
        assert time == (i + 1) * 3 * 10**9
        np.testing.assert_allclose(conversions.to_pose(message.pose.pose), POSES[i], atol=1e-9)
        np.testing.assert_allclose(np.diag(message.pose.covariance.reshape(6, 6)), 0.01)
    (_, one), (_, two), (_, three) = found[STATUS]
    assert (one.state, two.state, three.state) == (1, 3, 1)
    assert (two.reason, three.frames_seen, three.frames_localized) == ("too few matches", 3, 2)
    assert [(s.stage, s.seconds) for s in one.latency] == [("match", 0.25), ("solve", 0.5)]
    assert one.keyframe_ids.tolist() == [7, 3]
    (_, relative), _ = found[RELATIVE_POSE]
    assert (relative.header.frame_id, relative.inliers) == ("keyframe_7", 80)


def test_tf_connects_the_map_with_the_recorded_tree(tmp_path):
    messages = [
        *frames(3, with_depth=False),
        *tf_messages("/tf_static", ("base", "lens", _MOUNT, 1)),
        *tf_messages("/tf", *(("odom", "base", POSES[i], (i + 1) * 3 * 10**9) for i in range(3))),
    ]
    path = write(tmp_path / "bag", sorted(messages, key=lambda m: m[2]))

    _localize(tmp_path / "out", Bag(path))

    buffer = TfBuffer(kept=float("inf"))
    for topic, entries in _read(tmp_path / "out", "/tf", "/tf_static").items():
        for entry in (e for _, m in entries for e in m.transforms):
            stamp = conversions.to_nanoseconds(entry.header.stamp)
            pose = conversions.from_transform(entry.transform)
            buffer.insert(
                entry.header.frame_id, entry.child_frame_id, pose, stamp, topic == "/tf_static"
            )
    for i in (0, 2):
        found = buffer.find("map", "lens", (i + 1) * 3 * 10**9)
        np.testing.assert_allclose(found, POSES[i], atol=1e-9)
    assert buffer.children("map") == ["odom"]


def test_a_recorded_map_is_not_disturbed(tmp_path):
    messages = [
        *frames(1, with_depth=False),
        *tf_messages("/tf", ("map", "lens", POSES[0], 3 * 10**9)),
    ]

    _localize(tmp_path / "out", Bag(write(tmp_path / "bag", messages)))

    (_, recorded), (_, ours) = _read(tmp_path / "out", "/tf")["/tf"]
    assert recorded.transforms[0].child_frame_id == "lens"
    assert ours.transforms[0].child_frame_id == "lens_localized"


def test_topics_of_other_types_are_copied_where_they_are_defined(tmp_path):
    kind = "my_robot/msg/Battery"
    types = get_typestore(Stores.ROS2_HUMBLE)
    types.register(get_types_from_msg("float64 charge\n", kind))
    path = tmp_path / "bag"
    with Writer(path, version=9) as writer:
        for topic, name, time, message in [*frames(1, with_depth=False), *truth(1)]:
            connection = writer.add_connection(topic, name, typestore=TYPES)
            writer.write(connection, time, TYPES.serialize_cdr(message, name))
        connection = writer.add_connection("/battery", kind, typestore=types)
        writer.write(connection, 1, types.serialize_cdr(types.types[kind](charge=0.5), kind))

    _localize(tmp_path / "out", Bag(path))

    ((_, message),) = _read(tmp_path / "out", "/battery")["/battery"]
    assert message.charge == 0.5


def test_recorded_topics_keep_their_qos_and_static_ones_are_latched(tmp_path):
    """Else `ros2 bag play` offers no static transform to those who listen to latched ones alone."""
    path = tmp_path / "bag"
    with Writer(path, version=9) as writer:
        for topic, name, time, message in [
            *frames(1, with_depth=False),
            *tf_messages("/tf_static", ("base", "lens", _MOUNT, 1)),
        ]:
            offered = (_LOSSY,) if name == "sensor_msgs/msg/Image" else ()
            connection = writer.add_connection(
                topic, name, typestore=TYPES, offered_qos_profiles=offered
            )
            writer.write(connection, time, TYPES.serialize_cdr(message, name))

    _localize(tmp_path / "out", Bag(path))

    with AnyReader([tmp_path / "out"]) as reader:
        qos = {c.topic: c.ext.offered_qos_profiles for c in reader.connections}
    assert qos["/camera/image_raw"] == [_LOSSY]
    for topic in ("/tf_static", STATUS):
        assert qos[topic][0].durability is QosDurability.TRANSIENT_LOCAL


def test_transforms_go_to_the_robots_own_topic_and_earlier_results_are_replaced(tmp_path):
    old = make(
        "geometry_msgs/msg/PoseStamped",
        header=header(3 * 10**9, "map"),
        pose=pose_message(POSES[0]),
    )
    messages = [
        *((f"/robot1{topic}", *rest) for topic, *rest in frames(1, with_depth=False)),
        *tf_messages("/robot1/tf", ("odom", "lens", POSES[0], 3 * 10**9)),
        (POSE, "geometry_msgs/msg/PoseStamped", 3 * 10**9, old),
    ]
    source = Bag(write(tmp_path / "bag", messages))

    _localize(tmp_path / "out", source)

    found = _read(tmp_path / "out")
    assert "/tf" not in found
    assert [m.transforms[0].child_frame_id for _, m in found["/robot1/tf"]] == ["lens", "odom"]
    ((_, pose),) = found[POSE]
    assert pose.pose.covariance[0] == pytest.approx(0.01)
    assert source.summary.reasons(IGNORED)[0][1] == POSE


def test_results_of_a_folder(tmp_path):
    source = open_dataset(write_tum(tmp_path / "walk"))

    _localize(tmp_path / "out", source)

    found = _read(tmp_path / "out")
    assert {topic: len(entries) for topic, entries in found.items()} == {
        POSE: 6, STATUS: 7, RELATIVE_POSE: 6, "/tf": 6,
    }  # fmt: skip
    with pytest.raises(RecordingError, match="exists already"):
        ResultBag(tmp_path / "out", source)
