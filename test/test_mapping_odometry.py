# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Maps from poses that drift: keyframes are chosen, loops closed, wrong closures not believed."""

import importlib.util
import itertools
import json

import cv2
import numpy as np
import pytest
from evaluation_world import write_calibration
from synthetic import OTHER_ROOM, ROOM, camera_pose, view
from test_cli import run

from mast3r_ros.cli.maps import open_map
from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.datasets.trajectory import write_poses
from mast3r_ros.evaluation.pose_error import PoseError
from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.mapping import loop_closure
from mast3r_ros.mapping.extra import MissingExtraError
from mast3r_ros.mapping.options import OdometryMapOptions, SelectionOptions
from mast3r_ros.mapping.pose_graph import Link, solve_pose_graph
from mast3r_ros.mapping.selection import select, sharpness

needs_gtsam = pytest.mark.skipif(
    importlib.util.find_spec("gtsam") is None, reason="no extra 'mapping'"
)
# There and back along a wall.
WAY = [camera_pose(x=0.2 * x - 0.5, turn=-0.04 * x) for x in (0, 1, 2, 3, 4, 3, 2, 1)]
OPTIONS = OdometryMapOptions(drift=0.05, drift_rotation=2.0)


def _drifted(way, seed=1, distance=0.05, degrees=2.0):
    """Odometry whose distance and orientation are off a little more with each step."""
    random, drifted = np.random.default_rng(seed), [way[0]]
    for before, after in itertools.pairwise(way):
        moved = transforms.inverse(before) @ after
        length = np.linalg.norm(moved[:3, 3])
        sigma = np.repeat([distance * length, np.deg2rad(degrees) * np.sqrt(length)], 3)
        drifted.append(drifted[-1] @ transforms.perturb(moved, random.normal(0, sigma)))
    return drifted


def _worst(found, truth):
    errors = [PoseError.of(a, b) for a, b in zip(found, truth, strict=True)]
    return max(e.translation_m for e in errors)


@pytest.fixture(scope="module")
def drifting():
    keyframes = KeyframeMap(SiftFrontEnd(SiftOptions(max_keypoints=400)))
    for i, (pose, said) in enumerate(zip(WAY, _drifted(WAY), strict=True)):
        keyframes.add(view(pose, ROOM, stamp=i), said, triangulate=False)
    return keyframes


@pytest.mark.no_cover
@needs_gtsam
def test_loops_are_closed_and_the_way_is_straight(drifting):
    pairs = loop_closure.closure_pairs(drifting, OPTIONS)
    closures = list(loop_closure.find_closures(drifting, pairs, RelocalizerOptions()))

    found = loop_closure.straighten(drifting, closures, OPTIONS)

    assert found.closures > len(WAY)
    assert len(found.believed) > 0.8 * found.closures
    assert set(found.believed) <= set(pairs)
    before = _worst([k.pose for k in drifting], WAY)
    after = _worst([k.pose for k in found.keyframes], WAY)
    assert before > 0.05
    assert after < before / 3
    assert found.as_dict()["moved_max_m"] == pytest.approx(found.moved_m.max())


@needs_gtsam
def test_closures_that_contradict_the_others_are_not_believed():
    truth = [camera_pose(x=0.5 * i, turn=0.1 * i) for i in range(8)]
    drifted = _drifted(truth, distance=0.1, degrees=3.0)
    covariance = np.diag(np.repeat([1e-4, 1e-4], 3))

    def link(poses, i, j, shift=0.0):
        pose = transforms.inverse(poses[i]) @ poses[j]
        return Link(i, j, camera_pose(x=shift) @ pose, covariance)

    step = np.diag(np.repeat([0.05**2, 0.05**2], 3))
    steps = [Link(i, i + 1, link(drifted, i, i + 1).pose, step) for i in range(7)]
    right = [link(truth, i, j) for i, j in ((0, 7), (1, 6), (0, 4), (2, 7), (3, 6))]
    wrong = [link(truth, 0, 6, shift=3.0), link(truth, 1, 5, shift=-2.0)]

    poses, believed = solve_pose_graph(drifted, steps, right + wrong)

    assert believed.tolist() == [True] * 5 + [False] * 2
    bound = [i for i in range(8) if i != 5]
    off = [_worst([each[i] for i in bound], [truth[i] for i in bound]) for each in (poses, drifted)]
    assert off[0] < 0.03 < 0.1 < off[1]


