# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A check of a map says where it is weak: blind spots, places that look alike, wrong poses."""

import json
from dataclasses import replace

import numpy as np
import pytest
from browser import Page
from synthetic import OTHER_ROOM, ROOM, camera_pose, view
from test_cli import run

from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization, Reason
from mast3r_ros.mapping import checking
from mast3r_ros.mapping.check_report import floor_points, write_report
from mast3r_ros.mapping.expected_strength import compare, expected, over_floor_plan
from mast3r_ros.mapping.extra import MappingError
from mast3r_ros.mapping.show_report import write_page

# Five that see one wall; one that sees another place.
ROW = [camera_pose(x=0.2 * i - 0.4, turn=-0.05 * i) for i in range(5)]
STRANGER = camera_pose(x=8.0)
AWAY = camera_pose(x=30.0)


@pytest.fixture(scope="module")
def sift():
    return SiftFrontEnd(SiftOptions(max_keypoints=400))


@pytest.fixture(scope="module")
def row(sift):
    built = KeyframeMap(sift)
    for i, pose in enumerate(ROW):
        built.add(view(pose, ROOM, stamp=i), pose)
    built.add(view(STRANGER, OTHER_ROOM), STRANGER)
    return built


@pytest.fixture(scope="module")
def places(row):
    return list(checking.check(row))


@pytest.fixture(scope="module")
def twins(sift):
    """A place, and another one far away that looks the same."""
    built = KeyframeMap(sift)
    for shift in (np.eye(4), AWAY):
        for pose in ROW[:3]:
            built.add(view(pose, ROOM), shift @ pose)
    return built


def test_keyframes_are_localized_by_the_others_and_blind_spots_are_not(places):
    assert [p.answer.localized for p in places] == [True] * 5 + [False]
    assert max(p.position_m for p in places[:5]) < 0.02
    assert min(p.strength for p in places[:5]) > 0 == places[5].strength
    assert [p.neighbors for p in places] == [4] * 5 + [0]
    assert not checking.fooling_pairs(places)
    figures = checking.summary(places)
    assert (figures["checked"], figures["localized"], figures["wrong"]) == (6, 5, 0)
    assert figures["without_neighbor"] == 1
    (line,) = checking.advice(places)
    assert line.startswith("No neighbor stands beside keyframe 5")


@pytest.mark.no_cover
def test_places_that_look_alike_fool_each_other(twins):
    places = list(checking.check(twins))

    fooling = {(one, other) for one, other, _ in checking.fooling_pairs(places)}
    assert {(0, 3), (1, 4), (2, 5)} <= fooling
    assert all(one < 3 <= other for one, other in fooling)
    # The right one of two is left out: each image is at its twin, or refused as ambiguous.
    assert all(not p.strength for p in places)
    lines = " ".join(checking.advice(places))
    assert "show different places that match" in lines


def test_one_thing_seen_from_two_sides_fools_nobody(sift):
    keyframes = KeyframeMap(sift)
    for pose in (camera_pose(x=-2.2, z=-0.4, turn=0.4), camera_pose(x=2.2, z=-0.4, turn=-0.4)):
        keyframes.add(view(pose, ROOM), pose)
    for near in (camera_pose(x=-1.0, turn=0.2), camera_pose(x=1.0, turn=-0.2)):
        keyframes.add(view(near, ROOM), near)

    assert not checking.fooling_pairs(list(checking.check(keyframes)))


def test_a_keyframe_with_a_wrong_pose_is_named(row):
    wrong = row.derive(
        replace(k, pose=k.pose @ camera_pose(x=0.6)) if k.id == 2 else k for k in row
    )
    places = list(checking.check(wrong))

    assert [p.keyframe_id for p in places if p.wrong] == [2]
    assert "Keyframe 2 is localized 0.6" in checking.advice(places)[0]


def _place(pose, confidence=0.0):
    reason = Reason.LOCALIZED if confidence else Reason.FEW_INLIERS
    answer = Localization(reason, "", pose if confidence else None, confidence=confidence)
    return checking.Place(0, pose, answer, 0.0, 0.0, 0, {})


