# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Every end that a query can come to, and that a pose which is given is right."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import OTHER_ROOM, camera_pose, make_camera, view
from told import ToldFrontEnd, TwiceToldFrontEnd, numbered

from mast3r_ros.common.errors import UserError
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import FrontEndError
from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.retrieval import PosePrior
from mast3r_ros.localization import relocalizer, second_look, solving
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.protection import protection_level
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import KeyframeMatch, Localization, Reason
from mast3r_ros.localization.view import View
from mast3r_ros.matching.correspondences import Correspondences

_CAMERA = make_camera()
_SIZE = np.array([_CAMERA.width, _CAMERA.height])
_KEYFRAME = camera_pose(1.0, 2.0, 0.5, turn=0.4)
_QUERY = _KEYFRAME @ camera_pose(0.3, -0.1, 0.2, turn=-0.1)


def _matches(
    query_pose=_QUERY,
    keyframe_pose=_KEYFRAME,
    count=150,
    noise=0.3,
    window=((0.05, 0.05), (0.95, 0.95)),
    depth=(1.5, 5.0),
    seed=0,
) -> Correspondences:
    """What a keyframe and a query at a pose have in common."""
    random = np.random.default_rng(seed)
    low, high = np.array(window) * _SIZE
    pixels = random.uniform(low, high, (count, 2))
    points = _CAMERA.unproject(pixels, random.uniform(*depth, count))
    in_keyframe = transforms.apply(transforms.inverse(keyframe_pose) @ query_pose, points)
    reference = _CAMERA.project(in_keyframe)
    kept = np.isfinite(reference).all(axis=1)
    noisy = pixels + random.normal(0, noise, pixels.shape)
    return Correspondences(
        reference[kept].astype(np.float32),
        noisy[kept].astype(np.float32),
        random.uniform(0.2, 1.0, count).astype(np.float32)[kept],
        in_keyframe[kept].astype(np.float32),
        np.full(kept.sum(), 0.002, np.float32),
        metric=True,
    )


def _wild(count: int, seed: int = 1) -> Correspondences:
    """Matches at random."""
    random = np.random.default_rng(seed)
    pixels = random.uniform(0, _SIZE, (2, count, 2)).astype(np.float32)
    points = _CAMERA.unproject(pixels[0], random.uniform(1.5, 5.0, count)).astype(np.float32)
    ones = np.ones(count, np.float32)
    return Correspondences(*pixels, ones, points, 0.002 * ones, metric=True)


def _joined(*parts: Correspondences) -> Correspondences:
    names = ("reference_pixels", "query_pixels", "confidence", "reference_points", "depth_sigma")
    arrays = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
    return Correspondences(*arrays, metric=True)


def _without_points(found: Correspondences, but: int = 0) -> Correspondences:
    points = found.reference_points.copy()
    points[but:] = np.nan
    return replace(found, reference_points=points, metric=but > 0)


def _with_query_points(found: Correspondences, keyframe_pose: np.ndarray) -> Correspondences:
    moved = transforms.inverse(_QUERY) @ keyframe_pose
    points = transforms.apply(moved, found.reference_points).astype(np.float32)
    if found.confidence.min() == 1.0:
        # Matches at random have points at random.
        points = np.random.default_rng(9).permutation(points)
    return replace(found, query_points=points)


def _locate(
    *told: tuple[np.ndarray, Correspondences], sensed: bool = False, **options
) -> Localization:
    """Localize among keyframes of given poses and matches."""
    front_end = ToldFrontEnd({number: found for number, (_, found) in enumerate(told)})
    return _locate_by(front_end, *told, sensed=sensed, **options)


def _locate_by(
    front_end: ToldFrontEnd,
    *told: tuple[np.ndarray, Correspondences],
    sensed: bool = False,
    **options,
) -> Localization:
    keyframes = KeyframeMap(front_end)
    for number, (pose, _) in enumerate(told):
        size = (_CAMERA.width, _CAMERA.height)
        depth = np.ones(size[::-1], np.float32) if sensed else None
        keyframes.add(numbered(number, size, camera=_CAMERA, depth=depth), pose)
    relocalizer = Relocalizer(keyframes, RelocalizerOptions(**options))
    query = numbered(0, (_CAMERA.width, _CAMERA.height), camera=_CAMERA)
    return relocalizer.localize(query)


def _assert_refused(answer: Localization, reason: Reason) -> None:
    assert answer.reason is reason, answer.message
    assert answer.message.startswith(reason.value)
    assert not answer.localized
    assert answer.pose is None
    assert answer.covariance is None
    assert answer.confidence == 0.0
    assert answer.keyframes == ()


def _assert_at(answer: Localization, pose: np.ndarray, meters=0.02, radians=0.01) -> None:
    assert answer.reason is Reason.LOCALIZED, answer.message
    assert transforms.distance(answer.pose, pose) < meters
    assert transforms.rotation_angle(answer.pose, pose) < radians
    covariance = answer.covariance
    assert np.isfinite(covariance).all()
    np.testing.assert_allclose(covariance, covariance.T, rtol=1e-9)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert 0.0 < answer.confidence < 1.0
    assert answer.inliers == sum(int(match.inliers.sum()) for match in answer.matches)


def test_a_pose_from_matches_with_points():
    answer = _locate((_KEYFRAME, _matches()))

    _assert_at(answer, _QUERY)
    assert answer.keyframes == (0,)
    assert set(answer.timings) == {"describe", "retrieve", "match", "solve"}
    assert not answer.camera_estimated
    assert all(seconds >= 0 for seconds in answer.timings.values())


def test_one_pose_over_all_keyframes():
    other = _KEYFRAME @ camera_pose(0.6, 0.0, 0.1)
    told = (_KEYFRAME, _matches(count=60)), (other, _matches(keyframe_pose=other, count=90, seed=2))

    answer = _locate(*told, (camera_pose(50.0), _wild(40)))

    _assert_at(answer, _QUERY)
    # Most inliers first; the keyframe of another place has no say.
    assert answer.keyframes[:2] == (1, 0)
    keyframes = {0: _KEYFRAME, 1: other}
    for match in answer.matches[:2]:
        np.testing.assert_allclose(
            keyframes[match.keyframe_id] @ match.pose, answer.pose, atol=1e-9
        )
        assert match.metric
        assert 0.2 < match.confidence < 1.0
        turn = transforms.inverse(keyframes[match.keyframe_id])
        np.testing.assert_allclose(
            match.covariance, transforms.rotate_covariance(answer.covariance, turn)
        )
    blind = answer.matches[2]
    assert blind.inliers.sum() <= 2
    assert (blind.pose is None) == (not blind.inliers.any())


