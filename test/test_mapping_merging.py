# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Two sessions become one map, or the reason why not."""

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic import OTHER_ROOM, ROOM, camera_pose, view
from test_cli import run
from typer.testing import CliRunner

from mast3r_ros.cli import app as cli
from mast3r_ros.cli.maps import open_map
from mast3r_ros.evaluation.pose_error import Bound, PoseError
from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.result import Localization, Reason
from mast3r_ros.mapping import edit, merging
from mast3r_ros.mapping.extra import MappingError
from mast3r_ros.mapping.options import RefineOptions

POSES = [camera_pose(x=0.15 * i - 0.6, y=0.04 * (i % 3), turn=-0.05 * i) for i in range(8)]
# Where the other session's map began.
OTHER = camera_pose(3.0, -1.0, 0.5, turn=1.1, tilt=0.2)
BOUND = Bound.of(0.03, 1.0)


@pytest.fixture(scope="module")
def sift():
    return SiftFrontEnd(SiftOptions(max_keypoints=400))


def _built(sift, numbers, world=ROOM):
    built = KeyframeMap(sift)
    for i in numbers:
        built.add(view(POSES[i], world, stamp=i + 1), POSES[i])
    return built


@pytest.fixture(scope="module")
def even(sift):
    return _built(sift, range(0, 8, 2))


@pytest.fixture(scope="module")
def odd(sift):
    """The other keyframes, in the frame of another session."""
    return edit.transform(_built(sift, range(1, 8, 2)), OTHER)


@pytest.fixture(scope="module")
def found(even, odd):
    return list(merging.localize_keyframes(even, odd))


def test_another_session_is_aligned(found, even, odd):
    alignment = merging.align_maps(found)

    error = PoseError.of(alignment.pose, transforms.inverse(OTHER))
    assert (error.translation_m, error.rotation_deg) < (0.03, 0.5)
    assert alignment.keyframes == alignment.localized == alignment.agreeing == 4
    assert alignment.position_m < 0.02
    both = merging.joined(even, odd, alignment.pose)
    assert [k.id for k in both] == list(range(8))
    for keyframe in both:
        assert PoseError.of(keyframe.pose, POSES[keyframe.stamp - 1]).within(BOUND)


def test_one_keyframe_that_is_wrong_does_not_turn_the_map(found):
    wrong = list(found)
    wrong[1] = found[1][0], replace(found[1][1], pose=found[1][1].pose @ camera_pose(2.0))
    alignment = merging.align_maps(wrong)

    assert (alignment.localized, alignment.agreeing) == (4, 3)
    assert transforms.distance(alignment.pose, transforms.inverse(OTHER)) < 0.03


def test_keyframes_that_do_not_agree_are_refused_with_figures(found):
    shifts = (0.0, 2.0, 4.0, 4.0)
    wrong = [
        (other, replace(answer, pose=camera_pose(shift) @ answer.pose))
        for shift, (other, answer) in zip(shifts, found, strict=True)
    ]
    with pytest.raises(MappingError, match=r"4 of 4 keyframes.*only 2 of them agree"):
        merging.align_maps(wrong)


def test_maps_without_overlap_are_refused_with_figures(found, even, sift):
    stranger = _built(sift, range(3), OTHER_ROOM)
    with pytest.raises(MappingError, match="no overlap: 0 of 3 keyframes"):
        merging.align_maps(merging.localize_keyframes(even, stranger))
    refused = Localization(Reason.FEW_MATCHES, "none")
    lost = [(other, refused) for other, _ in found[:2]] + found[2:]
    with pytest.raises(MappingError, match="no overlap: 2 of 4 keyframes"):
        merging.align_maps(lost)


@pytest.mark.parametrize(
    ("apart", "expected"),
    [((0.002, 0.0002), (0.01, 0.573)), ((0.03, 0.02), (0.0195, 0.745)), ((0.2, 0.1), (0.03, 1.0))],
    ids=["maps that agree", "between", "no more than stated"],
)
def test_keyframes_move_no_further_than_the_maps_disagree(found, apart, expected):
    alignment = merging.align_maps(found)
    shown = replace(alignment, position_m=apart[0], rotation_rad=apart[1])

    options = merging.refining_together(shown, RefineOptions(alike=5))

    assert (options.position_sigma, options.rotation_sigma) == pytest.approx(expected, rel=1e-2)
    assert options.alike == 5


def test_matches_that_contradict_the_merged_poses_are_refused(even, found):
    class Refined:
        agreeing = ((0, 1), (0, 7), (2, 8), (4, 9))
        contradicting = ((0, 9), (2, 7))

    with pytest.raises(MappingError, match=r"of 4 pairs .* 2 contradict"):
        merging.check_merged(Refined, even)


def test_the_verb_merges_and_reports(even, odd, tmp_path):
    even.save(tmp_path / "even")
    odd.save(tmp_path / "odd")
    command = ("map", "merge", tmp_path / "even", tmp_path / "odd", tmp_path / "both")

    run(*command, "--rolling-shutter", 0, "--json", tmp_path / "out.json")

    facts = json.loads((tmp_path / "out.json").read_text())
    assert facts["alignment"]["agreeing"] == 4
    assert facts["refinement"]["contradicting_pairs"] == []
    for keyframe in open_map(tmp_path / "both"):
        assert PoseError.of(keyframe.pose, POSES[keyframe.stamp - 1]).within(BOUND)


def test_maps_of_different_front_ends_are_refused(even, odd):
    class Another:
        name, fingerprint = "another", "1"

    stranger = KeyframeMap(Another())
    with pytest.raises(MappingError, match=r"of front ends 'sift'.*'another'"):
        list(merging.localize_keyframes(even, stranger))


def test_refusals_end_the_verb_with_status_2(even, sift, tmp_path):
    even.save(tmp_path / "even")
    _built(sift, range(3), OTHER_ROOM).save(tmp_path / "stranger")
    command = ["map", "merge", *(str(tmp_path / name) for name in ("even", "stranger", "out"))]
    assert isinstance(CliRunner().invoke(cli.app, command).exception, MappingError)
    assert not (tmp_path / "out").exists()
    assert np.isfinite([k.pose for k in open_map(tmp_path / "even")]).all()
