# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The scale of a network's meters by odometry: found, robust, and unknown where nobody drives."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import camera_pose
from test_localization_views import _CAMERA, _KEYFRAMES, _SIZE, _common, _PairedFrontEnd
from told import numbered

from mast3r_ros.evaluation.odometry import SimulatedOdometry
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.metric_scale import MetricScale, ScaleSample
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.solving import shared_errors
from mast3r_ros.localization.view import View
from mast3r_ros.localization.window import Window, WindowOptions

_START = camera_pose(1.2, 2.1, 0.1, turn=0.35)
_STEP = transforms.perturb(np.eye(4), [0.2, 0.05, 0.1, 0.0, 0.02, 0.0])
# Nano states so much for each point, and is as wrong from image to image [relative].
_STATED = 0.15


class _Network(_PairedFrontEnd):
    """Tells distances `scale` times too short, and each image's by a part of its own."""

    def __init__(self, bodies, scale, seed=0, wild=()):
        self.bodies, self.scale, self.seed, self.wild = bodies, scale, seed, wild
        self.pairs = 0
        super().__init__()

    def match(self, references, query, *, query_points=False):
        number = int(query.number[0])
        return [self._match(int(r.number[0]), number) for r in references]

    def _match(self, reference, query):
        of_pair = reference >= 100
        self.pairs += of_pair
        poses = [self._pose(n) for n in (reference, query)]
        found = _common(*poses, seed=[self.seed, reference, query])
        random = np.random.default_rng([self.seed, reference, query, 1])
        told = np.exp(random.normal(0, 0.1)) / self.scale
        if of_pair and reference - 100 in self.wild:
            told *= 3.0
        by = told * np.exp(random.normal(0, 0.1, len(found)))
        return replace(
            found,
            reference_points=(found.reference_points * by[:, None]).astype(np.float32),
            depth_sigma=np.full(len(found), _STATED, np.float32),
            predicted=True,
        )

    def _pose(self, number):
        return self.bodies[number - 100] if number >= 100 else _KEYFRAMES[number]


def _drive(count, scale, seed=0, step=_STEP, wild=(), options=None):
    """A window whose camera has driven; the pairs' scale alone is looked at."""
    bodies = [_START]
    while len(bodies) < count:
        back = len(bodies) // 12 % 2  # there and back, before the same scene
        bodies.append(bodies[-1] @ (transforms.inverse(step) if back else step))
    front_end = _Network(bodies, scale, seed, wild)
    keyframes = KeyframeMap(front_end)
    for number, pose in enumerate(_KEYFRAMES):
        keyframes.add(numbered(number, _SIZE, camera=_CAMERA), pose)
    window = Window(Relocalizer(keyframes), options)
    odometry = SimulatedOdometry(window.options, seed)
    for i, body in enumerate(bodies):
        stamp = round((1.0 + 0.4 * i) * 1e9)
        odom_body = odometry.at(stamp, body)
        view = window.relocalizer.match(View(_frame(i)), None, {})
        window._driven.take(view, odom_body, stamp, window.options.covariance_over, {})
    return window


@pytest.mark.parametrize("planted", [0.5, 0.7, 1.0, 1.4])
def test_a_planted_scale_is_found_within_its_deviation(planted):
    errors = []
    for seed in range(4):
        scale = _drive(50, planted, seed).relocalizer.scale
        assert scale.known
        assert scale.sigma < 0.1
        errors.append(np.log(scale.factor / planted) / scale.sigma)

    assert np.abs(errors).max() < 2.5
    assert np.sqrt(np.mean(np.square(errors))) < 1.5


def test_one_wrong_pair_in_five_does_not_move_it():
    scale = _drive(60, 0.7, wild=range(0, 60, 10)).relocalizer.scale

    assert scale.known
    assert abs(np.log(scale.factor / 0.7)) < 2 * scale.sigma


def test_a_robot_that_stands_or_turns_on_the_spot_knows_no_scale():
    for step in (np.eye(4), transforms.perturb(np.eye(4), [0.0, 0.0, 0.0, 0.0, 0.05, 0.0])):
        window = _drive(40, 0.7, step=step)

        assert window.relocalizer.map.front_end.pairs == 0
        assert str(window.relocalizer.scale) == "unknown"
        view = window.relocalizer.match(View(_frame(0)), None, {})
        assert window.relocalizer.scale.applied([view])[0].found[0] is view.found[0]


def test_odometry_that_is_too_noisy_says_nothing():
    scale = _drive(50, 0.7, options=WindowOptions(distance_noise=0.5)).relocalizer.scale

    assert (scale.samples, scale.known, scale.factor) == (0, False, 1.0)


def test_once_it_is_well_known_few_pairs_keep_it_up_to_date():
    first, later = (_drive(count, 1.4) for count in (75, 150))

    assert first.relocalizer.scale.sigma < 0.06
    pairs = [w.relocalizer.map.front_end.pairs for w in (first, later)]
    assert pairs[0] < pairs[1] < 1.5 * pairs[0]


def test_images_before_a_jump_are_not_compared_with_those_after_it():
    window = _drive(2, 0.7)

    window.reset()

    assert window._driven._before is None


def test_measured_points_are_left_as_they_are():
    found = _common(*_KEYFRAMES, seed=0)

    assert found.rescaled(0.5, 0.1) is found


def test_its_deviation_is_a_common_error_of_the_keyframes():
    window = _drive(50, 0.7)
    scale = window.relocalizer.scale
    view = window.relocalizer.match(View(_frame(0)), None, {})
    (scaled,) = scale.applied([view])

    before, after = (shared_errors([v], RelocalizerOptions()).sigmas[:, 6] for v in (view, scaled))

    np.testing.assert_allclose(before, _STATED / 2)
    # Two keyframes: their mean is as wrong as the scale is.
    np.testing.assert_allclose(after**2, before**2 + 2 * scale.sigma**2)
    (again,) = scale.applied([scaled])
    assert again.found[0] is scaled.found[0]
    np.testing.assert_allclose(
        scaled.found[0].reference_points, view.found[0].reference_points * scale.factor, rtol=1e-6
    )


def test_a_pose_by_points_of_another_scale_is_no_first_pose():
    window = _drive(50, 0.7)
    scale = window.relocalizer.scale
    matched = window.relocalizer.match(View(_frame(0)), None, {})
    sure = replace(matched, sure_pose=np.eye(4))

    (scaled,) = scale.applied([sure])
    (again,) = scale.applied([replace(scaled, sure_pose=np.eye(4))])
    (unknown,) = MetricScale().applied([sure])

    assert scaled.sure_pose is None
    assert again.sure_pose is not None  # by points of this very scale
    assert unknown.sure_pose is not None


def test_it_does_not_come_and_go():
    scale = MetricScale()
    for log_ratio in 3 * (0.0, 0.1, -0.1, 0.05, -0.05):
        scale.add(ScaleSample(log_ratio, 0.15))
    assert scale.known

    for log_ratio in 9 * (0.3, -0.3):
        scale.add(ScaleSample(log_ratio, 0.15))

    assert 0.1 < scale.sigma < 0.2
    assert scale.known


def _frame(number):
    return numbered(100 + number, _SIZE, camera=_CAMERA)
