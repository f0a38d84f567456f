# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Black-outs with other draws of odometry's noise."""

import numpy as np
import pytest

from mast3r_ros.evaluation.drive_figures import Step
from mast3r_ros.evaluation.filtered import Tracked
from mast3r_ros.evaluation.in_the_dark import dark_figures
from mast3r_ros.geometry import transforms
from mast3r_ros.localization.map_odom import FilterOptions, FilterState

_OPTIONS = FilterOptions()
_COVARIANCE = np.diag([0.01, 0.01, 0.01, 0.005, 0.005, 0.005]) ** 2
_STEP = transforms.perturb(np.eye(4), [0.16, 0.0, 0.0, 0.0, 0.0, 0.1])


def _drive(error):
    """Two moments with light and five in the dark, the filter's error at the last light; two."""
    steps, body = [], np.eye(4)
    for number in range(8):
        estimate = None if error is None else (transforms.perturb(body, error), _COVARIANCE)
        tracked = Tracked(number, body, False, FilterState.LOCALIZED, estimate)
        steps.append(Step(tracked, None, 2 <= number < 7, None))
        body = body @ _STEP
    return steps


def test_a_filter_that_is_told_the_truth_about_its_errors_is_exact_in_the_dark():
    errors = np.random.default_rng(1).multivariate_normal(np.zeros(6), _COVARIANCE, 60)

    found = dark_figures([_drive(error) for error in errors], _OPTIONS, draws=4)

    assert found["nees"] == pytest.approx(6.0, rel=0.15)
    assert 0.92 < found["coverage"] < 0.98
    assert found["one_draw"] < 0.05


def test_what_is_wrong_when_the_light_goes_out_is_wrong_in_each_draw():
    wrong = np.array([0.1, 0.0, 0.0, 0.0, 0.0, 0.0])

    found = dark_figures([_drive(np.zeros(6)), _drive(wrong)], _OPTIONS, draws=20)

    # The first is more exact than it says.
    assert found["coverage"] == pytest.approx(0.5, abs=0.02)
    assert dark_figures([_drive(None)], _OPTIONS) == {
        "nees": None,
        "coverage": None,
        "one_draw": None,
    }