@needs_gtsam
def test_covariances_of_links_count_along_their_own_axes():
    # One closure knows the way along x of the first pose alone, the other along y.
    first = camera_pose(turn=np.pi / 2)
    poses = [first, first @ camera_pose(x=1.0, turn=0.8)]
    loose, exact = 1.0, 1e-3
    covariances = [np.diag([a**2, b**2, exact**2, *[exact**2] * 3])
                   for a, b in ((exact, loose), (loose, exact))]  # fmt: skip
    said = [camera_pose(x=1.1, y=7.0, turn=0.8), camera_pose(x=-7.0, y=0.2, turn=0.8)]
    links = [Link(0, 1, pose, c) for pose, c in zip(said, covariances, strict=True)]

    (_, found), _ = solve_pose_graph(poses, links, [])

    np.testing.assert_allclose((transforms.inverse(first) @ found)[:3, 3], [1.1, 0.2, 0], atol=1e-3)


def test_other_places_close_no_loop():
    keyframes = KeyframeMap(SiftFrontEnd(SiftOptions(max_keypoints=400)))
    for pose, world in ((WAY[0], ROOM), (WAY[1], OTHER_ROOM)):
        keyframes.add(view(pose, world), pose, triangulate=False)
    assert list(loop_closure.find_closures(keyframes, [(0, 1)], RelocalizerOptions())) == [None]


def _images(poses, frames):
    return [
        (PosedImage(f"{i}", pose, None, i), frame)
        for i, (pose, frame) in enumerate(zip(poses, frames, strict=True))
    ]


def test_keyframes_are_taken_by_distance_and_by_turn():
    poses = [camera_pose(x=0.1 * i) for i in range(9)]
    poses += [camera_pose(x=0.8, turn=np.deg2rad(4.0 * i)) for i in range(1, 9)]
    images = _images(poses, [view(WAY[0], ROOM)] * len(poses))

    def chosen(**options):
        return [int(image.name) for image, _ in select(images, SelectionOptions(**options))]

    assert chosen() == list(range(17))
    assert chosen(keyframe_distance=0.29) == [0, 3, 6]
    assert chosen(keyframe_angle=15.0) == [0, 12, 16]
    assert chosen(keyframe_distance=0.29, keyframe_angle=15.0) == [0, 3, 6, 12, 16]


def test_blurred_and_covered_images_are_passed_over_for_a_while():
    sharp = view(WAY[0], ROOM)
    frames = [sharp] * 9
    blurred = cv2.GaussianBlur(sharp.image, (0, 0), 4)
    covered = np.full_like(sharp.image, 12)
    for i, image in ((3, blurred), (4, covered)):
        frames[i] = type(sharp)(image, sharp.camera)
    images = _images([camera_pose(x=0.1 * i) for i in range(9)], frames)
    options = SelectionOptions(keyframe_distance=0.25)

    assert sharpness(blurred) < 0.5 * sharpness(sharp.image)
    # 3 and 4 are due; 4 has gone too far to wait for a better one.
    assert [int(i.name) for i, _ in select(images, options)] == [0, 4, 7]
    every = SelectionOptions(keyframe_distance=0.25, sharpness=0.0)
    assert [int(i.name) for i, _ in select(images, every)] == [0, 3, 6]


@needs_gtsam
def test_the_verb_builds_a_straight_map_of_odometry(tmp_path):
    (tmp_path / "bag/rgb").mkdir(parents=True)
    (tmp_path / "bag/depth").mkdir()
    drifted = _drifted(WAY)
    for i, pose in enumerate(WAY):
        frame = view(pose, ROOM)
        cv2.imwrite(str(tmp_path / f"bag/rgb/{i + 1}.000000.png"), frame.image[..., ::-1])
        depth = np.rint(1000 * frame.depth).astype(np.uint16)
        cv2.imwrite(str(tmp_path / f"bag/depth/{i + 1}.000000.png"), depth)
    write_poses(
        tmp_path / "bag/groundtruth.txt", (((i + 1) * 10**9, p) for i, p in enumerate(drifted))
    )
    write_calibration(tmp_path / "bag/camera_info.yaml")

    run("map", "build", tmp_path / "bag", tmp_path / "map", "--poses", "odometry",
        "--front-end", "sift", "--drift", 0.05, "--drift-rotation", 2,
        "--every", 2, "--json", tmp_path / "out.json")  # fmt: skip

    facts = json.loads((tmp_path / "out.json").read_text())
    assert facts["loop_closures"]["believed"] >= 3
    assert 0 < facts["refinement"]["pairs"] <= facts["loop_closures"]["believed"]
    assert facts["refinement"]["reprojection_after_px"] < 1
    found = open_map(tmp_path / "map")
    poses = [k.pose for k in found]
    first = WAY[0] @ transforms.inverse(poses[0])
    assert _worst([first @ pose for pose in poses], WAY[::2]) < 0.03 < _worst(drifted, WAY)
    assert all(k.covariance is not None for k in found)


def test_without_gtsam_the_error_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "gtsam", None)
    with pytest.raises(MissingExtraError, match=r"mast3r_ros\[mapping\].*Python 3\.10"):
        solve_pose_graph([np.eye(4)], [], [])
