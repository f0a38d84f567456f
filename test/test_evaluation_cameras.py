# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bags of several cameras: what one camera cannot see, another one does."""

import json

import bag_world
import numpy as np
import pytest
from evaluation_world import CAMERA, POSES, view
from test_cli import run

from mast3r_ros.cli.evaluate import EvaluationError
from mast3r_ros.datasets import SourceOptions, open_dataset
from mast3r_ros.evaluation.beside import Beside
from mast3r_ros.geometry import transforms

_BODY_SIDE = transforms.make(np.eye(3), [0.25, 0.0, 0.0])
_STEP = bag_world.STEP


def _messages(count=6):
    """A camera that is black after its first three images, and one beside it that is not."""
    yield from bag_world.tf_messages("/tf_static", ("base", "front", np.eye(4), _STEP))
    yield from bag_world.tf_messages("/tf_static", ("base", "side", _BODY_SIDE, _STEP))
    for i in range(count):
        stamp = (i + 1) * _STEP
        yield from bag_world.tf_messages("/tf", ("map", "base", POSES[i], stamp))
        for name, place in (("front", np.eye(4)), ("side", _BODY_SIDE)):
            when = stamp + (5_000_000 if name == "side" else 0)
            frame = view(POSES[i] @ place)
            image = np.zeros_like(frame.image) if name == "front" and i >= 3 else frame.image
            info = bag_world.camera_info(CAMERA, when, name)
            yield f"/{name}/camera_info", "sensor_msgs/msg/CameraInfo", when, info
            message = bag_world.image(image, "rgb8", when, name)
            yield f"/{name}/image_raw", "sensor_msgs/msg/Image", when, message
            if name == "front":
                depth = np.rint(frame.depth * 1000).astype(np.uint16)
                message = bag_world.image(depth, "16UC1", when, name)
                yield "/front/depth", "sensor_msgs/msg/Image", when, message
    # TF that the last images of the side camera lie within.
    last = (count + 1) * _STEP
    yield from bag_world.tf_messages("/tf", ("map", "base", POSES[count - 1], last))


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    return bag_world.write(tmp_path_factory.mktemp("rig") / "bag", _messages())


_SOURCE = ("--image-topic", "/front/image_raw", "--depth-topic", "/front/depth", "--max-gap", "10")
_ARGUMENTS = ("--every", "6", "--offset", "0", "--front-end", "sift", "--json", "-", *_SOURCE)


def _evaluate(bag, *arguments):
    (row,) = json.loads(run("evaluate", bag, *_ARGUMENTS, *arguments))["rows"]
    return row


def test_a_second_camera_localizes_what_the_first_one_does_not_see(bag):
    alone = _evaluate(bag)
    both = _evaluate(bag, "--cameras", "/side/image_raw")

    assert alone["queries"] == both["queries"] == 5
    assert alone["localized"] == pytest.approx(2 / 5)
    assert both["localized"] == 1.0
    assert both["within_10cm_2deg"] == 1.0


def test_images_of_an_instant_are_found_and_where_they_sit(bag):
    options = SourceOptions(image_topic="/front/image_raw", max_gap=10.0)
    queries = list(open_dataset(bag, options).posed())
    side = open_dataset(bag, SourceOptions(image_topic="/side/image_raw", max_gap=10.0))

    (beside,) = Beside([side]).views(queries[2])

    assert beside.frame.stamp == queries[2].stamp + 5_000_000
    np.testing.assert_allclose(beside.T_body_camera, _BODY_SIDE, atol=1e-3)
    assert not Beside().views(queries[2])


def test_what_does_not_fit_together_is_refused(bag):
    with pytest.raises(EvaluationError, match="leave out --cameras"):
        run("evaluate", bag, *_ARGUMENTS, "--cameras", "/side/image_raw", "--stress")