def test_strength_falls_with_the_way_and_the_turn_to_a_keyframe():
    weak, strong = _place(camera_pose()), _place(camera_pose(x=10.0), confidence=1.0)
    poses = [camera_pose(x=10.0), camera_pose(), camera_pose(x=1.0), camera_pose(turn=np.pi / 6)]

    assert expected([weak, strong], poses) == pytest.approx(
        [1.0, 0.5, 0.5 / np.e, 0.5 / np.e], rel=1e-3
    )
    # A strong one far away counts more than a weak one at hand does only where it is near enough.
    assert expected([strong], [camera_pose(x=9.0)]) == pytest.approx([1 / np.e])


def test_images_fail_where_the_check_expects_it(row):
    places = list(checking.check(row))
    # Beside the row, far aside of it, and one image that is a keyframe itself.
    poses = [camera_pose(x=0.1), camera_pose(x=-0.3), camera_pose(x=3.0), camera_pose(x=3.5)]
    images = [(PosedImage(str(i), p, None), view(p, ROOM, stamp=9)) for i, p in enumerate(poses)]
    images.append((PosedImage("keyframe", ROW[0], None), view(ROW[0], ROOM, stamp=0)))

    trial = compare(places, Relocalizer(row), images)

    assert (trial.images, trial.right) == (4, 2)
    assert trial.rank_correlation > 0.8
    assert np.isnan(compare(places, Relocalizer(row), images[:2]).rank_correlation)


def test_the_heat_map_is_strong_near_strong_keyframes_and_unknown_elsewhere():
    places = [_place(camera_pose()), _place(camera_pose(x=8.0), confidence=1.0)]
    grid = np.array([[0.0, 0.0], [8.0, 0.0], [8.0, 1.0], [4.0, 0.0]])

    weak, strong, beside, unknown = over_floor_plan(places, grid, (0, 2))

    assert [weak, strong, beside] == pytest.approx([0.5, 1.0, 1 / np.e])
    assert np.isnan(unknown)


def test_one_keyframe_cannot_be_checked(row):
    with pytest.raises(MappingError, match="1 keyframes: a check leaves one out"):
        list(checking.check(row.derive(list(row)[:1])))


def test_the_page_is_whole_in_a_browser(twins, tmp_path):
    places = list(checking.check(twins))
    write_report(tmp_path / "check.html", twins, places, "twins")

    page = Page(tmp_path / "check.html", tmp_path, size=(1200, 2400))

    assert not page.requests
    assert "Check of twins" in page.dom
    assert "Pairs that fool each other" in page.dom
    # Red crosses of keyframes that are lost: a plan was drawn.
    blue, green, red = np.moveaxis(page.picture.astype(int), -1, 0)
    assert ((red > 180) & (green < 60) & (blue < 60)).sum() > 50


def test_the_verb_writes_figures_and_a_page(row, tmp_path):
    row.save(tmp_path / "map")
    run("map", "check", tmp_path / "map", "--report", tmp_path / "page.html",
        "--json", tmp_path / "out.json")  # fmt: skip

    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["localized"] == 5
    assert [k["id"] for k in figures["keyframes"]] == list(range(6))
    assert figures["keyframes"][5]["error_m"] is None
    assert len(figures["advice"]) == 1
    assert "Floor plan" in (tmp_path / "page.html").read_text()


def test_a_plan_shows_the_points_of_the_place(row):
    points = floor_points(row)
    assert len(points) > 500
    assert 1.5 < np.median(points[:, 2]) < 3.1


def test_a_page_shows_the_map(row, tmp_path):
    row.save(tmp_path / "map")
    run("map", "show", tmp_path / "map", tmp_path / "show.html")

    shown = (tmp_path / "show.html").read_text()
    assert shown.count("<figure>") == 6
    assert "5:</b> at 8.00, 0.00, 0.00 m" in shown
    with pytest.raises(MappingError, match="nothing to show"):
        write_page(tmp_path / "none.html", KeyframeMap(row.front_end), "none")