def test_wrong_matches_are_not_inliers():
    right, wrong = _matches(count=80), _wild(60)

    answer = _locate((_KEYFRAME, _joined(right, wrong)))

    _assert_at(answer, _QUERY)
    (match,) = answer.matches
    assert match.inliers[: len(right)].mean() > 0.9
    assert match.inliers[len(right) :].mean() < 0.1


def test_rays_carry_a_pose_whose_points_are_few():
    other = _KEYFRAME @ camera_pose(0.6, 0.0, 0.1)
    few = _without_points(_matches(count=150), but=15)
    none = _without_points(_matches(keyframe_pose=other, count=150, seed=2))

    answer = _locate((_KEYFRAME, few), (other, none))

    _assert_at(answer, _QUERY, 0.05, 0.02)
    assert answer.inliers > 200


@pytest.mark.parametrize("method", ["pnp", "essential", "procrustes"])
def test_every_method_gives_the_pose(method):
    other = _KEYFRAME @ camera_pose(0.6, 0.0, 0.1)
    told = [
        (pose, _with_query_points(_matches(keyframe_pose=pose, seed=seed), pose))
        for seed, pose in enumerate((_KEYFRAME, other))
    ]

    _assert_at(_locate(*told, pose_method=method), _QUERY, 0.05, 0.02)


@pytest.mark.parametrize("method", ["pnp", "essential", "procrustes"])
def test_no_method_makes_a_pose_of_chance(method):
    told = _with_query_points(_wild(150), _KEYFRAME)

    assert not _locate((_KEYFRAME, told), pose_method=method).localized


def test_procrustes_needs_points_of_the_query():
    with pytest.raises(FrontEndError, match="no points of the query"):
        _locate((_KEYFRAME, _matches()), pose_method="procrustes")


def test_a_sparse_front_end_has_no_points_for_procrustes(sift):
    relocalizer = Relocalizer(_walk(sift, True, 1), RelocalizerOptions(pose_method="procrustes"))

    with pytest.raises(UserError, match="procrustes needs front end mast3r"):
        relocalizer.localize(view(_SEEN, depth=False))


def test_noise_of_the_depth_sensor_makes_an_answer_less_certain():
    told = (_KEYFRAME, _matches(noise=1.0))
    exact = {"keyframe_position_sigma": 0.0, "keyframe_rotation_sigma": 0.0}
    traces = [
        np.trace(_locate(told, depth_noise=noise, sensed=sensed, **exact).covariance)
        for sensed in (True, False)
        for noise in (0.0, 0.02)
    ]

    assert traces[1] > 1.15 * traces[0]
    # Points that no sensor measured have no sensor's noise.
    assert traces[2] == traces[3] == traces[0]


def test_a_known_point_needs_a_deviation():
    found = _matches()

    with pytest.raises(ValueError, match="needs a deviation above 0"):
        replace(found, depth_sigma=np.zeros_like(found.depth_sigma))
    with pytest.raises(ValueError, match="expected"):
        replace(found, depth_sigma=found.depth_sigma[1:])


def test_an_empty_map():
    keyframes = KeyframeMap(ToldFrontEnd())

    _assert_refused(Relocalizer(keyframes).localize(numbered(0)), Reason.EMPTY_MAP)


def test_coarse_matches_are_judged_coarsely():
    rng = np.random.default_rng(0)
    matches = _matches(count=60)
    noisy = replace(
        matches,
        query_pixels=(matches.query_pixels + rng.uniform(-8, 8, (60, 2))).astype(np.float32),
    )
    keyframes = KeyframeMap(ToldFrontEnd({0: noisy}))
    keyframes.add(numbered(0, camera=make_camera(64, 48)), _KEYFRAME)
    query = numbered(0, (_CAMERA.width, _CAMERA.height), camera=_CAMERA)
    still = RelocalizerOptions(rolling_shutter=0.0)
    sharp = Relocalizer(keyframes, still).localize(query)
    asked = []
    keyframes.front_end.pixel_error_scale = lambda size: asked.append(size) or 3.0
    coarse = Relocalizer(keyframes, still).localize(query)

    assert coarse.inliers >= 58 > sharp.inliers
    assert asked == [(_CAMERA.width, _CAMERA.height)]


def test_errors_in_common_make_an_answer_less_certain():
    keyframe = numbered(0, camera=make_camera(64, 48))
    query = numbered(0, (_CAMERA.width, _CAMERA.height), camera=_CAMERA)
    answers = []
    exact = RelocalizerOptions(keyframe_position_sigma=0.0, keyframe_rotation_sigma=0.0)
    for correlation in (1.0, 2.0):
        told = replace(_matches(), correlation=correlation)
        keyframes = KeyframeMap(ToldFrontEnd({0: told}))
        keyframes.add(keyframe, _KEYFRAME)
        answers.append(Relocalizer(keyframes, exact).localize(query))
    alone, together = (answer.covariance for answer in answers)
    np.testing.assert_allclose(np.diag(together), 4 * np.diag(alone), rtol=0.15)


def test_an_unknown_camera():
    keyframes = KeyframeMap(ToldFrontEnd())
    keyframes.add(numbered(0), np.eye(4))

    _assert_refused(Relocalizer(keyframes).localize(numbered(0)), Reason.NO_CAMERA)


class _KnowsCameras(ToldFrontEnd):
    """Can do without intrinsics, unless told otherwise."""

    needs_camera = False

    def estimate_camera(self, description, size):
        """Always the right ones."""
        return make_camera(*size)


def test_a_front_end_may_know_the_camera():
    keyframes = KeyframeMap(_KnowsCameras({0: _matches()}))
    keyframes.add(numbered(0), _KEYFRAME)

    answer = Relocalizer(keyframes).localize(numbered(0, (_CAMERA.width, _CAMERA.height)))

    _assert_at(answer, _QUERY)
    assert answer.camera_estimated

    keyframes.front_end.needs_camera = True
    _assert_refused(Relocalizer(keyframes).localize(numbered(0)), Reason.NO_CAMERA)


