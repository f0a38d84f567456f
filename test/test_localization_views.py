# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Queries of several views: one pose of the body, from cameras and from the last seconds."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import camera_pose, make_camera
from told import ToldFrontEnd, numbered

from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.retrieval import PosePrior
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.other_poses import _parts
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Reason
from mast3r_ros.localization.view import MatchedView, View, same_instants
from mast3r_ros.matching.correspondences import Correspondences

_CAMERA = make_camera()
_SIZE = (_CAMERA.width, _CAMERA.height)
_KEYFRAMES = [camera_pose(1.0, 2.0, 0.5, turn=0.4), camera_pose(1.4, 1.9, 0.4, turn=0.3)]
_BODY = camera_pose(1.2, 2.1, 0.1, turn=0.35)
_MOUNTS = [
    transforms.perturb(np.eye(4), [0.2, 0.0, 0.1, 0.0, 0.1, 0.0]),
    transforms.perturb(np.eye(4), [-0.2, 0.1, 0.0, 0.1, -0.2, 0.0]),
]
_STEP = np.diag([0.005, 0.005, 0.005, 0.003, 0.003, 0.003]) ** 2


class _PairedFrontEnd(ToldFrontEnd):
    """Knows what each keyframe has in common with each query."""

    def match(self, references, query, *, query_points=False):
        number = int(query.number[0])
        return [self.matches[int(reference.number[0]), number] for reference in references]


def _common(
    keyframe, camera, seed, count=150, points=True, noise=0.3, wild=False, depths=(1.5, 5.0)
):
    """Matches of a keyframe with a camera, both at their true poses."""
    random = np.random.default_rng(seed)
    pixels = random.uniform((0.05, 0.05), (0.95, 0.95), (count, 2)) * _SIZE
    ahead = _CAMERA.unproject(pixels, random.uniform(*depths, count))
    seen = transforms.apply(transforms.inverse(keyframe) @ camera, ahead)
    reference = _CAMERA.project(seen)
    kept = np.isfinite(reference).all(axis=1)
    noisy = pixels + random.normal(0, noise, pixels.shape)
    if wild:
        noisy = random.uniform(0, 1, noisy.shape) * _SIZE
    known = seen if points else np.full_like(seen, np.nan)
    return Correspondences(
        reference[kept].astype(np.float32),
        noisy[kept].astype(np.float32),
        np.full(int(kept.sum()), 0.5, np.float32),
        known[kept].astype(np.float32),
        np.full(int(kept.sum()), 0.002, np.float32),
        metric=points,
    )


def _relocalizer(cameras, keyframes=_KEYFRAMES, wild=(), seed=0, **about):
    """A map of keyframes, told what it has in common with the image of each camera."""
    front_end = _PairedFrontEnd(
        {
            (k, 100 + c): _common(pose, camera, 10 * seed + k + 100 * c, wild=c in wild, **about)
            for k, pose in enumerate(keyframes)
            for c, camera in enumerate(cameras)
        }
    )
    keyframe_map = KeyframeMap(front_end)
    for number, pose in enumerate(keyframes):
        keyframe_map.add(numbered(number, _SIZE, camera=_CAMERA), pose)
    return Relocalizer(keyframe_map, RelocalizerOptions())


def _image(number):
    return numbered(100 + number, _SIZE, camera=_CAMERA)


def _assert_at(answer, pose, meters=0.02, radians=0.01):
    assert answer.reason is Reason.LOCALIZED, answer.message
    assert transforms.distance(answer.pose, pose) < meters
    assert transforms.rotation_angle(answer.pose, pose) < radians
    deviation = transforms.difference(answer.pose, pose)
    assert deviation @ np.linalg.solve(answer.covariance, deviation) < 22.5


def _history(count, step=0.15, seed=0):
    """True bodies, newest first, and how odometry with noise ties them to the newest."""
    random = np.random.default_rng(seed)
    bodies, then, covariance = [_BODY], np.eye(4), np.zeros((6, 6))
    tied = [(then, None)]
    for _ in range(count - 1):
        moved = transforms.perturb(np.eye(4), [-step, 0.0, -0.02, 0.0, 0.01, 0.0])
        bodies.append(bodies[-1] @ moved)
        noisy = transforms.perturb(moved, random.multivariate_normal(np.zeros(6), _STEP))
        lever = np.eye(6)
        lever[:3, 3:] = -transforms.skew(then[:3, :3] @ noisy[:3, 3])
        turn = np.kron(np.eye(2), then[:3, :3])
        covariance = lever @ covariance @ lever.T + turn @ _STEP @ turn.T
        then = then @ noisy
        tied.append((then, covariance))
    return bodies, tied


def test_one_view_that_is_the_body_is_the_image_itself():
    relocalizer = _relocalizer([_BODY])

    image = relocalizer.localize(_image(0))
    view = relocalizer.localize([View(_image(0))])

    _assert_at(image, _BODY)
    np.testing.assert_array_equal(view.pose, image.pose)
    np.testing.assert_array_equal(view.covariance, image.covariance)
    assert view.message == image.message


