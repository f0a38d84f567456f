# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The weights in the package: small, for robots with a camera, and good for a pose."""

import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic import OTHER_ROOM, camera_pose, make_camera, render, view

from mast3r_ros.frame import Frame
from mast3r_ros.frontends import create
from mast3r_ros.frontends.mast3r.frontend import Mast3rFrontEnd
from mast3r_ros.frontends.mast3r.options import Mast3rOptions
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe import Keyframe
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


def _depth_errors(keyframe: Keyframe, front_end: Mast3rFrontEnd) -> NDArray[np.float64]:
    """Relative errors of a keyframe's measured depths."""
    depth = keyframe.description.measured[..., 2].ravel().astype(float)
    u, v = np.rint(front_end.ray_pixels(keyframe.description)).astype(int).T
    errors = depth / view(keyframe.pose).depth[v, u] - 1.0
    return np.abs(errors[np.isfinite(errors)])


def test_keyframes_without_depth_measure_it_by_their_neighbors(front_end: Mast3rFrontEnd) -> None:
    poses = [camera_pose(0.0), camera_pose(0.3, 0.05)]
    alone, keyframes = KeyframeMap(front_end), KeyframeMap(front_end)
    for pose, some in zip((poses[0], *poses), (alone, keyframes, keyframes), strict=True):
        some.add(view(pose, depth=False), pose)
    assert alone[0].description.measured.size == 0

    query = view(QUERY, depth=False)
    unsure, answer = (Relocalizer(some).localize(query) for some in (alone, keyframes))

    for keyframe in keyframes:
        errors = _depth_errors(keyframe, front_end)
        assert len(errors) > 0.3 * 160 * 120
        assert np.median(errors) < 0.05
        assert (errors < 0.1).mean() > 0.9
        assert not keyframe.sensed
    # By predicted points alone, the pose is not sure enough.
    assert unsure.reason is Reason.UNCERTAIN
    assert answer.localized, answer.message
    assert transforms.distance(answer.pose, QUERY) < 0.03


def test_what_contradicts_the_prediction_is_not_measured(front_end: Mast3rFrontEnd) -> None:
    """The second keyframe is said to be a third as far from the first as it is."""
    keyframes = KeyframeMap(front_end)
    keyframes.add(view(camera_pose(0.0), depth=False), camera_pose(0.0))
    keyframes.add(view(camera_pose(0.6), depth=False), camera_pose(0.2))

    measured = keyframes[0].description.measured[..., 2]
    assert np.isfinite(measured).sum() < 0.05 * 160 * 120


def test_images_of_different_places_measure_nothing(front_end: Mast3rFrontEnd) -> None:
    """Some of their matches lie on their epipolar lines, by chance."""
    keyframes = KeyframeMap(front_end)
    keyframes.add(view(camera_pose(0.0), depth=False), camera_pose(0.0))
    keyframes.add(view(camera_pose(0.3), OTHER_ROOM, depth=False), camera_pose(0.3))

    assert [k.description.measured.size for k in keyframes] == [0, 0]