def test_few_matches():
    answer = _locate((_KEYFRAME, _matches(count=10)), (_KEYFRAME, _matches(count=0)))

    _assert_refused(answer, Reason.FEW_MATCHES)
    assert "10 at the most" in answer.message
    assert [len(match.correspondences) for match in answer.matches] == [10, 0]
    assert [match.confidence for match in answer.matches] == [0.0, 0.0]


@pytest.mark.parametrize("seed", range(8))
def test_matches_at_random_are_never_a_pose(seed):
    answer = _locate((_KEYFRAME, _wild(150, seed)), (camera_pose(3.0), _wild(150, seed + 100)))

    assert not answer.localized, answer.message


def test_few_inliers():
    _assert_refused(_locate((_KEYFRAME, _wild(30))), Reason.FEW_INLIERS)


def test_an_option_asks_for_more_inliers():
    told = (_KEYFRAME, _matches(count=60))

    assert _locate(told).localized
    _assert_refused(_locate(told, min_inliers=61), Reason.FEW_MATCHES)
    _assert_refused(
        _locate((_KEYFRAME, _joined(told[1], _wild(60))), min_inliers=90), Reason.FEW_INLIERS
    )


def test_a_low_inlier_ratio():
    told = (_KEYFRAME, _joined(_matches(count=100), _wild(100)))

    assert _locate(told).localized
    _assert_refused(_locate(told, min_inlier_ratio=0.8), Reason.LOW_INLIER_RATIO)
    asking_more = (_KEYFRAME, replace(told[1], min_inlier_ratio=0.8))
    _assert_refused(_locate(asking_more), Reason.LOW_INLIER_RATIO)
    assert _locate(asking_more, min_inlier_ratio=0.4).localized


@pytest.mark.parametrize("wrong", [0, 20, 60])
def test_rays_do_not_make_up_for_points_that_disagree(wrong):
    rays = _without_points(_matches(count=200, seed=3), but=1)
    told = (_KEYFRAME, _joined(rays, _matches(count=20), _wild(wrong)))

    answer = _locate(told, min_inlier_ratio=0.35)

    if wrong <= 20:
        _assert_at(answer, _QUERY)
    else:
        _assert_refused(answer, Reason.LOW_INLIER_RATIO)
        assert "whose point is known" in answer.message
        # All matches together have a ratio that is high enough.
        _assert_at(_locate(told, min_inlier_ratio=0.2), _QUERY)


def test_few_points_say_nothing_of_a_ratio():
    rays = _without_points(_matches(count=200, seed=3), but=1)
    # 12 of the 18 points are right.
    told = (_KEYFRAME, _joined(rays, _matches(count=11), _wild(6)))
    assert _locate(told, min_inlier_ratio=0.7).localized
    told = (_KEYFRAME, _joined(rays, _matches(count=14), _wild(8)))
    _assert_refused(_locate(told, min_inlier_ratio=0.7), Reason.LOW_INLIER_RATIO)
    # Beside a keyframe with few points, those of another one need not agree.
    beside = _KEYFRAME @ camera_pose(0.2, 0.0, 0.0)
    few = (beside, _without_points(_matches(keyframe_pose=beside, seed=4), but=12))
    assert _locate(told, few, min_inlier_ratio=0.7).localized


def test_direction_only():
    told = _without_points(_matches())

    answer = _locate((_KEYFRAME, told))

    _assert_refused(answer, Reason.DIRECTION_ONLY)
    (match,) = answer.matches
    truth = transforms.inverse(_KEYFRAME) @ _QUERY
    assert match.metric is False
    assert match.covariance is None
    assert np.linalg.norm(match.pose[:3, 3]) == pytest.approx(1.0)
    assert match.pose[:3, 3] @ truth[:3, 3] / np.linalg.norm(truth[:3, 3]) > 0.99
    assert transforms.rotation_angle(match.pose, truth) < 0.02
    assert answer.inliers == match.inliers.sum() > 100


def test_no_direction_either():
    _assert_refused(_locate((_KEYFRAME, _without_points(_wild(40)))), Reason.FEW_INLIERS)


def test_no_direction_from_a_camera_that_only_turned():
    turned = _KEYFRAME @ camera_pose(turn=0.1)
    told = _without_points(_matches(turned, noise=0.2))

    answer = _locate((_KEYFRAME, told))

    assert not answer.localized
    assert all(match.pose is None for match in answer.matches)


def test_no_direction_without_the_keyframes_camera():
    found = _without_points(_matches())
    keyframes = KeyframeMap(ToldFrontEnd({0: found}))
    keyframes.add(numbered(0), _KEYFRAME)
    query = numbered(0, (_CAMERA.width, _CAMERA.height), camera=_CAMERA)

    _assert_refused(Relocalizer(keyframes).localize(query), Reason.FEW_INLIERS)


def test_points_do_without_the_keyframes_camera():
    keyframes = KeyframeMap(ToldFrontEnd({0: _matches()}))
    keyframes.add(numbered(0), _KEYFRAME)
    query = numbered(0, (_CAMERA.width, _CAMERA.height), camera=_CAMERA)

    _assert_at(Relocalizer(keyframes).localize(query), _QUERY)


def test_poor_spread():
    corner = _matches(window=((0.51, 0.51), (0.62, 0.62)), noise=0.05)

    answer = _locate((_KEYFRAME, corner))

    _assert_refused(answer, Reason.POOR_SPREAD)
    assert "1 cells of 5 needed" in answer.message
    assert answer.inliers > 100


def test_uncertain():
    far = _matches(depth=(150.0, 200.0), noise=0.5)

    answer = _locate((_KEYFRAME, far))

    _assert_refused(answer, Reason.UNCERTAIN)
    assert "inliers" in answer.message


def test_the_limits_of_uncertainty_are_options():
    told = (_KEYFRAME, _matches())

    _assert_refused(_locate(told, max_position_sigma=0.01), Reason.UNCERTAIN)
    _assert_refused(_locate(told, max_rotation_sigma=0.002), Reason.UNCERTAIN)


