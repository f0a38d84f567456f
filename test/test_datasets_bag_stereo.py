# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bags of a rectified stereo pair: the left images get their depth from the right ones."""

import bag_world
import numpy as np
import pytest
from evaluation_world import CAMERA, POSES, view

from mast3r_ros.datasets import RecordingError, SourceOptions, open_dataset
from mast3r_ros.geometry import transforms

_BASELINE = 0.12
_LEFT, _RIGHT = "/left/image_rect", "/right/image_rect"
_STEP = bag_world.STEP


def _projection(offset=0.0, shift=0.0):
    p = np.zeros((3, 4))
    p[:, :3] = CAMERA.matrix
    p[0, 2] += shift
    p[0, 3] = offset
    return p.ravel()


def _bag(path, right=None, count=2):
    """The wall of `synthetic` by two cameras; `right` is P of the right one, none without."""
    beside = transforms.make(np.eye(3), [_BASELINE, 0.0, 0.0])

    def messages():
        for i in range(count):
            stamp = (i + 1) * _STEP
            yield from bag_world.tf_messages("/tf", ("map", "lens", POSES[i], stamp))
            for topic, place, p in (
                (_LEFT, np.eye(4), _projection()),
                (_RIGHT, beside, right),
            ):
                pixels = view(POSES[i] @ place).image
                message = bag_world.image(pixels, "rgb8", stamp)
                yield topic, "sensor_msgs/msg/Image", stamp, message
                if p is not None:
                    info = bag_world.camera_info(CAMERA, stamp, p=p)
                    name = topic.replace("image_rect", "camera_info")
                    yield name, "sensor_msgs/msg/CameraInfo", stamp, info

    return bag_world.write(path, messages())


def _open(bag):
    return open_dataset(bag, SourceOptions(image_topic=_LEFT, right_topic=_RIGHT))


def test_the_depth_of_left_images_is_in_meters(tmp_path):
    bag = _bag(tmp_path / "bag", _projection(-CAMERA.fx * _BASELINE))

    for number, image in enumerate(_open(bag).posed()):
        found, truth = image.load(True).depth, view(POSES[number]).depth
        known = np.isfinite(found)
        assert known.mean() > 0.5
        assert np.median(np.abs(found[known] / truth[known] - 1)) < 0.02
        assert image.load(False).depth is None


@pytest.mark.parametrize(
    ("right", "message"),
    [
        (None, "no /right/camera_info"),
        (_projection(0.0), "is it the left one"),
        (_projection(-CAMERA.fx * _BASELINE, shift=3.0), "not rectified to one another"),
    ],
)
def test_a_pair_without_a_baseline_is_refused(tmp_path, right, message):
    with pytest.raises(RecordingError, match=message):
        _open(_bag(tmp_path / "bag", right))


def test_depth_has_one_source():
    with pytest.raises(ValueError, match="not from both"):
        SourceOptions(right_topic=_RIGHT, depth_topic="/depth")
