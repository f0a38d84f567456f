# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The package's own TF buffer, its gate, and the door to tf2_ros."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from hypothesis import given
from hypothesis import strategies as st

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.frame_tree import TfBuffer
from mast3r_ros.ros.gate import JumpGate
from mast3r_ros.ros.tf.source import TransformError

pytestmark = pytest.mark.ros
SECOND = 10**9
number = st.floats(-3, 3)
poses = st.builds(
    lambda r, t: transforms.make(transforms.rotation_from_vector(r), t),
    st.tuples(number, number, number).filter(lambda r: np.linalg.norm(r) < 3),
    st.tuples(number, number, number),
)


def _pose(x, turn=0.0):
    return transforms.make(transforms.rotation_from_vector([0, 0, turn]), [x, 0, 0])


@given(poses, poses, poses)
def test_from_any_frame_to_any_other(map_odom, odom_base, base_camera):
    buffer = TfBuffer()
    buffer.insert("map", "odom", map_odom, 5, False)
    buffer.insert("odom", "base", odom_base, 5, False)
    buffer.insert("base", "camera", base_camera, 0, True)
    buffer.insert("base", "laser", base_camera, 0, True)
    odom_camera = odom_base @ base_camera

    np.testing.assert_allclose(buffer.find("odom", "camera", 5), odom_camera, atol=1e-9)
    np.testing.assert_allclose(
        buffer.find("camera", "map", 5), transforms.inverse(map_odom @ odom_camera), atol=1e-9
    )
    np.testing.assert_allclose(buffer.find("laser", "camera", 5), np.eye(4), atol=1e-9)
    np.testing.assert_allclose(buffer.find("camera", "camera", 5), np.eye(4), atol=1e-9)


@given(poses, poses, st.floats(0, 1))
def test_between_two_stamps_it_is_interpolated(early, late, share):
    buffer = TfBuffer()
    buffer.insert("odom", "base", early, 0, False)
    buffer.insert("odom", "base", late, SECOND, False)

    found = buffer.find("odom", "base", 1 + round(share * (SECOND - 1)))

    total = transforms.rotation_angle(early, late)
    np.testing.assert_allclose(
        found[:3, 3], (1 - share) * early[:3, 3] + share * late[:3, 3], atol=1e-6
    )
    assert transforms.rotation_angle(early, found) == pytest.approx(share * total, abs=1e-6)
    assert transforms.rotation_angle(found, late) == pytest.approx((1 - share) * total, abs=1e-6)