def test_a_pose_is_no_better_known_than_the_map():
    told = (_KEYFRAME, _matches())
    exact = _locate(told, keyframe_position_sigma=0.0, keyframe_rotation_sigma=0.0)
    loose = _locate(told, keyframe_position_sigma=0.03, keyframe_rotation_sigma=0.01)

    added = np.diag(loose.covariance - exact.covariance)

    assert (added[:3] >= 0.03**2).all()
    assert (added[3:] >= 0.01**2).all()


def _two_places(count=140):
    """Matches with a keyframe, and with one elsewhere that sees the same."""
    elsewhere = camera_pose(20.0)
    twin = elsewhere @ transforms.inverse(_KEYFRAME) @ _QUERY
    return (_KEYFRAME, _matches()), (elsewhere, _matches(twin, elsewhere, count=count, seed=3))


def test_two_poses_that_explain_as_much_are_ambiguous():
    _assert_refused(_locate(*_two_places()), Reason.AMBIGUOUS)
    # Another pose of a quarter of the support is one that the options may refuse or not.
    _assert_at(_locate(*_two_places(40)), _QUERY)
    strict = _locate(*_two_places(40), max_ambiguity=0.1, min_evidence=20.0)
    _assert_refused(strict, Reason.AMBIGUOUS)


def test_a_place_of_fewer_matches_is_right_where_what_differs_speaks_for_it():
    _, (elsewhere, few) = _two_places(count=1000)
    many = _matches(count=2500)
    # A thing that the place of most matches does not have.
    lacks = (many.query_pixels[:, 0] < 180) | (many.query_pixels[:, 0] > 360)

    answer = _locate((_KEYFRAME, many.select(lacks)), (elsewhere, few))

    assert lacks.sum() > 1.2 * len(few)
    _assert_at(answer, elsewhere @ transforms.inverse(_KEYFRAME) @ _QUERY)
    # Without it, neither is right.
    both = few.query_pixels[:, 0] < 180, many.query_pixels[:, 0] < 180
    alike = _locate((_KEYFRAME, many.select(both[1])), (elsewhere, few.select(both[0])))
    _assert_refused(alike, Reason.AMBIGUOUS)


@pytest.mark.parametrize(("meters", "turn"), [(0.08, 0.0), (0.0, 0.04)])
def test_keyframes_that_disagree_a_little_are_not_another_pose(meters, turn):
    other = _KEYFRAME @ camera_pose(0.6, 0.0, 0.1)
    seen = _matches(keyframe_pose=other, count=140, seed=2)
    mapped = other @ camera_pose(meters, turn=turn)

    answer = _locate((_KEYFRAME, _matches()), (mapped, seen))

    _assert_at(answer, _QUERY, 0.1, 0.05)


def _two_poses_of_a_place():
    """A third of the inliers, mixed among those of the answer, are for a pose 0.6 m beside it."""
    mapped = _KEYFRAME @ camera_pose(0.5, 0.0, 0.1)
    other = _QUERY @ camera_pose(0.6, 0.0, 0.0, turn=0.15)
    beside = _matches(other, mapped, count=90, seed=2)
    return (_KEYFRAME, _matches(count=220)), (mapped, beside)


def test_a_pose_beside_need_not_be_told_apart_by_a_region_of_its_own():
    _assert_at(_locate(*_two_poses_of_a_place()), _QUERY, 0.05, 0.03)


def test_two_poses_of_one_place_that_explain_as_much_leave_the_pose_uncertain():
    answer = _locate(*_two_poses_of_a_place(), min_evidence=30.0)

    _assert_refused(answer, Reason.UNCERTAIN)
    assert "another one of the same place: 90 inliers against 2" in answer.message


def _two_poses_near_by(count):
    """Beside 220 matches, some for a pose 0.12 m and 4 degrees off: still the same place."""
    mapped = _KEYFRAME @ camera_pose(0.5, 0.0, 0.1)
    other = _QUERY @ camera_pose(0.12, 0.0, 0.0, turn=0.07)
    near = _matches(other, mapped, count=count, seed=2)
    return (_KEYFRAME, _matches(count=220)), (mapped, near)


def test_a_pose_near_by_that_explains_as_much_leaves_the_pose_uncertain():
    _assert_at(_locate(*_two_poses_near_by(90)), _QUERY)

    answer = _locate(*_two_poses_near_by(210))

    _assert_refused(answer, Reason.UNCERTAIN)
    assert "other poses near by" in answer.message
    wider = _locate(*_two_poses_near_by(210), max_position_sigma=0.2, max_rotation_sigma=0.1)
    _assert_at(wider, _QUERY)
    apart = transforms.difference(_QUERY @ camera_pose(0.12, turn=0.07), wider.pose)
    assert apart @ np.linalg.solve(wider.covariance, apart) < 12.6
    # What the answer says of each keyframe has room for it, too.
    (match,) = (m for m in wider.matches if m.keyframe_id == 0)
    np.testing.assert_allclose(np.trace(match.covariance), np.trace(wider.covariance))


def _plane(tilt: float, off: int = 0, seed: int = 0) -> tuple[np.ndarray, Correspondences]:
    """A poster of 1 m seen through a long lens from 36 m, and `off` points before it."""
    random = np.random.default_rng(seed)
    on = np.column_stack([random.uniform(-0.5, 0.5, (120, 2)), np.zeros(120)])
    on[:off, 2] = random.uniform(-0.3, -0.1, off)
    turn = transforms.rotation_from_vector([0.0, tilt, 0.0])
    query = transforms.make(turn, np.array([0.0, 0.0, 2.0]) - 36.0 * turn[:, 2])
    in_keyframe = on + np.array([0.0, 0.0, 2.0])
    seen = _LONG.project(transforms.apply(transforms.inverse(query), in_keyframe))
    return query, Correspondences(
        _CAMERA.project(in_keyframe).astype(np.float32),
        (seen + random.normal(0, 1.0, seen.shape)).astype(np.float32),
        np.ones(120, np.float32),
        in_keyframe.astype(np.float32),
        np.full(120, 0.002, np.float32),
        metric=True,
    )


_LONG = replace(_CAMERA, fx=24.0 * _CAMERA.fx, fy=24.0 * _CAMERA.fy)


