# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The generated messages, through the middleware's own serialization."""

import array

import numpy as np
import pytest

pytestmark = pytest.mark.ros


def _round_trip(message):
    from rclpy.serialization import deserialize_message, serialize_message

    return deserialize_message(serialize_message(message), type(message))


def test_correspondences_keep_their_arrays():
    from mast3r_ros.msg import Correspondences

    points = np.array([[0.5, -1.0, 2.0], [np.nan] * 3], np.float32)
    message = Correspondences(keyframe_id=7, metric=True)
    message.reference_points = array.array("f", points.tobytes())
    message.inlier = array.array("B", [1, 0])

    back = _round_trip(message)

    np.testing.assert_array_equal(np.asarray(back.reference_points).reshape(-1, 3), points)
    assert (list(back.inlier), back.keyframe_id, back.metric) == ([1, 0], 7, True)


def test_every_state_has_its_own_number():
    from mast3r_ros.msg import RelocalizationStatus

    names = [
        "WAITING",
        "LOCALIZED",
        "DIRECTION_ONLY",
        "NOT_LOCALIZED",
        "NO_MAP",
        "BAD_INPUT",
        "ERROR",
    ]
    states = [getattr(RelocalizationStatus, f"STATE_{name}") for name in names]

    assert sorted(states) == list(range(len(names)))
    assert RelocalizationStatus().state == RelocalizationStatus.STATE_WAITING


def test_a_relocalize_answer_carries_the_whole_status():
    from mast3r_ros.msg import RelocalizationStatus, StageLatency
    from mast3r_ros.srv import Relocalize

    status = RelocalizationStatus(state=RelocalizationStatus.STATE_LOCALIZED, keyframe_ids=[3, 1])
    status.latency = [StageLatency(stage="describe", seconds=0.25)]

    back = _round_trip(Relocalize.Response(success=True, status=status)).status

    assert back == status


def test_tf_travels_under_its_usual_name():
    from tf2_msgs.msg import TFMessage

    assert TFMessage.get_fields_and_field_types() == {
        "transforms": "sequence<geometry_msgs/TransformStamped>"
    }


def test_the_bond_travels_as_bond_core_defines_it():
    from bond.msg import Status

    assert Status.get_fields_and_field_types() == {
        "header": "std_msgs/Header",
        "id": "string",
        "instance_id": "string",
        "active": "boolean",
        "heartbeat_timeout": "float",
        "heartbeat_period": "float",
    }
