# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images are matched where odometry expects them, if more is found there than by chance."""

from types import SimpleNamespace

import numpy as np
import pytest
from synthetic import camera_pose, make_camera

from mast3r_ros.frontends import create
from mast3r_ros.frontends.features import FeatureDescription
from mast3r_ros.geometry import transforms
from mast3r_ros.localization.expected import Expectation, seen_as_expected
from mast3r_ros.localization.view import MatchedView

_CAMERA = make_camera()
_SIZE = (_CAMERA.width, _CAMERA.height)
_COUNT = 600
_KEYFRAME = camera_pose(1.0, 2.0, 0.5, turn=0.4)
_BODY = camera_pose(1.3, 1.9, 0.4, turn=0.3)
_COVARIANCE = np.diag(np.square([0.01] * 3 + [0.004] * 3))


class _Map:
    """A map of one keyframe."""

    def __init__(self, keyframe):
        self.front_end = create("sift")
        self.keyframe = keyframe

    def near(self, center, radius):
        return np.array([0]), self.keyframe.pose[None]

    def __getitem__(self, number):
        return self.keyframe


def _described(keypoints, descriptors, points):
    return FeatureDescription(
        np.ones(4, np.float32),
        keypoints.astype(np.float32),
        descriptors.astype(np.float16),
        np.ones(len(keypoints), np.float32),
        points.astype(np.float32),
        np.full(len(keypoints), 0.01, np.float32),
        np.array(_SIZE),
    )


def _unit(random, count, channels=128):
    rows = random.normal(size=(count, channels))
    return rows / np.linalg.norm(rows, axis=1)[:, None]


def _scene(seed=0, alike=0.3, period=None):
    """A map, and an image whose descriptors are like the keyframe's by a cosine of about `alike`.

    With a `period` [pixels], the image shows most of the features again aside.
    """
    random = np.random.default_rng(seed)
    pixels = random.uniform(0.02, 0.98, (_COUNT, 2)) * _SIZE
    points = _CAMERA.unproject(pixels, random.uniform(2.0, 4.0, _COUNT))
    descriptors = _unit(random, _COUNT)
    keyframe = SimpleNamespace(
        id=0, pose=_KEYFRAME, camera=_CAMERA, description=_described(pixels, descriptors, points)
    )
    seen = _CAMERA.project(transforms.apply(transforms.inverse(_BODY) @ _KEYFRAME, points))
    inside = ((seen >= 0) & (seen < _SIZE)).all(1)
    there = alike * descriptors + np.sqrt(1.0 - alike**2) * _unit(random, _COUNT)
    places, rows = [seen[inside]], [there[inside]]
    most = inside & (np.arange(_COUNT) % 4 > 0)
    for step in () if period is None else range(-12, 13):
        places.append(seen[most] + [step * period, 0.0])
        rows.append(there[most])
    clutter = random.uniform(0, 1, (2 * _COUNT, 2)) * _SIZE
    found = np.concatenate([*places, clutter])
    rows = np.concatenate([*rows, _unit(random, len(clutter))])
    view = MatchedView(
        _CAMERA, (), (), query=_described(found, rows, np.full((len(found), 3), 1.0))
    )
    return _Map(keyframe), view


def _seen(scene, pose, covariance=_COVARIANCE):
    keyframes, view = scene
    return seen_as_expected(
        keyframes, view, Expectation(pose, covariance, np.eye(4), 0, 3.0, 1.0), 20
    )


def test_an_image_that_shows_the_map_as_expected_is_confirmed():
    off = transforms.perturb(_BODY, [0.005, 0.0, 0.01, 0.003, -0.003, 0.0])

    sight = _seen(_scene(), off)

    assert sight.found > 150
    assert sight.by_chance < 50


@pytest.mark.parametrize(
    ("scene", "moved", "covariance"),
    [
        # Carried away: there is nothing but chance where it should be.
        ({}, [0.6, 0.0, 0.0], _COVARIANCE),
        # Straight ahead: the middle is where it should be.
        ({}, [0.0, 0.0, 0.25], _COVARIANCE),
        # What is aside looks the same.
        ({"alike": 0.9, "period": 18.0}, [0.0, 0.0, 0.0], _COVARIANCE),
        # Odometry says too little of where it is.
        ({}, [0.0, 0.0, 0.0], 400.0 * _COVARIANCE),
    ],
    ids=["aside", "ahead", "repeated", "vague"],
)
def test_what_may_be_chance_is_not_confirmed(scene, moved, covariance):
    pose = _BODY @ transforms.make(np.eye(3), moved)

    assert _seen(_scene(**scene), pose, covariance) is None


def test_an_expectation_moves_with_odometry_and_its_noise():
    odometry = camera_pose(5.0, 1.0, 0.0)
    step = transforms.perturb(np.eye(4), [0.0, 0.0, 0.2, 0.0, 0.1, 0.0])
    noise = np.diag([0.02**2] * 3 + [0.01**2] * 3)
    asked = []

    before = Expectation(_BODY, _COVARIANCE, odometry, 10**9, 3.0, 1.0)
    after = before.moved(odometry @ step, 14 * 10**8, lambda *about: asked.append(about) or noise)

    np.testing.assert_allclose(after.pose, _BODY @ step, atol=1e-12)
    assert asked[0][1] == pytest.approx(0.4)
    np.testing.assert_allclose(asked[0][0], step, atol=1e-9)
    assert np.trace(after.covariance[3:, 3:]) == pytest.approx(3 * (0.004**2 + 0.01**2))
    assert np.trace(after.covariance[:3, :3]) > 3 * (0.01**2 + 0.02**2)
