# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keyframes elsewhere that say nothing of a pose, and those that do."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import camera_pose, make_camera
from told import ToldFrontEnd, numbered

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.bystanders import bystanders
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.result import KeyframeMatch, Localization, Reason
from mast3r_ros.localization.view import MatchedView
from mast3r_ros.matching.correspondences import Correspondences

_CAMERA = make_camera()
_QUERY = camera_pose(0.3, -0.1, 0.2, turn=-0.1)
_ELSEWHERE = camera_pose(20.0)


def _seen(query: np.ndarray, keyframe: np.ndarray, count: int, seed: int) -> Correspondences:
    """Matches of a keyframe with an image taken at a pose."""
    random = np.random.default_rng(seed)
    pixels = random.uniform(0, (_CAMERA.width, _CAMERA.height), (count, 2))
    points = transforms.apply(query, _CAMERA.unproject(pixels, random.uniform(1.5, 5.0, count)))
    local = transforms.apply(transforms.inverse(keyframe), points)
    return Correspondences(
        _CAMERA.project(local).astype(np.float32),
        pixels.astype(np.float32),
        np.ones(count, np.float32),
        local.astype(np.float32),
        np.full(count, 0.002, np.float32),
        metric=True,
    )


def _chance(count: int) -> Correspondences:
    """Matches that agree on nothing."""
    told = _seen(_QUERY, np.eye(4), count, 7)
    shuffled = np.random.default_rng(8).permutation(told.query_pixels)
    return replace(told, query_pixels=shuffled)


def _asked(found: Correspondences, bent: Pose | None = None):
    """What `bystanders` says of a keyframe elsewhere with these matches.

    Half of the matches that hold the answer may be of a pose that is bent against it.
    """
    size = (_CAMERA.width, _CAMERA.height)
    keyframes = KeyframeMap(ToldFrontEnd({}))
    for number, pose in enumerate((np.eye(4), _ELSEWHERE)):
        keyframes.add(numbered(number, size, camera=_CAMERA), pose)
    held = _seen(_QUERY, np.eye(4), 200, 1)
    if bent is not None:
        other = _seen(bent @ _QUERY, np.eye(4), 200, 1)
        for name in ("query_pixels", "reference_pixels", "reference_points"):
            getattr(held, name)[::2] = getattr(other, name)[::2]
    known = KeyframeMatch(keyframes[0].id, held, np.ones(len(held), bool))
    answer = Localization(Reason.LOCALIZED, "", _QUERY, matches=(known,))
    view = MatchedView(_CAMERA, (keyframes[0], keyframes[1]), (held, found))
    return bystanders(answer, [view], [1.0], 20, RelocalizerOptions())


def test_a_keyframe_whose_matches_are_chance_says_nothing():
    silent = _asked(_chance(150))

    assert [m.keyframe_id for m in silent] == [1]
    assert len(silent[0].inliers) == 150
    assert not silent[0].inliers.any()


@pytest.mark.parametrize("moved", [np.eye(4), _ELSEWHERE], ids=["the same", "another"])
def test_a_keyframe_that_knows_a_pose_has_a_say(moved):
    assert _asked(_seen(moved @ _QUERY, _ELSEWHERE, 70, 2)) is None


def test_a_keyframe_without_points_may_have_a_say():
    told = _chance(150)
    told.reference_points[:] = np.nan

    assert _asked(told) is None


@pytest.mark.parametrize(("turn", "silent"), [(0.02, True), (0.15, False)])
def test_what_is_left_over_is_another_place_or_the_same_one(turn, silent):
    bent = transforms.make(transforms.rotation_from_vector([0.0, turn, 0.0]), np.zeros(3))

    assert (_asked(_chance(150), bent) is not None) is silent
