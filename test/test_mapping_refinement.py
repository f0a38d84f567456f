# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Maps whose keyframes disagree by centimeters agree afterwards, and know how well."""

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic import OTHER_ROOM, ROOM, camera_pose, make_camera, render, view
from test_cli import run

from mast3r_ros.cli.maps import open_map
from mast3r_ros.evaluation.pose_error import Bound, PoseError
from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.solving import shared_errors
from mast3r_ros.localization.view import View
from mast3r_ros.mapping import edit, refinement
from mast3r_ros.mapping.extra import MappingError
from mast3r_ros.mapping.options import RefineOptions
from mast3r_ros.mapping.sightings import epipolar_inliers
from mast3r_ros.matching.correspondences import Correspondences

POSES = [camera_pose(x=0.15 * i - 0.6, y=0.04 * (i % 3), turn=-0.05 * i) for i in range(9)]
OPTIONS = RefineOptions(alike=5, rolling_shutter=0.0)
NEAR = Bound.of(0.015, 0.5)


@pytest.fixture(scope="module")
def sift():
    return SiftFrontEnd(SiftOptions(max_keypoints=400))


def _built(sift, depth, given=POSES):
    built = KeyframeMap(sift)
    for pose, said in zip(POSES, given, strict=True):
        built.add(view(pose, ROOM, depth), said)
    return built


@pytest.fixture(scope="module")
def true(sift):
    return _built(sift, depth=True)


@pytest.fixture(scope="module")
def matches(true):
    pairs = refinement.candidate_pairs(true, OPTIONS)
    return list(refinement.matched_pairs(true, pairs))


def _disturbed(keyframes, seed=0, meters=0.03, degrees=1.0):
    random = np.random.default_rng(seed)
    sigma = np.repeat([meters, np.deg2rad(degrees)], 3)
    return keyframes.derive(
        replace(k, pose=transforms.perturb(k.pose, random.normal(0, sigma))) for k in keyframes
    )


def _errors(found, poses):
    """Of poses against others: what all have in common is the map's frame, not theirs."""
    common = np.mean([transforms.difference(a, b) for a, b in zip(found, poses, strict=True)], 0)
    return [
        PoseError.of(transforms.perturb(a, -common), b) for a, b in zip(found, poses, strict=True)
    ]


@pytest.fixture(scope="module")
def refined(true, matches):
    return refinement.refine(_disturbed(true), matches, OPTIONS)


@pytest.mark.no_cover
def test_disturbed_keyframes_come_back_to_the_truth(true, refined):
    found = [k.pose for k in refined.keyframes]
    before = _errors([k.pose for k in _disturbed(true)], POSES)

    assert max(e.excess(NEAR) for e in before) > 3
    assert max(e.excess(NEAR) for e in _errors(found, POSES)) < 1
    assert refined.after_px < 0.5 * refined.before_px
    assert not refined.contradicting
    assert not refined.suspicious
    assert 0.02 < np.median(refined.moved_m) < 0.1


def test_how_well_poses_are_known_is_kept_and_true(refined, true, tmp_path):
    for keyframe, pose in zip(refined.keyframes, POSES, strict=True):
        sigma = np.sqrt(np.diag(keyframe.covariance))
        assert (sigma[:3] < 0.03).all()
        assert (np.abs(transforms.difference(keyframe.pose, pose)) < 4 * sigma).all()
    refined.keyframes.save(tmp_path / "map")
    back = KeyframeMap.load(tmp_path / "map", true.front_end)
    for one, other in zip(refined.keyframes, back, strict=True):
        np.testing.assert_array_equal(one.covariance, other.covariance)
    assert next(iter(true)).covariance is None


def test_covariances_take_the_place_of_the_parameters(refined, true):
    options = RelocalizerOptions(keyframe_position_sigma=0.5, keyframe_rotation_sigma=0.5)
    sigmas = []
    for keyframes in (true, refined.keyframes):
        relocalizer = Relocalizer(keyframes, options)
        matched = relocalizer.match(View(view(camera_pose(), ROOM, False)), None, {})
        sigmas.append(shared_errors([matched], options).sigmas)
        kept = matched.keyframes

    np.testing.assert_array_equal(sigmas[0][:, :6], 0.5)
    for row, keyframe in zip(sigmas[1], kept, strict=True):
        np.testing.assert_allclose(row[:6], np.sqrt(np.diag(keyframe.covariance)))


def test_a_turned_map_has_turned_covariances(refined):
    turn = camera_pose(1.0, 2.0, 3.0, turn=0.7)
    moved = edit.transform(refined.keyframes, turn)
    one, other = next(iter(refined.keyframes)), next(iter(moved))
    delta = np.array([0.01, 0.02, -0.01, 0.002, 0.001, 0.003])
    turned = transforms.difference(turn @ transforms.perturb(one.pose, delta), other.pose)

    expected = delta @ np.linalg.solve(one.covariance, delta)
    assert turned @ np.linalg.solve(other.covariance, turned) == pytest.approx(expected, rel=1e-5)


