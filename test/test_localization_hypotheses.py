# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which of several first poses is the answer, and what the others say of its error."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import camera_pose, make_camera
from told import ToldFrontEnd, numbered

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.robust_pose import estimate
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization import solving
from mast3r_ros.localization.hypotheses import best_of
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.other_poses import widened
from mast3r_ros.localization.view import MatchedView
from mast3r_ros.matching.correspondences import Correspondences

_CAMERA = make_camera()
_QUERY = camera_pose(0.3, -0.1, 0.2, turn=-0.1)
_OTHER = camera_pose(-0.4, 0.2, 0.0, turn=0.2)
_OPTIONS = RelocalizerOptions()


def _seen(pose: np.ndarray, count: int, seed: int) -> Correspondences:
    """Matches of a keyframe at the origin with an image taken at a pose."""
    random = np.random.default_rng(seed)
    pixels = random.uniform(0, (_CAMERA.width, _CAMERA.height), (count, 2))
    points = transforms.apply(pose, _CAMERA.unproject(pixels, random.uniform(1.5, 5.0, count)))
    noisy = pixels + random.normal(0, 0.3, pixels.shape)
    return Correspondences(
        _CAMERA.project(points).astype(np.float32),
        noisy.astype(np.float32),
        np.ones(count, np.float32),
        points.astype(np.float32),
        np.full(count, 0.002, np.float32),
        metric=True,
    )


def _views(right: int, other: int) -> list[MatchedView]:
    """An image whose matches are divided between two poses."""
    size = (_CAMERA.width, _CAMERA.height)
    keyframes = KeyframeMap(ToldFrontEnd({}))
    for number in range(2):
        keyframes.add(numbered(number, size, camera=_CAMERA), np.eye(4))
    found = (_seen(_QUERY, right, 1), _seen(_OTHER, other, 2))
    return [MatchedView(_CAMERA, tuple(keyframes), found)]


def _best(views: list[MatchedView]):
    matches = solving.gather(views, [4.0], _OPTIONS)
    shared = solving.shared_errors(views, _OPTIONS)
    return [best_of(h, matches, shared, views, _OPTIONS) for h in ([_QUERY], [_OTHER, _QUERY])]


def test_the_pose_with_the_most_support_after_refinement_is_the_answer():
    alone, best = _best(_views(200, 40))

    assert transforms.distance(best.pose, _QUERY) < 0.03
    np.testing.assert_array_equal(best.covariance, alone.covariance)


def test_a_runner_up_that_explains_as_much_widens_the_covariance():
    alone, best = _best(_views(105, 95))

    assert transforms.distance(best.pose, _QUERY) < 0.03
    apart = transforms.difference(_OTHER, best.pose)
    assert apart @ np.linalg.solve(alone.covariance, apart) > 1000.0
    assert apart @ np.linalg.solve(best.covariance, apart) < 12.6


@pytest.mark.parametrize(("predicted", "low", "high"), [(True, 0.8, 1.6), (False, 0.0, 0.7)])
def test_further_images_say_nothing_new_of_points_that_a_network_guessed(predicted, low, high):
    """One keyframe, seen by one image, and by five that hardly moved: the guess is the same."""
    (first,) = _views(200, 20)
    keyframes = first.keyframes[:1]
    options = replace(
        _OPTIONS, keyframe_position_sigma=0.0, keyframe_rotation_sigma=0.0, rolling_shutter=0.0
    )
    covariances = []
    for count in (1, 5):
        found = [replace(_seen(_QUERY, 200, 1 + i), predicted=predicted) for i in range(count)]
        tied = [None, *[1e-12 * np.eye(6)] * (count - 1)]
        views = [
            MatchedView(_CAMERA, keyframes, (one,), motion_covariance=motion)
            for one, motion in zip(found, tied, strict=True)
        ]
        matches = solving.gather(views, [4.0] * count, options)
        shared = solving.shared_errors(views, options)
        covariances.append(estimate(_QUERY, matches, shared).covariance)
    shrunk = np.sqrt(np.trace(covariances[1][:3, :3]) / np.trace(covariances[0][:3, :3]))
    assert low < shrunk < high


