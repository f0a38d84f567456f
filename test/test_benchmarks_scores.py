# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scores of benchmarks, against checked values and by hand."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mast3r_ros.evaluation.benchmarks.scores import (
    acceptance_curve,
    averaged,
    relative_angles,
    relative_pose_scores,
)
from mast3r_ros.evaluation.benchmarks.vcre import vcre, virtual_points
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera


@pytest.fixture(scope="module")
def golden(reference):
    return json.loads((reference / "golden/mapfree_metrics.json").read_text())


def _pose(q, t):
    """Reference camera <- query camera."""
    w, x, y, z = q
    return transforms.from_quaternion(t, [x, y, z, w])


def test_virtual_points_fill_the_published_grid(golden):
    points = virtual_points()
    assert [len(points), 4] == golden["grid_shape"]
    assert points.min(0) == pytest.approx(golden["grid_min"][:3])
    assert points.max(0) == pytest.approx(golden["grid_max"][:3])


def test_vcre_and_pose_errors_are_the_checked_ones(golden):
    camera = Camera.from_matrix((golden["W"], golden["H"]), golden["K"])
    for row in golden["rows"]:
        truth = _pose(row["q_gt"], row["t_gt"])
        estimate = _pose(row["q_est"], row["t_est"])
        assert vcre(estimate, truth, camera) == pytest.approx(row["vcre"], rel=1e-6)
        assert np.rad2deg(transforms.rotation_angle(estimate, truth)) == pytest.approx(row["rot"])
        assert transforms.distance(estimate, truth) == pytest.approx(row["trans"])


def test_vcre_of_the_true_pose_is_zero_and_never_beyond_a_diagonal_where_all_is_behind():
    camera = Camera(540, 720, 590.0, 590.0, 270.0, 352.0)
    truth = transforms.make(transforms.rotation_from_vector([0.1, 0.2, 0.3]), [1.0, 2.0, 3.0])
    about = transforms.make(transforms.rotation_from_vector([0.0, np.pi, 0.0]), np.zeros(3))
    assert vcre(truth, truth, camera) == pytest.approx(0.0, abs=1e-9)
    assert vcre(truth @ about, truth, camera) == pytest.approx(np.hypot(540, 720))


def test_the_acceptance_curve_is_the_checked_one(golden):
    pr = golden["pr"]
    queries = len(pr["conf"]) + pr["failures"]
    curve = acceptance_curve(pr["conf"], pr["tp"], queries)
    assert curve.area == pytest.approx(pr["ap"], rel=1e-6)
    # The file runs from the last accepted to the first, and ends with nothing accepted.
    assert curve.precision[::-1] == pytest.approx(pr["precision"][:-1])
    assert curve.accepted[::-1] == pytest.approx(pr["recall"][:-1], rel=1e-6)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_the_area_lies_between_nothing_and_the_share_accepted(answers):
    confidence, right = zip(*answers, strict=True)
    curve = acceptance_curve(confidence, right, len(answers) + 3)
    assert 0.0 <= curve.area <= len(answers) / (len(answers) + 3) + 1e-12
    assert curve.accepted[-1] == pytest.approx(len(answers) / (len(answers) + 3))


def test_the_area_of_right_answers_alone_is_one():
    assert acceptance_curve([0.1, 0.9, 0.5], [1, 1, 1], 3).area == pytest.approx(1.0)
    assert acceptance_curve([], [], 3).area == 0.0


def test_relative_scores_by_hand():
    scores = relative_pose_scores([0.5, 14.9, 15.0, 180.0], [0.2, 20.5, 1.0, 180.0])
    assert scores["RRA@15"] == 0.5
    assert scores["RTA@15"] == 0.5
    # Greater errors 0.5, 20.5, 15 and 180: below 30, 10, 15 and 0 of the thresholds 1 to 30.
    assert scores["mAA30"] == pytest.approx((30 + 10 + 15 + 0) / 30 / 4)


def test_the_direction_of_a_translation_has_no_sign():
    truth = transforms.make(np.eye(3), [1.0, 0.0, 0.0])
    back = transforms.make(np.eye(3), [-3.0, 0.0, 0.0])
    aside = transforms.make(np.eye(3), [1.0, 1.0, 0.0])
    assert relative_angles(back, truth) == pytest.approx((0.0, 0.0))
    assert relative_angles(aside, truth) == pytest.approx((0.0, 45.0))
    assert relative_angles(np.eye(4), truth) == (0.0, 180.0)
    assert relative_angles(None, truth) == (180.0, 180.0)


def test_every_group_counts_as_much():
    assert averaged({"a": {"x": 1.0}, "b": {"x": 0.0}}) == {"x": 0.5}
