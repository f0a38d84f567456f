# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A map does without keyframes that show what others show, and keeps the others."""

import json

import pytest
from synthetic import OTHER_ROOM, ROOM, camera_pose, view
from test_cli import run

from mast3r_ros.cli.maps import open_map
from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.mapping import pruning, refinement
from mast3r_ros.mapping.options import RefineOptions

# Four within 6 cm, one that sees as much from further away, and one of another place.
POSES = [camera_pose(x=x) for x in (0.0, 0.02, 0.04, 0.06, 0.5)]


@pytest.fixture(scope="module")
def dense():
    keyframes = KeyframeMap(SiftFrontEnd(SiftOptions(max_keypoints=400)))
    for pose in POSES:
        keyframes.add(view(pose, ROOM), pose)
    keyframes.add(view(camera_pose(x=5.0), OTHER_ROOM), camera_pose(x=5.0))
    return keyframes


@pytest.fixture(scope="module")
def matches(dense):
    pairs = refinement.candidate_pairs(dense, RefineOptions())
    return list(refinement.matched_pairs(dense, pairs))


def test_redundant_keyframes_go_and_the_place_is_still_known(dense, matches):
    found = pruning.prune(dense, matches, covered=0.8, reach=0.2)

    kept = [k.id for k in found.keyframes]
    assert {4, 5} <= set(kept)
    assert 1 <= len({0, 1, 2, 3} & set(kept)) <= 3
    assert set(kept) | set(found.removed) == set(range(6))
    assert min(found.removed.values()) >= 0.8
    assert Relocalizer(found.keyframes).localize(view(camera_pose(x=0.03))).localized


def test_nothing_goes_that_no_other_shows(dense, matches):
    assert not pruning.prune(dense, matches, covered=0.8, reach=0.0).removed
    assert not pruning.prune(dense, [None] * 3, covered=0.1, reach=9.0).removed


def test_the_verb_saves_the_rest(dense, tmp_path):
    dense.save(tmp_path / "map")
    run("map", "prune", tmp_path / "map", "--out", tmp_path / "rest", "--covered", 0.8,
        "--reach", 0.2, "--json", tmp_path / "out.json")  # fmt: skip

    removed = json.loads((tmp_path / "out.json").read_text())["removed"]
    assert removed
    assert len(open_map(tmp_path / "rest")) == 6 - len(removed)