def _localize_plane(matches):
    keyframes = KeyframeMap(ToldFrontEnd({0: matches}))
    keyframes.add(numbered(0, (_CAMERA.width, _CAMERA.height), camera=_CAMERA), np.eye(4))
    wide = RelocalizerOptions(
        max_position_sigma=20.0,
        max_rotation_sigma=1.0,
        keyframe_rotation_sigma=0.001,
        rolling_shutter=0.0,
    )
    query = numbered(0, (_CAMERA.width, _CAMERA.height), camera=_LONG)
    return Relocalizer(keyframes, wide).localize(query)


def test_a_plane_has_a_second_pose():
    refused = 0
    for seed in range(8):
        query, matches = _plane(0.3, seed=seed)
        answer = _localize_plane(matches)
        refused += answer.reason is Reason.AMBIGUOUS
        # Noise may decide between the two; an accepted pose must be the right one.
        assert not answer.localized or transforms.rotation_angle(answer.pose, query) < 0.1

    assert refused >= 4


def test_points_off_a_plane_tell_its_two_poses_apart():
    query, matches = _plane(0.3, off=40)

    answer = _localize_plane(matches)

    assert answer.localized, answer.message
    assert transforms.rotation_angle(answer.pose, query) < 0.05


def test_what_is_at_one_pixel_of_all_keyframes_is_the_robots_own_body():
    """A bumper over the lowest part of every image would say that the camera has not moved."""
    random = np.random.default_rng(4)
    poses = (_KEYFRAME, _KEYFRAME @ camera_pose(0.6, 0.0, 0.1), _KEYFRAME @ camera_pose(-0.5))
    pixels = (random.uniform([0.0, 0.85], [1.0, 1.0], (200, 2)) * _SIZE).astype(np.float32)
    points = _CAMERA.unproject(pixels, np.full(200, 0.6)).astype(np.float32)
    ones = np.ones(200, np.float32)
    body = Correspondences(pixels, pixels, ones, points, 0.01 * ones, metric=True)
    told = [
        (pose, _joined(body, _matches(keyframe_pose=pose, count=120, seed=i)))
        for i, pose in enumerate(poses)
    ]

    answer = _locate(*told)
    alone = _locate(told[0])

    _assert_at(answer, _QUERY)
    assert answer.fixed_share == pytest.approx(600 / sum(len(c) for _, c in told), abs=0.05)
    assert "do not move with the camera: set `mask`" in answer.message
    # One keyframe cannot know: that is what the mask is for.
    assert alone.fixed_share == 0.0


def test_a_pose_that_fewer_of_the_matches_agree_with_is_less_likely():
    pure, mixed = (
        _locate((_KEYFRAME, told)) for told in (_matches(), _joined(_matches(), _wild(150)))
    )

    assert 1.0 > pure.confidence > mixed.confidence > 0.5


def test_a_match_without_inliers_has_no_confidence():
    match = KeyframeMatch(3, _matches(count=4), np.zeros(4, bool))

    assert match.confidence == 0.0


@pytest.fixture(scope="module")
def sift():
    """With few keypoints."""
    return SiftFrontEnd(SiftOptions(max_keypoints=800))


_STEPS = (camera_pose(), camera_pose(0.25, 0.05), camera_pose(0.5, turn=-0.1))
_SEEN = camera_pose(0.15, -0.05, 0.1, turn=0.05, tilt=0.03)


def _walk(front_end, depth: bool, count: int) -> KeyframeMap:
    keyframes = KeyframeMap(front_end)
    for pose in _STEPS[:count]:
        keyframes.add(view(pose, depth=depth), pose)
    return keyframes


@pytest.mark.parametrize(("depth", "count"), [(True, 1), (True, 3), (False, 2), (False, 3)])
def test_images_of_a_room_give_the_pose_in_meters(sift, depth, count):
    keyframes = _walk(sift, depth, count)

    answer = Relocalizer(keyframes).localize(view(_SEEN, depth=False))

    _assert_at(answer, _SEEN, 0.02, 0.01)
    for match in answer.matches:
        np.testing.assert_allclose(
            keyframes[match.keyframe_id].pose @ match.pose, answer.pose, atol=1e-9
        )


def test_one_image_without_depth_gives_the_direction(sift):
    answer = Relocalizer(_walk(sift, False, 1)).localize(view(_SEEN, depth=False))

    _assert_refused(answer, Reason.DIRECTION_ONLY)
    (match,) = answer.matches
    direction = _SEEN[:3, 3] / np.linalg.norm(_SEEN[:3, 3])
    assert match.pose[:3, 3] @ direction > np.cos(0.05)


def test_another_room_is_not_this_one(sift):
    answer = Relocalizer(_walk(sift, True, 3)).localize(view(_SEEN, OTHER_ROOM, depth=False))

    assert not answer.localized, answer.message


def test_nothing_to_see_is_few_matches(sift):
    blank = Frame(np.full((240, 320, 3), 90, np.uint8), _CAMERA)

    answer = Relocalizer(_walk(sift, True, 1)).localize(blank)

    assert answer.reason is Reason.FEW_MATCHES


def test_two_rooms_that_look_the_same_are_ambiguous(sift):
    keyframes = _walk(sift, True, 2)
    away = camera_pose(30.0)
    for pose in _STEPS[:2]:
        keyframes.add(view(pose), away @ pose)
    relocalizer, query = Relocalizer(keyframes), view(_SEEN, depth=False)

    _assert_refused(relocalizer.localize(query), Reason.AMBIGUOUS)


def test_a_wrong_prior_costs_nothing_but_time(sift):
    prior = PosePrior(camera_pose(100.0), np.eye(6) * 0.01)

    answer = Relocalizer(_walk(sift, True, 3)).localize(view(_SEEN, depth=False), prior)

    _assert_at(answer, _SEEN)


def test_the_same_query_gives_the_same_answer(sift):
    relocalizer, query = Relocalizer(_walk(sift, True, 3)), view(_SEEN, depth=False)

    first, second = relocalizer.localize(query), relocalizer.localize(query)

    np.testing.assert_array_equal(first.pose, second.pose)
    np.testing.assert_array_equal(first.covariance, second.covariance)


