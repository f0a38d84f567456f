# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""TF by tf2_ros, and what is added to its texts."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from geometry_msgs.msg import TransformStamped

from mast3r_ros.messages import conversions
from mast3r_ros.ros.tf import choose as tf
from mast3r_ros.ros.tf.hints import with_hint
from mast3r_ros.ros.tf.source import TransformError

pytestmark = pytest.mark.ros
SECOND = 1_000_000_000


def _pose(x):
    pose = np.eye(4)
    pose[0, 3] = x
    return pose


def test_tf2_ros_is_used_where_it_is_installed(monkeypatch):
    """Against the names and arguments of tf2_ros' Python API."""
    sent, closed = [], []

    class TransformException(Exception):
        pass

    class Buffer:
        def clear(self):
            closed.append("cleared")

        def lookup_transform(self, target_frame, source_frame, time):
            if source_frame == "nowhere":
                raise TransformException("nowhere is not known")
            found = TransformStamped()
            found.transform = conversions.to_transform(_pose(time.nanoseconds / SECOND))
            return found

    class TransformListener:
        def __init__(self, buffer, node, *, spin_thread=False):
            assert isinstance(buffer, Buffer)
            assert not spin_thread

        def unregister(self):
            closed.append("unregistered")

    destroyed = []
    options = SimpleNamespace(odometry="tf")
    node = SimpleNamespace(destroy_publisher=destroyed.append, options=options)
    module = SimpleNamespace(
        Buffer=Buffer,
        TransformListener=TransformListener,
        TransformBroadcaster=lambda node: SimpleNamespace(sendTransform=sent.append, pub_tf="/tf"),
        TransformException=TransformException,
        __spec__=SimpleNamespace(name="tf2_ros"),
    )
    monkeypatch.setitem(sys.modules, "tf2_ros", module)
    monkeypatch.delitem(sys.modules, "mast3r_ros.ros.tf.tf2", raising=False)

    door = tf.create(node)

    assert door.wait_for("odom", "base", 3 * SECOND, 0.0)[0, 3] == 3
    with pytest.raises(TransformError, match="nowhere is not known"):
        door.wait_for("odom", "nowhere", 3 * SECOND, 0.01)
    door.send("map", "odom", _pose(4), SECOND)
    assert (sent[0].header.frame_id, sent[0].child_frame_id) == ("map", "odom")
    assert (sent[0].header.stamp.sec, sent[0].transform.translation.x) == (1, 4)
    door.restart()
    door.close()
    assert closed == ["cleared", "unregistered"]
    assert destroyed == ["/tf"]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (
            "Lookup would require extrapolation into the future.  Requested time 12.3 but the "
            "latest data is at time 12.2, when looking up transform from frame [camera] to frame "
            "[odom]",
            "raise `tf_timeout`",
        ),
        ("Lookup would require extrapolation into the past.  Requested time", "use_sim_time"),
        ('"odom" passed to lookupTransform argument target_frame does not exist. ', "`odom_frame`"),
        (
            "Could not find a connection between 'odom' and 'camera' because they are not part of "
            "the same tree.Tf has two or more unconnected trees.",
            "a transform between the two is missing",
        ),
    ],
)
def test_texts_of_tf2_come_with_a_remedy(text, remedy):
    assert with_hint(text).startswith(text)
    assert remedy in with_hint(text)
    assert with_hint("another problem") == "another problem"
