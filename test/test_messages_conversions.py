# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Stamps, poses, cameras and priors between messages and the core."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from geometry_msgs.msg import Pose, PoseWithCovarianceStamped
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import CameraError
from mast3r_ros.messages import conversions
from mast3r_ros.ros.prior import Prior
from mast3r_ros.ros.tf.source import TransformError

pytestmark = pytest.mark.ros


@given(st.integers(-(2**31) * 10**9, 2**31 * 10**9 - 1))
def test_stamps_there_and_back(nanoseconds):
    assert conversions.to_nanoseconds(conversions.to_stamp(nanoseconds)) == nanoseconds


def test_poses_there_and_back():
    pose = transforms.make(transforms.rotation_from_vector([0.3, -2.0, 1.0]), [1, 2, 3])

    np.testing.assert_allclose(conversions.to_pose(conversions.from_pose(pose)), pose, atol=1e-12)
    np.testing.assert_allclose(
        conversions.from_transform(conversions.to_transform(pose)), pose, atol=1e-12
    )


def test_a_pose_that_is_none():
    message = Pose()
    message.orientation.w = 0.0
    with pytest.raises(ValueError, match="not a pose"):
        conversions.to_pose(message)


def _info(**changes):
    message = CameraInfo(width=640, height=480, distortion_model="plumb_bob")
    message.k = [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]
    message.p = [400.0, 0.0, 310.0, 0.0, 0.0, 410.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    message.d = [0.1, 0.01, 0.0, 0.0, 0.0]
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_a_camera_of_raw_and_of_rectified_images():
    raw, rectified = (conversions.to_camera(_info(), flag) for flag in (False, True))

    assert (raw.fx, raw.fy, raw.cx, raw.cy, raw.distortion[0]) == (500, 510, 320, 240, 0.1)
    assert (rectified.fx, rectified.fy, rectified.cx, rectified.cy) == (400, 410, 310, 230)
    assert rectified.distortion == ()


def test_a_rectified_camera_without_p_has_k_where_there_is_no_distortion():
    camera = conversions.to_camera(_info(p=[0.0] * 12, d=[]), True)

    assert (camera.fx, camera.cy) == (500, 240)
    with pytest.raises(CameraError, match="is the camera calibrated"):
        conversions.to_camera(_info(p=[0.0] * 12), True)


def test_no_model_means_plumb_bob():
    camera = conversions.to_camera(_info(distortion_model="", d=[]), False)

    assert (camera.model, camera.distortion) == ("plumb_bob", ())


def test_binning_and_window_move_the_intrinsics():
    message = _info(binning_x=2, binning_y=2)
    message.roi.x_offset, message.roi.y_offset = 100, 50
    message.roi.width, message.roi.height = 200, 100

    camera = conversions.to_camera(message, False)

    assert (camera.width, camera.height, camera.fx) == (100, 50, 250)
    # Pixel centers at integers: the middle of pixels 100 and 101 is pixel 0 of the binned image.
    assert camera.cx == pytest.approx((320 - 100 + 0.5) / 2 - 0.5)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"k": [0.0] * 9}, "is the camera calibrated"),
        ({"k": [float("nan")] * 9}, "must be finite"),
        ({"width": 0}, "0x480"),
        ({"distortion_model": "funhouse"}, "distortion model 'funhouse'"),
        ({"d": [0.1, 0.2]}, "2 coefficients"),
        ({"binning_x": 1000}, "leaves nothing"),
    ],
)
def test_what_is_no_camera(changes, told):
    with pytest.raises(CameraError, match=told):
        conversions.to_camera(_info(**changes), False)


class _Tf:
    def __init__(self, pose=None):
        self._pose = pose

    def find(self, target, source, stamp):
        assert (target, source, stamp) == ("base_link", "camera", 0)
        if self._pose is None:
            raise TransformError("not known")
        return self._pose


def _prior(frame_id="map", **changes):
    message = PoseWithCovarianceStamped()
    message.header.frame_id = frame_id
    message.pose.pose.position.x = 3.0
    message.pose.covariance = np.diag([0.25] * 6).ravel()
    for name, value in changes.items():
        setattr(message.pose, name, value)
    return Prior.from_message(message, "map", "base_link")


def test_a_prior_speaks_of_the_base():
    base_camera = transforms.make(np.eye(3), [0.1, 0.2, 0.3])

    found = _prior().for_camera("camera", _Tf(base_camera))

    np.testing.assert_allclose(found.pose[:3, 3], [3.1, 0.2, 0.3])
    np.testing.assert_allclose(np.diag(found.covariance), 0.25)


def test_without_tf_the_camera_looks_ahead():
    found = _prior("/map").for_camera("camera", _Tf())

    np.testing.assert_allclose(found.pose[:3, 2], [1, 0, 0])  # optical z is the body's x
    np.testing.assert_allclose(found.pose[:3, 1], [0, 0, -1])  # optical y points down
    assert _prior().age >= 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"frame_id": "odom"}, "prior in frame 'odom': expected 'map'"),
        ({"covariance": [float("nan")] * 36}, "covariance"),
        ({"covariance": -np.eye(6).ravel()}, "covariance"),
    ],
)
def test_what_is_no_prior(arguments, told):
    with pytest.raises(ValueError, match=told):
        _prior(**arguments)