def test_the_map_may_grow_and_shrink_between_queries(sift):
    keyframes = _walk(sift, True, 1)
    relocalizer, query = Relocalizer(keyframes), view(_SEEN, depth=False)
    assert relocalizer.localize(query).localized

    keyframes.remove(0)
    _assert_refused(relocalizer.localize(query), Reason.EMPTY_MAP)
    keyframes.add(view(_STEPS[1]), _STEPS[1])

    _assert_at(relocalizer.localize(query), _SEEN)


_ELSEWHERE = camera_pose(50.0)
# Of three keyframes the last has the most matches, and the second sees the query's place.
_REFUSED = (_ELSEWHERE, _wild(30)), (_KEYFRAME, _wild(50, 2)), (_ELSEWHERE, _wild(60, 3))


@pytest.fixture
def look_twice(monkeypatch):
    def look(again, seconds=0.0, told=_REFUSED, **options):
        matches = {number: found for number, (_, found) in enumerate(told)}
        front_end = TwiceToldFrontEnd(matches, again, seconds)
        monkeypatch.setattr(second_look, "time", front_end)
        return _locate_by(front_end, *told, **options), front_end.asked

    return look


def test_a_refused_image_gets_a_second_look(look_twice):
    answer, asked = look_twice({0: _wild(5), 1: _matches(), 2: _wild(6)})

    _assert_at(answer, _QUERY)
    assert answer.keyframes == (1,)
    assert answer.matcher == "twice told"
    assert answer.message.endswith("; second look by twice told")
    assert list(answer.timings) == ["describe", "retrieve", "match", "solve", "match again"]
    # In the order of the first look's matches.
    assert asked == [2, 1, 0]


def test_a_second_look_ends_with_its_budget(look_twice):
    told = {0: _matches(), 1: _matches(), 2: _wild(6)}

    answer, asked = look_twice(told, seconds=0.05, second_look=0.04)
    assert asked == [2]
    _assert_refused(answer, answer.reason)
    assert answer.matcher == "twice told"
    assert [len(match.correspondences) for match in answer.matches] == [30, 50, 6]

    assert look_twice(told, seconds=0.05, second_look=0.13)[1] == [2, 1]
    answer, asked = look_twice(told, second_look=0.0)
    assert asked == []
    assert answer.matcher == ""


@pytest.mark.parametrize("method", ["pnp", "procrustes"])
def test_what_is_localized_or_ambiguous_is_not_looked_at_again(look_twice, method):
    if method == "procrustes":
        right = _with_query_points(_matches(), _KEYFRAME)
        told = tuple((p, _with_query_points(found, p)) for p, found in _REFUSED)
        assert look_twice({}, told=told, pose_method=method)[1] == []
        told = ((_KEYFRAME, right),)
    else:
        told = ((_KEYFRAME, _matches()),)
    answer, asked = look_twice({}, told=told, pose_method=method)
    assert answer.localized
    assert (asked, answer.matcher) == ([], "")
    answer, asked = look_twice({}, told=_two_places())
    assert answer.reason is Reason.AMBIGUOUS, answer.message
    assert asked == []


def test_two_poses_of_one_place_get_a_second_look(look_twice):
    told = _two_poses_of_a_place()
    clear = {0: _matches(count=220), 1: _matches(keyframe_pose=told[1][0], count=90, seed=2)}

    answer, asked = look_twice(clear, told=told, min_evidence=30.0)

    assert asked == [0, 1]
    _assert_at(answer, _QUERY, 0.05, 0.03)


def test_a_pose_that_look_alikes_make_uncertain_gets_a_second_look(look_twice, monkeypatch):
    told = _two_poses_of_a_place()
    clear = {0: _matches(count=220), 1: _matches(keyframe_pose=told[1][0], count=90, seed=2)}
    found = []

    def every_other(keyframes, query, pose, matches, count, sure):
        known = {m.keyframe_id for m in matches}
        found.append([k for k in keyframes if k.id not in known])
        return found[-1]

    monkeypatch.setattr(relocalizer, "look_alikes", every_other)
    answer, asked = look_twice(clear, told=told, num_candidates=1, min_evidence=30.0)

    assert [len(more) for more in found] == [1, 0]
    assert asked == [0, 1]
    _assert_at(answer, _QUERY, 0.05, 0.03)


def test_an_orientation_that_may_be_off_gets_a_second_look_and_is_kept_without_a_better_one(
    look_twice,
):
    told = ((_KEYFRAME, _matches()),)
    first = _locate(*told)
    level = protection_level(first.covariance[3:, 3:], 0.01)
    above, below = ({"max_rotation_sigma": part * level / 2.5} for part in (0.99, 1.01))
    assert above["max_rotation_sigma"] > np.sqrt(np.trace(first.covariance[3:, 3:]))
    better = {0: _matches(noise=0.05, count=1000)}

    assert look_twice(better, told=told, **below)[1] == []
    answer, asked = look_twice(better, told=told, **above)
    assert (asked, answer.matcher) == ([0], "twice told")
    assert answer.protection_rotation < first.protection_rotation
    for worse in (_wild(40), _matches(count=80)):
        answer, asked = look_twice({0: worse}, told=told, **above)
        assert (asked, answer.matcher) == ([0], "")
        _assert_at(answer, _QUERY)


def test_both_solutions_of_a_plane_get_a_second_look_and_two_places_none():
    alike = Localization(Reason.AMBIGUOUS, "")

    assert second_look.mendable(alike)
    assert not second_look.mendable(replace(alike, places=(_QUERY, _ELSEWHERE)))
    assert second_look.mendable(replace(alike, reason=Reason.UNCERTAIN))
    assert not second_look.mendable(replace(alike, reason=Reason.LOCALIZED))


def test_a_second_look_takes_the_views_most_promising_keyframes_first(monkeypatch):
    told = {0: _wild(30), 1: _wild(50, 2)}
    front_end = TwiceToldFrontEnd(told, {0: _matches(), 1: _wild(5)}, seconds=0.02)
    monkeypatch.setattr(second_look, "time", front_end)
    keyframes = KeyframeMap(front_end)
    for number in told:
        frame = numbered(number, (_CAMERA.width, _CAMERA.height), camera=_CAMERA)
        keyframes.add(frame, _KEYFRAME)
    relocalizer = Relocalizer(keyframes)
    query = View(numbered(0, (_CAMERA.width, _CAMERA.height), camera=_CAMERA))
    views = [relocalizer.match(query, None, {}) for _ in range(3)]
    views[1] = replace(views[1], query=None)

    again = second_look.match_again(front_end, views, 0.05)

    # Two views have a description; the budget ends within those of the second keyframe.
    assert front_end.asked == [1, 1]
    assert [[len(c) for c in view.found] for view in again] == [[30, 5], [30, 50], [30, 5]]


