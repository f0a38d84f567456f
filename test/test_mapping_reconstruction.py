# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Structure from motion: maps of images without poses, and where their meters come from."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from evaluation_world import write_calibration, write_tum
from synthetic import OTHER_ROOM, ROOM, camera_pose, view
from test_cli import run
from typer.testing import CliRunner

from mast3r_ros.cli import app as cli
from mast3r_ros.cli.maps import open_map
from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.mapping import reconstruction, spill
from mast3r_ros.mapping import scale as scales
from mast3r_ros.mapping.depth_poses import poses_from_depth
from mast3r_ros.mapping.extra import MappingError
from mast3r_ros.mapping.options import ReconstructionOptions
from mast3r_ros.mapping.pairs import MatchedPair, match_pairs, similar_pairs, verified
from mast3r_ros.mapping.pose_graph import Link

pytest.importorskip("pycolmap", reason="no extra 'mapping'")

POSES = [camera_pose(x=0.2 * i - 0.6, y=0.06 * i, turn=-0.08 * i) for i in range(6)]
OPTIONS = ReconstructionOptions(initial_angle=3.0)


@pytest.fixture(scope="module")
def sift():
    return SiftFrontEnd(SiftOptions(max_keypoints=600))


def _unposed(sift, depth, strangers=0):
    keyframes = KeyframeMap(sift)
    for pose in POSES:
        keyframes.add(view(pose, ROOM, depth), np.eye(4), triangulate=False)
    for pose in POSES[:strangers]:
        keyframes.add(view(pose, OTHER_ROOM, depth), np.eye(4), triangulate=False)
    return keyframes


def _model(keyframes):
    pairs = similar_pairs(keyframes, OPTIONS.alike, OPTIONS.successors)
    matches = match_pairs(list(keyframes), pairs, keyframes.front_end)
    sure = verified(list(keyframes), matches, keyframes.front_end, OPTIONS.seed)
    return reconstruction.register(keyframes, sure, OPTIONS)


@pytest.fixture(scope="module")
def with_depth(sift):
    keyframes = _unposed(sift, depth=True, strangers=1)
    return keyframes, _model(keyframes)


def _errors(found):
    """Largest errors of poses [m, rad], the first camera's taken as exact."""
    first = POSES[0] @ transforms.inverse(found[0])
    moved = [first @ pose for pose in found]
    return (
        max(transforms.distance(a, b) for a, b in zip(moved, POSES, strict=True)),
        max(transforms.rotation_angle(a, b) for a, b in zip(moved, POSES, strict=True)),
    )


@pytest.mark.no_cover
def test_poses_come_in_the_meters_of_depth(with_depth):
    keyframes, model = with_depth

    scale = scales.scale_from_depth(model, keyframes)
    found = reconstruction.posed(keyframes, model, scale)

    # The image of another place is not in the model.
    assert [k.id for k in found] == list(range(len(POSES)))
    meters, radians = _errors([k.pose for k in found])
    assert meters < 0.02
    assert radians < np.deg2rad(0.5)
    assert "depth at" in str(scale)
    assert 0 < scale.sigma < 0.01
    length = transforms.distance(found[0].pose, found[5].pose)
    assert length == pytest.approx(transforms.distance(POSES[0], POSES[5]), rel=0.02)