def test_a_camera_on_a_body_localizes_the_body():
    relocalizer = _relocalizer([_BODY @ _MOUNTS[0]])

    camera = relocalizer.localize(_image(0))
    body = relocalizer.localize([View(_image(0), _MOUNTS[0])])

    _assert_at(camera, _BODY @ _MOUNTS[0])
    _assert_at(body, _BODY)
    np.testing.assert_allclose(body.pose @ _MOUNTS[0], camera.pose, atol=2e-3)
    np.testing.assert_allclose(
        np.diag(body.covariance), np.diag(camera.covariance), rtol=0.3, atol=1e-6
    )


def test_an_image_of_the_past_localizes_the_body_of_now_with_the_errors_of_odometry():
    bodies, tied = _history(2)
    relocalizer = _relocalizer([bodies[1]])

    exact = relocalizer.localize([View(_image(0), np.eye(4), tied[1][0])])
    honest = relocalizer.localize([View(_image(0), np.eye(4), *tied[1])])

    _assert_at(honest, bodies[0], meters=0.05)
    added = honest.covariance - exact.covariance
    assert np.trace(added[3:, 3:]) == pytest.approx(np.trace(_STEP[3:, 3:]), rel=0.05)


def test_two_cameras_that_see_too_little_each_see_enough_together():
    relocalizer = _relocalizer([_BODY @ mount for mount in _MOUNTS], _KEYFRAMES[:1], count=24)
    views = [View(_image(i), mount) for i, mount in enumerate(_MOUNTS)]
    options = RelocalizerOptions(min_inliers=30)
    strict = Relocalizer(relocalizer.map, options)
    # Each image alone has 24 matches at the most, of which some are not seen by the keyframe.
    enough = Relocalizer(relocalizer.map, replace(options, min_inliers=24))

    assert all(not strict.localize([view]).localized for view in views)
    together = enough.localize(views)
    _assert_at(together, _BODY)
    assert together.inliers > 24
    assert {match.view for match in together.matches} == {0, 1}


def _cameras_of_a_robot(elsewhere):
    """Four cameras of a robot, some of which see what is seen from another place."""
    mounts = [*_MOUNTS, np.eye(4), camera_pose(z=0.2, turn=0.05)]
    away = camera_pose(1.1, 1.2, 0.3, turn=0.45)
    cameras = [(away if i in elsewhere else _BODY) @ mount for i, mount in enumerate(mounts)]
    return _relocalizer(cameras), [View(_image(i), mount) for i, mount in enumerate(mounts)]


def test_one_camera_of_a_robot_that_looks_like_another_place_is_overruled():
    relocalizer, views = _cameras_of_a_robot(elsewhere=(3,))

    _assert_at(relocalizer.localize(views), _BODY)


def test_two_cameras_of_a_robot_against_two_are_no_answer():
    relocalizer, views = _cameras_of_a_robot(elsewhere=(1, 3))

    answer = relocalizer.localize(views)

    assert answer.reason in (Reason.UNCERTAIN, Reason.DISAGREEING), answer.message


def test_images_of_one_instant_are_told_from_those_of_a_robot_that_stands():
    still = [MatchedView(_CAMERA, (), (), T_body_camera=mount) for mount in _MOUNTS]
    before = [replace(view, motion_covariance=_STEP) for view in still]
    driven = [replace(view, T_now_then=camera_pose(x=0.1)) for view in before]

    assert same_instants([*still, *before, *driven]).tolist() == [0, 0, 1, 1, 2, 2]


def test_the_images_of_the_last_seconds_make_the_pose_more_certain():
    bodies, tied = _history(5)
    relocalizer = _relocalizer(bodies)
    views = [View(_image(i), np.eye(4), *tied[i]) for i in range(5)]

    alone, together = relocalizer.localize(views[:1]), relocalizer.localize(views)

    _assert_at(alone, _BODY)
    _assert_at(together, _BODY)
    assert np.trace(together.covariance) < np.trace(alone.covariance)
    assert len(together.views) == 5
    assert min(together.views) > 0.9
    # Each keyframe's part of the answer is the pose of that view's camera.
    for match in together.matches:
        expected = transforms.inverse(_KEYFRAMES[match.keyframe_id]) @ bodies[match.view]
        assert transforms.distance(match.pose, expected) < 0.05


def test_an_image_that_sees_nothing_of_the_map_does_no_harm_and_is_named():
    bodies, tied = _history(4)
    relocalizer = _relocalizer(bodies, wild=(0, 2))
    views = [View(_image(i), np.eye(4), *tied[i]) for i in range(4)]

    answer = relocalizer.localize(views)

    _assert_at(answer, _BODY, meters=0.04, radians=0.02)
    assert [ratio > 0.5 for ratio in answer.views] == [False, True, False, True]
    assert not relocalizer.localize(views[:1]).localized