def test_a_keyframe_that_is_wrong_is_suspicious(true, matches):
    wrong = true.derive(
        replace(k, pose=transforms.perturb(k.pose, [0.3, 0, 0, 0, 0, 0])) if k.id == 4 else k
        for k in true
    )
    found = refinement.refine(wrong, matches, OPTIONS)

    assert list(found.suspicious) == [4]
    assert "moved by 3" in found.suspicious[4] or "moved by 2" in found.suspicious[4]
    errors = _errors([k.pose for k in found.keyframes], POSES)
    assert max(e.excess(NEAR) for e in errors) < 1


def _depth_error(keyframes):
    """Median relative error of the keyframes' points."""
    errors = []
    for keyframe, pose in zip(keyframes, POSES, strict=True):
        column, row = np.rint(keyframe.description.keypoints).astype(int).T
        errors.append(keyframe.description.points[:, 2] / render(pose, world=ROOM)[1][row, column])
    return np.nanmedian(np.abs(np.concatenate(errors) - 1.0))


def test_keyframes_without_depth_are_adjusted_and_triangulated_again(sift):
    random = np.random.default_rng(0)
    sigma = np.repeat([0.03, np.deg2rad(1.0)], 3)
    given = [transforms.perturb(pose, random.normal(0, sigma)) for pose in POSES]
    built = _built(sift, depth=False, given=given)
    pairs = refinement.candidate_pairs(built, OPTIONS)

    found = refinement.refine(built, refinement.matched_pairs(built, pairs), OPTIONS)

    errors = _errors([k.pose for k in found.keyframes], POSES)
    disturbed = _errors([k.pose for k in built], POSES)
    mean = [np.mean([e.rotation_rad for e in each]) for each in (errors, disturbed)]
    assert mean[0] < 0.4 * mean[1]
    assert _depth_error(found.keyframes) < 0.6 * _depth_error(built)


def test_the_verb_refines_in_place_and_reports(true, tmp_path):
    few = true.derive(list(true)[:5])
    _disturbed(few).save(tmp_path / "map")

    run("map", "refine", tmp_path / "map", "--alike", 4, "--json", tmp_path / "out.json")

    facts = json.loads((tmp_path / "out.json").read_text())["refinement"]
    assert facts["reprojection_after_px"] < facts["reprojection_before_px"]
    assert facts["suspicious"] == {}
    after = open_map(tmp_path / "map")
    errors = _errors([k.pose for k in after], POSES[:5])
    assert max(e.excess(NEAR) for e in errors) < 1.2


def test_what_cannot_be_adjusted_is_named(sift, true):
    one = true.derive(list(true)[:1])
    with pytest.raises(MappingError, match="1 keyframes: there is nothing to adjust"):
        refinement.candidate_pairs(one, OPTIONS)
    bare = true.derive(replace(k, camera=None) for k in true)
    with pytest.raises(MappingError, match="keyframe 0 has no camera"):
        refinement.candidate_pairs(bare, OPTIONS)
    strangers = KeyframeMap(sift)
    for pose, world in ((POSES[0], ROOM), (POSES[1], OTHER_ROOM)):
        strangers.add(view(pose, world), pose)
    pairs = refinement.candidate_pairs(strangers, OPTIONS)
    with pytest.raises(MappingError, match="none of the 2 keyframes see the same things"):
        refinement.refine(strangers, refinement.matched_pairs(strangers, pairs), OPTIONS)


def test_of_many_matches_of_a_pair_a_few_true_ones_are_kept(sift):
    random, camera = np.random.default_rng(0), make_camera()
    size = (camera.width, camera.height)
    pixels = random.uniform(0, 1, (3000, 2)) * size
    points = camera.unproject(pixels, random.uniform(2.0, 5.0, 3000))
    seen = camera.project(transforms.apply(camera_pose(x=0.4, y=0.1, turn=0.1), points))
    true = (np.arange(3000) % 2 == 0) & ((seen > 0) & (seen < size)).all(1)
    chance = random.uniform(0, 1, (3000, 2)) * size

    def kept(found):
        rest = np.ones(3000, np.float32), points.astype(np.float32), np.full(3000, 0.01, np.float32)
        matches = Correspondences(*(p.astype(np.float32) for p in (pixels, found)), *rest, True)
        return epipolar_inliers(matches, camera, camera, sift)

    found = kept(np.where(true[:, None], seen, chance))
    assert found.sum() == 200
    assert true[found].mean() > 0.9
    assert kept(chance) is None