def test_a_matcher_that_sees_images_looks_only_where_there_is_one():
    told = {0: _wild(30), 1: _wild(50, 2)}
    front_end = TwiceToldFrontEnd(told, {0: _matches(), 1: _wild(5)})
    front_end.second_sees_image = True
    keyframes = KeyframeMap(front_end)
    for number in told:
        frame = numbered(number, (_CAMERA.width, _CAMERA.height), camera=_CAMERA)
        keyframes.add(frame, _KEYFRAME)
    relocalizer = Relocalizer(keyframes)
    query = numbered(0, (_CAMERA.width, _CAMERA.height), camera=_CAMERA)

    described = relocalizer.localize_description(front_end.describe(query), _CAMERA)

    assert (front_end.asked, described.matcher) == ([], "")
    assert relocalizer.localize(query).matcher == "twice told"
    assert front_end.asked == [1, 0]


def _compared(front_end_matches, poses, kind=ToldFrontEnd, views=1, **options):
    """How many keyframes are matched of those at these poses."""
    front_end = kind(front_end_matches)
    keyframes = KeyframeMap(front_end)
    for number, pose in poses.items():
        keyframes.add(numbered(number, (_CAMERA.width, _CAMERA.height), camera=_CAMERA), pose)
    query = numbered(0, (_CAMERA.width, _CAMERA.height), camera=_CAMERA)
    answer = Relocalizer(keyframes, RelocalizerOptions(**options)).localize([View(query)] * views)
    return {match.keyframe_id for match in answer.matches}, answer


def test_no_more_keyframes_are_matched_than_are_needed_to_be_sure():
    beside = {n: _KEYFRAME @ camera_pose(0.1 * n, 0.0, 0.0) for n in range(5)}
    clear = {n: _matches(keyframe_pose=p, count=120, seed=n) for n, p in beside.items()}

    asked, answer = _compared(clear, beside)
    assert asked == {0, 1, 2}
    _assert_at(answer, _QUERY)
    assert _compared(clear, beside, sure_inliers=1000.0)[0] == {0, 1, 2, 3, 4}
    # A front end that pads three keyframes to four gets the fourth in the time of three.
    padding = type("Padding", (ToldFrontEnd,), {"batch_for": lambda self, count: count + 1})
    assert _compared(clear, beside, padding)[0] == {0, 1, 2, 3}
    # Four times the fewest inliers are needed.
    few = {0: _matches(count=70), **{n: _wild(30, n) for n in range(1, 5)}}
    asked, answer = _compared(few, beside)
    assert asked == {0, 1, 2, 3, 4}
    _assert_at(answer, _QUERY)


@pytest.mark.parametrize("views", [1, 2])
def test_where_a_sure_pose_is_refused_all_candidates_are_matched_after_all(views):
    beside = {n: _KEYFRAME @ camera_pose(0.1 * n, 0.0, 0.0) for n in range(5)}
    corner = {"window": ((0.3, 0.3), (0.4, 0.4)), "count": 120}
    told = {n: _matches(keyframe_pose=p, seed=n, **corner) for n, p in beside.items()}
    whole = {4: _matches(keyframe_pose=beside[4], count=120)}

    # All inliers in a corner: sure, but refused.
    asked, answer = _compared(told, beside, views=views)
    assert asked == {0, 1, 2, 3, 4}
    _assert_refused(answer, Reason.POOR_SPREAD)

    asked, answer = _compared(told | whole, beside, views=views)
    assert asked == {0, 1, 2, 3, 4}
    _assert_at(answer, _QUERY)
    # Each keyframe once for each view.
    assert len(answer.matches) == 5 * views


def test_a_keyframe_elsewhere_that_looks_alike_is_always_matched():
    poses = {n: _KEYFRAME @ camera_pose(0.1 * n, 0.0, 0.0) for n in range(3)}
    poses |= {3: camera_pose(20.0), 200: camera_pose(30.0)}
    twin = poses[3] @ transforms.inverse(_KEYFRAME) @ _QUERY
    matches = {n: _matches(keyframe_pose=poses[n], count=120, seed=n) for n in range(3)}
    matches |= {3: _matches(twin, poses[3], count=400, seed=3), 200: _wild(30)}

    asked, answer = _compared(matches, poses)

    # The numbers are what images look like: the last one looks like none of them.
    assert asked == {0, 1, 2, 3}
    assert answer.reason is Reason.AMBIGUOUS


def _twin_elsewhere(looks: int, holding: int, matches: Correspondences):
    """What is matched where one keyframe of three holds the pose, and a twin is not a candidate."""
    poses = {holding + n: _KEYFRAME @ camera_pose(0.1 * n, 0.0, 0.0) for n in (-1, 0, 1)}
    elsewhere = camera_pose(20.0)
    twin = elsewhere @ transforms.inverse(_KEYFRAME) @ _QUERY
    told = {n: _wild(30, n) for n in poses} | {holding: matches}
    told[looks] = _matches(twin, elsewhere, count=200, seed=3)
    return _compared(told, poses | {looks: elsewhere}, num_candidates=3)


def test_what_looks_like_the_keyframes_of_a_pose_is_matched_though_no_candidate():
    # The image is some 20 degrees from the keyframe that holds its pose, 40 from that one's twin.
    asked, answer = _twin_elsewhere(120, 60, _matches(count=150))

    assert asked == {0, 1, 2, 3}
    assert answer.reason is Reason.AMBIGUOUS

    asked, answer = _twin_elsewhere(240, 60, _matches(count=150))
    assert asked == {0, 1, 2}
    _assert_at(answer, _QUERY)