def test_directions_become_metric_as_soon_as_the_way_is_long_enough():
    bodies, tied = _history(6, step=0.25)
    # One keyframe without a single point: its images tell a direction, never meters.
    relocalizer = _relocalizer(bodies, _KEYFRAMES[:1], points=False)
    views = [View(_image(i), np.eye(4), *tied[i]) for i in range(6)]

    for view in views:
        assert relocalizer.localize(view.frame).reason is Reason.DIRECTION_ONLY
    answers = [relocalizer.localize(views[: count + 1]) for count in range(6)]

    metric = [answer.localized for answer in answers]
    moment = metric.index(True)
    # The way at that moment is what the geometry asks for: shorter ones are refused as directions.
    assert 1 <= moment <= 4
    assert metric == [False] * moment + [True] * (6 - moment)
    assert all(a.reason is Reason.DIRECTION_ONLY for a in answers[:moment])
    for answer in answers[moment:]:
        _assert_at(answer, _BODY, meters=0.2, radians=0.03)


def test_a_standing_robot_never_learns_the_meters():
    bodies, tied = [_BODY] * 5, [(np.eye(4), None)] * 5
    relocalizer = _relocalizer(bodies, _KEYFRAMES[:1], points=False)

    answer = relocalizer.localize([View(_image(i), np.eye(4), *tied[i]) for i in range(5)])

    assert answer.reason is Reason.DIRECTION_ONLY


def test_the_prior_of_the_body_is_moved_to_each_camera():
    covariance = np.diag([0.1, 0.1, 0.1, 0.2, 0.2, 0.2]) ** 2
    then = transforms.perturb(np.eye(4), [1.0, 0.0, 0.0, 0.0, 0.3, 0.0])
    prior = PosePrior(_BODY, covariance)

    moved = View(_image(0), _MOUNTS[0], then).prior(prior)

    np.testing.assert_allclose(moved.pose, _BODY @ then @ _MOUNTS[0])
    assert np.trace(moved.covariance[:3, :3]) > np.trace(covariance[:3, :3])
    assert View(_image(0)).prior(prior) is prior
    assert View(_image(0)).prior(None) is None


@pytest.mark.parametrize(
    ("views", "told"),
    [
        ([], "no views"),
        ([View(_image(0), np.zeros((4, 4)))], "T_body_camera"),
        ([View(_image(0), T_now_then=np.full((4, 4), np.nan))], "T_now_then"),
        ([View(_image(0), motion_covariance=np.eye(3))], "motion_covariance"),
    ],
)
def test_what_is_no_query_is_refused_by_name(views, told):
    with pytest.raises(ValueError, match=told):
        _relocalizer([_BODY]).localize(views)


def _no_generalized_samples(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("samples of all views were drawn")

    monkeypatch.setattr("mast3r_ros.geometry.generalized_pose.ransac", refuse)


def test_where_one_image_is_sure_no_samples_of_all_views_are_drawn(monkeypatch):
    bodies, tied = _history(4)
    relocalizer = _relocalizer(bodies, count=300)
    _no_generalized_samples(monkeypatch)

    views = [View(_image(i), np.eye(4), *motion) for i, motion in enumerate(tied)]

    _assert_at(relocalizer.localize(views), _BODY)


@pytest.mark.parametrize("kept", [300, 60])
def test_a_place_that_looks_alike_in_all_images_is_found_image_by_image(monkeypatch, kept):
    bodies, tied = _history(3)
    away = [transforms.perturb(pose, [6.0, 0, 0, 0, 0, 0]) for pose in _KEYFRAMES]
    relocalizer = _relocalizer(bodies, [*_KEYFRAMES, *away], count=300)
    known = relocalizer.map.front_end.matches
    for number in range(len(bodies)):
        for keyframe in (0, 1):
            if number:
                # Of the images before, a window keeps some of the matches.
                few = known[keyframe, 100 + number]
                known[keyframe, 100 + number] = few.select(np.arange(min(kept, len(few))))
            # As if the other place were this one.
            known[keyframe + 2, 100 + number] = known[keyframe, 100 + number]
    _no_generalized_samples(monkeypatch)

    views = [View(_image(i), np.eye(4), *motion) for i, motion in enumerate(tied)]

    assert relocalizer.localize(views).reason is Reason.AMBIGUOUS


def test_what_is_looked_for_in_each_image_adds_up_to_the_support_of_all():
    parts = _parts(np.array([1400, 70, 70, 0]), 300.0)

    assert sum(parts) == pytest.approx(300.0)
    assert min(parts) == parts[3] == 12  # fewer are chance
    # Samples of the newest image, too, find a pose of 300 among all in some hundred iterations.
    assert parts[0] / 1400 == pytest.approx(300 / 1540, rel=0.2)


def test_what_was_left_out_is_missing_until_it_is_matched_or_the_image_is_forgotten():
    keyframes = list(_relocalizer([_BODY], _KEYFRAMES).map)
    query = keyframes[0].description
    view = MatchedView(_CAMERA, (), (), query=query, unmatched=tuple(keyframes))

    assert [k.id for k in view.missing] == [0, 1]
    assert [k.id for k in replace(view, keyframes=(keyframes[0],)).missing] == [1]
    assert replace(view, query=None).missing == []