def test_arrival_need_not_be_in_order():
    buffer = TfBuffer()
    for second in (10, 12, 11):
        buffer.insert("odom", "base", _pose(second), second * SECOND, False)

    assert buffer.find("odom", "base", 10 * SECOND + SECOND // 2)[0, 3] == pytest.approx(10.5)
    assert buffer.find("odom", "base", 11 * SECOND)[0, 3] == 11


@pytest.mark.parametrize(
    ("target", "source", "stamp", "told"),
    [
        ("odom", "base", 13 * SECOND, "1.000 s into the future"),
        ("odom", "base", 9 * SECOND, "1.000 s into the past"),
        ("odom", "nowhere", 11 * SECOND, "does not connect 'odom' with 'nowhere'"),
        ("nowhere", "elsewhere", 0, "does not connect"),
        ("other_root", "base", 0, "does not connect"),
    ],
)
def test_what_is_not_known(target, source, stamp, told):
    buffer = TfBuffer()
    buffer.insert("odom", "base", _pose(0), 10 * SECOND, False)
    buffer.insert("odom", "base", _pose(0), 12 * SECOND, False)
    buffer.insert("other_root", "leaf", _pose(0), 10 * SECOND, False)

    with pytest.raises(TransformError, match=told):
        buffer.find(target, source, stamp)


def test_latest_is_the_latest_that_all_know():
    buffer = TfBuffer()
    for second in range(4):
        buffer.insert("map", "odom", _pose(second), second * SECOND, False)
    buffer.insert("odom", "base", _pose(10), 2 * SECOND, False)
    buffer.insert("base", "camera", _pose(100), 0, True)

    assert buffer.find("map", "camera", 0)[0, 3] == 112


def test_a_circle_is_told():
    buffer = TfBuffer()
    buffer.insert("a", "b", _pose(0), 1, False)
    buffer.insert("b", "a", _pose(0), 1, False)

    with pytest.raises(TransformError, match="cycle"):
        buffer.find("a", "b", 1)


def _moving():
    """T_odom_base of 20 s, its x as its time [s]."""
    buffer = TfBuffer()
    for second in range(20):
        buffer.insert("odom", "base", _pose(second), second * SECOND, False)
    return buffer


def test_old_transforms_are_forgotten():
    buffer = _moving()

    with pytest.raises(TransformError, match="into the past"):
        buffer.find("odom", "base", 5 * SECOND)
    buffer.insert("odom", "base", _pose(-1), 5 * SECOND, False)
    with pytest.raises(TransformError, match="into the past"):
        buffer.find("odom", "base", 5 * SECOND)


@pytest.mark.parametrize("late", [[17.5], [17.5, 17.6], [12.0, 12.1, 19.5, 12.2, 12.3]])
def test_late_transforms_take_their_place_and_wipe_nothing(late):
    buffer = _moving()

    for second in late:
        buffer.insert("odom", "base", _pose(second), round(second * SECOND), False)

    for second in (*late, 11.0, 15.25, 19.0):
        found = buffer.find("odom", "base", round(second * SECOND))
        assert found[0, 3] == pytest.approx(second)


def test_transforms_that_stay_behind_mean_that_time_jumped_back():
    buffer = _moving()
    buffer.insert("base", "lens", _pose(100), 0, True)

    for second in (2.0, 2.1, 2.2):
        buffer.insert("odom", "base", _pose(-second), round(second * SECOND), False)

    assert buffer.find("odom", "lens", 0)[0, 3] == pytest.approx(97.8)
    assert buffer.find("odom", "base", 2_050_000_000)[0, 3] == pytest.approx(-2.05)
    with pytest.raises(TransformError, match="into the future"):
        buffer.find("odom", "base", 19 * SECOND)


def test_cleared_it_keeps_what_is_static():
    buffer = _moving()
    buffer.insert("base", "lens", _pose(100), 0, True)

    buffer.clear()

    assert buffer.children("base") == ["lens"]
    assert buffer.find("base", "lens", 5)[0, 3] == 100
    with pytest.raises(TransformError, match="does not connect"):
        buffer.find("odom", "base", 0)


def test_a_long_gap_is_not_interpolated():
    buffer = TfBuffer(kept=60 * SECOND, max_gap=SECOND)
    for second in (10, 11, 31):
        buffer.insert("odom", "base", _pose(second), second * SECOND, False)

    assert buffer.find("odom", "base", 10 * SECOND + SECOND // 2)[0, 3] == 10.5
    assert buffer.find("odom", "base", 31 * SECOND)[0, 3] == 31
    with pytest.raises(TransformError, match=r"gap of 20\.000 s is longer than `max_gap`, 1 s"):
        buffer.find("odom", "base", 12 * SECOND)


def test_a_leading_slash_and_another_parent():
    buffer = TfBuffer()
    buffer.insert("/odom", "/base", _pose(1), 0, True)
    assert buffer.find("odom", "/base", 7)[0, 3] == 1

    buffer.insert("map", "base", _pose(2), 0, True)

    assert buffer.find("map", "base", 7)[0, 3] == 2
    with pytest.raises(TransformError):
        buffer.find("odom", "base", 7)


def _admitted(gate, xs, confirmations=3):
    return [gate.admit(_pose(x), 0.5, 0.3, confirmations) for x in xs]


def test_the_gate_opens_once_answers_agree():
    gate = JumpGate()

    assert _admitted(gate, [0, 0.1, 0.2, 0.3]) == [False, False, True, True]
    assert _admitted(gate, [5, 0.3, 5, 5.1, 0.2]) == [False, True, False, False, True]
    assert _admitted(gate, [5, 5.1, 5.2, 5.2]) == [False, False, True, True]
    gate.reset()
    assert _admitted(gate, [5]) == [False]


def test_the_gate_minds_turns_and_can_stand_open():
    gate = JumpGate()
    assert _admitted(gate, [0], confirmations=1) == [True]

    assert not gate.admit(_pose(0, 1.0), 0.5, 0.3, 2)
    assert gate.admit(_pose(0, 1.1), 0.5, 0.3, 2)


def test_what_only_confirms_odometry_speaks_for_no_jump():
    gate = JumpGate()
    _admitted(gate, [0, 0, 0])

    assert _admitted(gate, [5], confirmations=3) == [False]
    assert not any(gate.admit(_pose(5), 0.5, 0.3, 3, fresh=False) for _ in range(5))
    assert gate.agreeing == 1
    assert gate.admit(_pose(0.1), 0.5, 0.3, 3, fresh=False)
