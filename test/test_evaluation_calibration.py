# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What covariance and confidence are worth, on samples whose answer is known."""

import re

import numpy as np
import pytest

from mast3r_ros.drawing import calibration as plots
from mast3r_ros.evaluation.calibration import (
    calibration_error,
    nees_figures,
    precision_recall,
    protection_figures,
    reliability_bins,
)


def test_chi_square_samples_have_the_figures_of_an_exact_covariance():
    values = np.random.default_rng(0).chisquare(6, 100_000)

    found = nees_figures(values)

    assert found["mean"] == pytest.approx(6.0, rel=0.02)
    assert found["median"] == pytest.approx(5.35, rel=0.02)
    assert found["p95"] == pytest.approx(12.59, rel=0.02)
    assert found["coverage_95"] == pytest.approx(0.95, abs=0.003)


def test_what_is_not_finite_does_not_count():
    assert nees_figures([np.nan, 4.0])["mean"] == 4.0


def test_precision_and_recall_by_hand():
    curve = precision_recall([0.2, 0.9, 0.5], [True, True, False], queries=4)

    np.testing.assert_allclose(curve.recall, [0.25, 0.25, 0.5])
    np.testing.assert_allclose(curve.precision, [1.0, 0.5, 2 / 3])
    assert curve.area == pytest.approx((1.0 + 2 / 3) / 4)


def test_bins_hold_every_pose_once_and_their_share_of_right_ones():
    confidence = [0.0, 0.05, 0.31, 0.39, 1.0]

    bins = reliability_bins(confidence, [False, True, True, True, True])

    assert [(b["from"], b["poses"], b["right"]) for b in bins] == [
        (0.0, 2, 0.5),
        (0.3, 2, 1.0),
        (0.9, 1, 1.0),
    ]
    assert bins[1]["confidence"] == pytest.approx(0.35)
    expected = (2 * 0.475 + 2 * 0.65 + 0.0) / 5
    assert calibration_error(bins) == pytest.approx(expected)
    assert calibration_error([]) is None


def _points(svg, marks):
    """How many markers a plot has that repeat one of its marker definitions."""
    return svg.decode().count("<use ") >= marks


def test_quantiles_are_drawn_for_each_curve():
    values = np.random.default_rng(1).chisquare(6, 50)

    svg = plots.nees_quantiles({"NEES": values, "with the truth's sigma": values / 2})

    texts = re.findall(rb"<text[^>]*>([^<]+)</text>", svg)
    assert {b"quantile of NEES", b"NEES", b"exact"} <= set(texts)
    assert _points(svg, 100)


def test_reliability_and_precision_are_drawn():
    svg = plots.reliability(np.array([0.2, 0.8]), np.array([0.5, 1.0]), np.array([4, 17]))

    assert b">17<" in svg
    assert b">precision<" in plots.precision_recall(np.array([0.2, 0.4]), np.array([1.0, 0.9]))


def test_protection_levels_by_hand():
    found = protection_figures([0.1, 0.2, 0.5, np.inf], [0.2, 0.8, 0.4, 1.0])
    assert found["exceeded"] == pytest.approx(1 / 3)
    assert found["median_ratio"] == pytest.approx(2.0)
    assert found["median"] == pytest.approx(0.4)
    assert protection_figures([], [])["exceeded"] is None


def test_a_hundred_poses_without_a_failure_support_three_percent_and_no_less():
    found = protection_figures(np.full(100, 0.1), np.full(100, 0.2))
    assert found["exceeded"] == 0.0
    assert found["at_most"] == pytest.approx(0.0295, abs=5e-4)
    assert protection_figures([0.2], [0.1])["at_most"] == 1.0