@pytest.mark.parametrize(
    ("words", "turn", "away", "reason"),
    [
        (0.02, np.pi, 0.0, Reason.AMBIGUOUS),
        (0.005, np.pi, 0.0, Reason.LOCALIZED),  # shares few words
        (0.02, 0.5, 0.0, Reason.LOCALIZED),  # sees the rug from the same side
        (0.02, np.pi, 20.0, Reason.LOCALIZED),  # stands at another place
    ],
)
def test_who_sees_a_rug_from_the_other_side_is_matched_too(words, turn, away, reason, monkeypatch):
    """All candidates stand on one side of a rug; from the other side, it looks the same."""
    middle = (_QUERY @ camera_pose(0.0, 0.0, 3.0))[:3, 3]
    around = transforms.make(np.eye(3), middle) @ camera_pose(away, turn=turn)
    around = around @ transforms.make(np.eye(3), -middle)
    poses = {n: _KEYFRAME @ camera_pose(0.1 * n, 0.0, 0.0) for n in range(3)}
    matches = {n: _matches(keyframe_pose=poses[n], count=120, seed=n) for n in range(3)}
    poses[200] = around @ _KEYFRAME
    matches[200] = _matches(around @ _QUERY, poses[200], count=200, seed=3)
    alike = [(0.02, 0), (words, 3)]
    monkeypatch.setattr(KeyframeMap, "by_words", lambda m, *_: [(s, m[i]) for s, i in alike])

    assert _compared(matches, poses)[1].reason is reason


def test_samples_of_more_matches_that_miss_the_pose_lose_no_answer(monkeypatch):
    poses = {n: _KEYFRAME @ camera_pose(0.1 * n, 0.0, 0.0) for n in range(3)}
    matches = {n: _matches(keyframe_pose=poses[n], count=120, seed=n) for n in range(3)}
    middle = (_QUERY @ camera_pose(0.0, 0.0, 3.0))[:3, 3]
    around = transforms.make(np.eye(3), middle) @ camera_pose(turn=np.pi)
    poses[200] = around @ transforms.make(np.eye(3), -middle) @ _KEYFRAME
    matches[200] = _wild(100)
    matches[200].reference_points[:] = np.nan
    alike = [(0.02, 0), (0.02, 3)]
    monkeypatch.setattr(KeyframeMap, "by_words", lambda m, *_: [(s, m[i]) for s, i in alike])
    solve, asked = solving.solve, []

    def missing(views, *rest):
        asked.append(len(views[0].keyframes))
        return ([camera_pose(40.0)], [None] * 4) if asked[-1] > 3 else solve(views, *rest)

    monkeypatch.setattr(solving, "solve", missing)
    matched, answer = _compared(matches, poses)

    assert asked == [3, 4]
    assert matched == {0, 1, 2, 3}
    assert answer.localized
    assert transforms.distance(answer.pose, _QUERY) < 0.05


@pytest.mark.parametrize(("depth", "reason"), [(4.0, Reason.LOCALIZED), (2.0, Reason.AMBIGUOUS)])
def test_a_place_that_lacks_what_the_image_shows_does_not_make_it_ambiguous(depth, reason):
    """One wallpaper in two rooms, and a box before it: in the other room, who is there looks on."""
    random = np.random.default_rng(0)
    pixels = random.uniform((0, 0), _SIZE, (500, 2))
    box = pixels[:, 0] > _SIZE[0] / 2
    there = _ELSEWHERE @ transforms.inverse(_KEYFRAME) @ _QUERY
    # The keyframe there sees the wallpaper from another side: features are not compared.
    aside = there @ camera_pose(1.5, 0.0, 0.0, turn=-0.4)

    def found(query, keyframe, far, seen):
        points = transforms.apply(query, _CAMERA.unproject(pixels, np.where(box, far, 4.0)))
        points = transforms.apply(transforms.inverse(keyframe), points)
        ones = np.ones(len(points), np.float32)
        arrays = (_CAMERA.project(points), seen, ones, points, 0.002 * ones)
        return Correspondences(*(a.astype(np.float32) for a in arrays), metric=True)

    # Of the box, nothing is matched there.
    elsewhere = np.where(box[:, None], random.uniform((0, 0), _SIZE, pixels.shape), pixels)
    told = {0: found(_QUERY, _KEYFRAME, 2.0, pixels), 1: found(there, aside, depth, elsewhere)}

    assert _compared(told, {0: _KEYFRAME, 1: aside})[1].reason is reason


def test_a_weak_pose_is_compared_with_places_that_look_less_alike():
    asked, answer = _twin_elsewhere(240, 60, _matches(count=60))

    assert asked == {0, 1, 2, 3}
    assert answer.reason is Reason.AMBIGUOUS or answer.pose[0, 3] > 15.0


def test_another_pose_of_half_a_weak_ones_inliers_makes_it_ambiguous():
    poses = {0: _KEYFRAME, 1: _ELSEWHERE}
    other = _ELSEWHERE @ camera_pose(0.3, turn=0.2)
    told = {0: _matches(count=26), 1: _matches(other, _ELSEWHERE, count=17, seed=5)}

    assert _compared(told, poses)[1].reason is Reason.AMBIGUOUS


def test_another_pose_of_one_keyframe_is_compared_with_the_best_keyframe_of_the_answer():
    poses = {0: _KEYFRAME, 1: _KEYFRAME @ camera_pose(0.1, 0.0, 0.0), 2: _ELSEWHERE}
    other = _ELSEWHERE @ camera_pose(0.3, turn=0.2)
    told = {n: _matches(keyframe_pose=poses[n], count=100, seed=n) for n in range(2)}
    told[2] = _matches(other, _ELSEWHERE, count=40, seed=5)

    assert _compared(told, poses)[1].reason is Reason.AMBIGUOUS


def test_a_pose_elsewhere_of_few_among_many_matches_is_chance():
    poses = {0: _KEYFRAME, 1: _ELSEWHERE}
    other = _matches(_ELSEWHERE @ camera_pose(0.3, turn=0.2), _ELSEWHERE, count=60, seed=5)
    # An answer of this front end needs an inlier ratio of 0.2, a pose elsewhere half of it.
    told = {0: _matches(count=160), 1: _joined(other, _wild(440, 2))}
    less = {0: _matches(count=160), 1: _joined(other, _wild(840, 2))}

    assert _compared(told, poses)[1].reason is Reason.AMBIGUOUS
    _assert_at(_compared(less, poses)[1], _QUERY)