def test_the_map_has_the_axes_of_the_first_camera_after_rep_103(with_depth):
    keyframes, model = with_depth
    found = reconstruction.posed(keyframes, model, scales.Scale(1.0, 0.0, "a guess"))

    first = next(iter(found)).pose
    np.testing.assert_allclose(first[:3, 3], 0.0, atol=1e-9)
    np.testing.assert_allclose(first[:3, :3] @ [0, 0, 1], [1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(first[:3, :3] @ [1, 0, 0], [0, -1, 0], atol=1e-9)


def test_a_scale_that_is_off_is_fitted_to_depth(with_depth, sift):
    keyframes, model = with_depth
    median = scales.scale_from_depth(model, keyframes)
    wrong = replace(median, meters=1.03 * median.meters)
    pairs = similar_pairs(keyframes, OPTIONS.alike, OPTIONS.successors)
    sure = list(verified(list(keyframes), match_pairs(list(keyframes), pairs, sift), sift, 0))

    posed = reconstruction.posed(keyframes, model, wrong)
    fitted = scales.scale_fitted_to_depth(posed, keyframes, sure, wrong)

    found = reconstruction.posed(keyframes, model, fitted)
    length = transforms.distance(found[0].pose, found[5].pose)
    assert length == pytest.approx(transforms.distance(POSES[0], POSES[5]), rel=0.015)
    assert fitted.sigma > 0.015


def test_a_model_that_does_not_fit_its_depth_is_refused(with_depth, sift):
    keyframes, model = with_depth
    median = scales.scale_from_depth(model, keyframes)
    wrong = replace(median, meters=2.0 * median.meters)
    pairs = similar_pairs(keyframes, OPTIONS.alike, OPTIONS.successors)
    sure = list(verified(list(keyframes), match_pairs(list(keyframes), pairs, sift), sift, 0))

    with pytest.raises(MappingError, match=r"bent.* a factor of 0\.[3-7]"):
        scales.scale_fitted_to_depth(
            reconstruction.posed(keyframes, model, wrong), keyframes, sure, wrong
        )


def test_a_depth_sensor_that_is_wrong_shows_in_meters_alone(with_depth):
    keyframes, model = with_depth
    sensor = keyframes.derive(_deeper(k, 1.1) for k in keyframes)

    true, wrong = (scales.scale_from_depth(model, k) for k in (keyframes, sensor))

    assert wrong.meters == pytest.approx(1.1 * true.meters)
    assert wrong.sigma == pytest.approx(true.sigma, rel=0.01)


def _deeper(keyframe, factor):
    d = keyframe.description
    points = (d.points * factor).astype(np.float32)
    return replace(keyframe, description=d.with_points(points, d.depth_sigma))


def test_without_depth_the_verb_takes_a_distance_and_keyframes_the_models_points(tmp_path):
    (tmp_path / "images").mkdir()
    for i, pose in enumerate(POSES):
        image = view(pose, ROOM).image[..., ::-1]
        cv2.imwrite(str(tmp_path / f"images/{i}.png"), image)
    write_calibration(tmp_path / "camera.yaml")
    meters = transforms.distance(POSES[0], POSES[5])
    command = ("map", "build", tmp_path / "images", tmp_path / "map", "--poses", "none")
    command += ("--camera", tmp_path / "camera.yaml", "--front-end", "sift")
    command += ("--initial-angle", 3, "--json", tmp_path / "built.json")

    run(*command, "--scale-from", "0.png", "5.png", meters)

    about = json.loads((tmp_path / "built.json").read_text())
    assert about["registered"] == 6
    assert about["not_registered"] == []
    assert about["reprojection_error_px"] < 1.0
    assert about["scale_source"] == "the distance between 0.png and 5.png"
    found = open_map(tmp_path / "map")
    assert not any(k.sensed for k in found)
    assert _errors([k.pose for k in found])[0] < 0.03
    truth = camera_pose(x=0.05, y=0.1, turn=-0.22)
    answer = Relocalizer(found).localize(view(truth, ROOM, depth=False))
    assert answer.localized, answer.message
    moved = POSES[0] @ transforms.inverse(found[0].pose) @ answer.pose
    assert transforms.distance(moved, truth) < 0.03


def test_images_without_poses_are_on_disk_where_they_do_not_fit_into_memory(tmp_path, monkeypatch):
    write_tum(tmp_path / "images", poses=POSES)
    command = ("--poses", "none", "--front-end", "sift", "--initial-angle", 3)
    run("map", "build", tmp_path / "images", tmp_path / "fits", *command)
    folders, save = [], KeyframeMap.save

    def noted(keyframes, folder):
        folders.append(Path(folder).name)
        save(keyframes, folder)

    monkeypatch.setattr(KeyframeMap, "save", noted)
    monkeypatch.setattr(spill, "_EVERY", 2)
    monkeypatch.setattr(KeyframeMap, "unsaved_mb", property(lambda _: np.inf))

    run("map", "build", tmp_path / "images", tmp_path / "large", *command)

    *hidden, last = folders
    assert last == "large"
    assert len(hidden) == 3
    assert len(set(hidden)) == 1
    assert hidden[0].startswith(".large-")
    assert not list(tmp_path.glob(".large-*"))
    large = open_map(tmp_path / "large")
    assert len(large) == len(POSES)
    for found, expected in zip(large, open_map(tmp_path / "fits"), strict=True):
        np.testing.assert_array_equal(found.pose, expected.pose)
        ours, theirs = found.description, expected.description
        np.testing.assert_array_equal(ours.points, theirs.points)
        np.testing.assert_array_equal(ours.descriptors, theirs.descriptors)


def test_meters_that_cannot_be_known_are_refused_before_the_work(sift, with_depth):
    bare, ids = _unposed(sift, depth=False), {"a": 0, "b": 1}
    with pytest.raises(MappingError, match=r"no depth.*--scale-from"):
        scales.check_meters(bare, ids, None)
    with pytest.raises(MappingError, match="no image c: they are called a, b"):
        scales.check_meters(bare, ids, ("a", "c", 1.0))
    with pytest.raises(MappingError, match="positive distance"):
        scales.check_meters(bare, ids, ("a", "b", -1.0))
    keyframes, model = with_depth
    with pytest.raises(MappingError, match="stranger could not be registered"):
        scales.scale_from_distance(model, keyframes, {"a": 0, "stranger": 6}, "a", "stranger", 1.0)


def test_matches_of_chance_make_no_pair(sift, with_depth):
    keyframes = list(with_depth[0])
    descriptions = [k.description for k in keyframes]
    (true,) = match_pairs(keyframes, [(0, 2)], sift)
    random = np.random.default_rng(3)
    chance = np.column_stack([random.permutation(len(descriptions[i]))[:200] for i in (0, 2)])
    mixed = MatchedPair(0, 2, np.concatenate([true.rows, chance[: len(true.rows)]]))

    assert not list(verified(keyframes, [MatchedPair(0, 2, chance)], sift, 1))
    (kept,) = verified(keyframes, [mixed], sift, 1)

    # What is left lies where depth and poses put it.
    points = transforms.apply(POSES[0], descriptions[0].points[kept.rows[:, 0]])
    seen = keyframes[2].camera.project(transforms.apply(transforms.inverse(POSES[2]), points))
    apart = np.linalg.norm(seen - descriptions[2].keypoints[kept.rows[:, 1]], axis=1)
    known = np.isfinite(apart)
    assert len(kept.rows) > 0.7 * len(true.rows)
    assert (apart[known] < 3.0).mean() > 0.9


def test_images_of_one_place_begin_no_model(sift):
    keyframes = KeyframeMap(sift)
    for i in range(4):
        turned = view(camera_pose(turn=0.05 * i), ROOM)
        keyframes.add(turned, np.eye(4), triangulate=False)

    with pytest.raises(MappingError, match="different places"):
        _model(keyframes)


def test_poses_have_one_of_two_sources(tmp_path):
    for words, said in (
        (("--poses", "file.txt"), "--pose-file"),
        (("--scale-from", "a", "b", "1"), "--scale-from: given"),
    ):
        command = ["map", "build", str(tmp_path), str(tmp_path / "map"), *words]
        result = CliRunner().invoke(cli.app, command)
        assert result.exit_code == 2
        assert said in result.output


def test_depth_places_images_of_one_place_that_begin_no_model(tmp_path):
    pytest.importorskip("gtsam", reason="no extra 'mapping'")
    poses = [camera_pose(turn=0.08 * i - 0.2, tilt=0.03 * i) for i in range(5)]
    write_tum(tmp_path / "turn", poses=poses)
    command = ("map", "build", tmp_path / "turn", tmp_path / "map", "--poses", "none")

    run(*command, "--front-end", "sift", "--json", tmp_path / "built.json")

    about = json.loads((tmp_path / "built.json").read_text())
    assert about["registered"] == 5
    assert about["links_believed"] == about["links"] >= 4
    found = [k.pose for k in open_map(tmp_path / "map")]
    first = poses[0] @ transforms.inverse(found[0])
    for pose, truth in zip(found, poses, strict=True):
        assert transforms.distance(first @ pose, truth) < 0.02
        assert transforms.rotation_angle(first @ pose, truth) < np.deg2rad(0.5)


def test_depth_believes_what_does_not_contradict_the_rest(with_depth):
    pytest.importorskip("gtsam", reason="no extra 'mapping'")
    keyframes, _ = with_depth  # six images, and one of another place
    sure = np.diag([1e-4] * 6)
    links = [
        Link(i, j, transforms.inverse(POSES[i]) @ POSES[j], sure)
        for i in range(6)
        for j in range(i + 1, min(i + 3, 6))
    ]
    wrong = Link(0, 5, np.eye(4), sure)
    lost = Link(0, 6, camera_pose(x=1.0), 4.0 * sure)

    tied = poses_from_depth(keyframes, [None, *links, wrong])
    assert (tied.links, tied.believed) == (len(links) + 1, len(links))
    assert [k.id for k in tied.keyframes] == list(range(6))
    meters, radians = _errors([k.pose for k in tied.keyframes])
    assert (meters, radians) < (0.002, 0.002)
    # The map looks along x.
    first = next(iter(tied.keyframes)).pose
    np.testing.assert_allclose(first[:3, :3] @ [0, 0, 1], [1, 0, 0], atol=1e-9)
    with pytest.raises(MappingError, match="2 of 7 images could be localized"):
        poses_from_depth(keyframes, [lost])
