# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The weights in the package: small, for robots with a camera, and good for a pose."""

import numpy as np
import pytest
from synthetic import camera_pose, make_camera, render

from mast3r_ros.frame import Frame
from mast3r_ros.frontends import create
from mast3r_ros.frontends.mast3r.frontend import Mast3rFrontEnd
from mast3r_ros.frontends.mast3r.options import Mast3rOptions
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Reason
from mast3r_ros.network.fetch import nano_checkpoint

QUERY = camera_pose(0.1, 0.05, 0.1, 0.05)


@pytest.fixture(scope="module")
def front_end() -> Mast3rFrontEnd:
    return create("mast3r", options=Mast3rOptions("torch", "nano", device="cpu"))


@pytest.fixture(scope="module")
def keyframes(front_end: Mast3rFrontEnd) -> KeyframeMap:
    """Two views of a wall, with their depth."""
    keyframes = KeyframeMap(front_end)
    for x in (0.0, 0.2):
        image, depth = render(camera_pose(x))
        keyframes.add(Frame(image, make_camera(), depth=depth), camera_pose(x))
    return keyframes


def test_they_are_small_and_take_rays(front_end: Mast3rFrontEnd) -> None:
    assert nano_checkpoint().stat().st_size < 8e6
    config = front_end.network.config
    assert (config.image_size, config.patch_size, config.rays) == (160, 8, True)
    assert front_end.needs_camera


def test_they_localize_by_a_map_with_depth(keyframes: KeyframeMap) -> None:
    answer = Relocalizer(keyframes).localize(Frame(render(QUERY)[0], make_camera()))
    assert answer.localized, answer.message
    assert answer.pose is not None
    assert transforms.distance(answer.pose, QUERY) < 0.1
    assert transforms.rotation_angle(answer.pose, QUERY) < np.deg2rad(3)


def test_they_do_not_localize_elsewhere(keyframes: KeyframeMap) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    noise = noise.repeat(10, 0).repeat(10, 1)
    camera = make_camera(640, 480)
    answer = Relocalizer(keyframes).localize(Frame(noise, camera))
    assert answer.reason is not Reason.LOCALIZED