def test_no_pose_to_refine_is_no_answer():
    views = _views(100, 20)
    matches = solving.gather(views, [4.0], _OPTIONS)

    assert best_of([], matches, solving.shared_errors(views, _OPTIONS), views, _OPTIONS) is None


@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_a_rival_that_is_right_with_a_probability_adds_its_distance(probability):
    alone, _ = _best(_views(200, 40))
    rival = replace(alone, pose=_OTHER)

    added = widened(alone, [rival], [probability]).covariance - alone.covariance

    apart = transforms.difference(_OTHER, alone.pose)
    np.testing.assert_allclose(added, probability * np.outer(apart, apart), atol=1e-12)


def test_a_plane_that_bends_with_the_readout_is_as_uncertain_as_a_still_camera_says():
    # A board of 1.2 m seen through a long lens from 8 m: its tilt and a turn look alike.
    random = np.random.default_rng(1)
    long = replace(_CAMERA, fx=5.0 * _CAMERA.fx, fy=5.0 * _CAMERA.fy)
    tilted, turned = (transforms.rotation_from_vector(v) for v in ([0, 0.4, 0], [0.2, 0, 0]))
    turn = tilted @ turned
    query = transforms.make(turn, np.array([0.0, 0.0, 2.0]) - 8.0 * turn[:, 2])
    points = np.column_stack([random.uniform(-0.6, 0.6, (250, 2)), np.full(250, 2.0)])
    seen = long.project(transforms.apply(transforms.inverse(query), points))
    found = Correspondences(
        _CAMERA.project(points).astype(np.float32),
        (seen + random.normal(0, 0.7, seen.shape)).astype(np.float32),
        np.ones(250, np.float32),
        points.astype(np.float32),
        np.full(250, 0.005, np.float32),
        metric=True,
    )
    views = [replace(_views(10, 10)[0], camera=long, found=(found, found.select(np.arange(0))))]
    matches = solving.gather(views, [4.0], _OPTIONS)
    shared = solving.shared_errors(views, _OPTIONS)
    turning, still = (estimate(query, m, shared) for m in (matches, replace(matches, readout=None)))

    best = best_of([query], matches, shared, views, _OPTIONS)

    assert transforms.distance(turning.pose, still.pose) > 0.2
    assert np.trace(best.covariance[:3, :3]) > 1.5 * np.trace(turning.covariance[:3, :3])


def test_a_pose_that_may_slide_is_looked_for_on_both_sides():
    """Through a long lens, a walk around a thing hardly changes its image: 5 pixels for 1 m."""
    random = np.random.default_rng(1)
    long = replace(_CAMERA, fx=5.0 * _CAMERA.fx, fy=5.0 * _CAMERA.fy)
    pixels = random.uniform((0, 0), (_CAMERA.width / 2, _CAMERA.height), (320, 2))
    points = long.unproject(pixels, random.uniform(9.5, 10.5, 320))
    middle, turn = points.mean(0), transforms.rotation_from_vector([0.0, 0.11, 0.0])
    around = transforms.make(turn, middle - turn @ middle)
    # The last matches are of a pattern that repeats: they agree with a pose beside the right one.
    pixels[200:] = long.project(transforms.apply(transforms.inverse(around), points[200:]))
    found = Correspondences(
        _CAMERA.project(points).astype(np.float32),
        (pixels + random.normal(0, 0.3, pixels.shape)).astype(np.float32),
        np.ones(320, np.float32),
        points.astype(np.float32),
        np.full(320, 0.002, np.float32),
        metric=True,
    )
    views = [replace(_views(10, 10)[0], camera=long, found=(found, found.select(np.arange(0))))]
    options = replace(
        _OPTIONS, keyframe_position_sigma=0.0, keyframe_rotation_sigma=0.0, rolling_shutter=0.0
    )
    matches = solving.gather(views, [4.0], options)
    shared = solving.shared_errors(views, options)

    alone = estimate(around, matches, shared)
    best = best_of([around], matches, shared, views, options)

    assert np.linalg.norm(alone.pose[:3, 3]) > 0.8
    assert np.linalg.norm(best.pose[:3, 3]) < 0.05
