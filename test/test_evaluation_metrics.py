# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The figures of an evaluation, on cases computed by hand."""

import numpy as np
import pytest

from mast3r_ros.evaluation.metrics import Outcome, summarize
from mast3r_ros.geometry import transforms
from mast3r_ros.localization.result import Localization, Reason


def _outcome(distance, degrees, seconds=0.1, **more):
    truth = transforms.make(transforms.rotation_from_vector([0.3, -0.2, 0.9]), [1.0, 2.0, 3.0])
    delta = [0.0, distance, 0.0, np.deg2rad(degrees), 0.0, 0.0]
    pose = transforms.perturb(truth, delta)
    return Outcome("q", truth, "localized", "", pose, timings={"solve": seconds}, **more)


def _refused(reason="few_inliers"):
    return Outcome("q", np.eye(4), reason, "why", timings={"describe": 0.2, "solve": 0.3})


def test_errors_are_distance_and_angle():
    outcome = _outcome(0.3, 20.0)

    assert outcome.translation_error == pytest.approx(0.3)
    assert np.rad2deg(outcome.rotation_error) == pytest.approx(20.0)


def test_a_class_needs_both_errors():
    assert _outcome(0.04, 0.9).within(0.05, 1.0)
    assert not _outcome(0.04, 1.1).within(0.05, 1.0)
    assert not _outcome(0.06, 0.9).within(0.05, 1.0)
    assert not _refused().within(1e9, 1e9)


def test_fractions_are_of_all_queries():
    outcomes = [
        _outcome(0.02, 0.5, 0.1),
        _outcome(0.08, 0.5, 0.2),  # by its distance in the second class
        _outcome(0.02, 4.0, 0.3),  # by its angle in the third
        _outcome(0.20, 6.0, 0.4),  # wrong by its angle
        _outcome(0.30, 0.1, 0.5),  # wrong by its distance
        _refused(),
        _refused(),
        _refused("ambiguous"),
    ]

    summary = summarize(outcomes)

    assert summary["queries"] == 8
    assert summary["localized"] == 5 / 8
    assert summary["within_5cm_1deg"] == 1 / 8
    assert summary["within_10cm_2deg"] == 2 / 8
    assert summary["within_25cm_5deg"] == 3 / 8
    assert summary["wrong_accepted"] == 2
    assert summary["median_translation_m"] == pytest.approx(0.08)
    assert summary["median_rotation_deg"] == pytest.approx(0.5)
    assert summary["p95_translation_m"] == pytest.approx(0.28)
    assert summary["refusals"] == {"few_inliers": 2, "ambiguous": 1}
    assert summary["latency_ms"] == {
        "solve": pytest.approx(300.0),
        "describe": pytest.approx(200.0),
        "total": pytest.approx(450.0),
        "total_p95": pytest.approx(500.0),
    }


def test_nothing_localized_has_no_medians():
    summary = summarize([_refused()])

    assert summary["localized"] == 0.0
    assert summary["wrong_accepted"] == 0
    assert summary["median_translation_m"] is None
    assert summary["median_normalized_error"] is None


def test_no_queries_are_an_error():
    with pytest.raises(ValueError, match="every image is a keyframe"):
        summarize([])


def test_the_normalized_error_is_a_mahalanobis_distance():
    covariance = np.diag([1.0, 0.01, 1.0, 1.0, 1.0, 1.0])

    outcome = _outcome(0.3, 0.0, covariance=covariance)

    assert outcome.normalized_error == pytest.approx(0.3**2 / 0.01)
    assert summarize([outcome])["median_normalized_error"] == pytest.approx(9.0)
    assert np.isnan(_outcome(0.3, 0.0).normalized_error)


def test_a_refusal_of_the_relocalizer_keeps_its_reason():
    answer = Localization(Reason.UNCERTAIN, "uncertain (1 m)", inliers=20, timings={"solve": 1.0})

    outcome = Outcome.of("name", np.eye(4), answer)

    assert (outcome.reason, outcome.message, outcome.inliers) == (
        "uncertain",
        "uncertain (1 m)",
        20,
    )
    assert (outcome.pose, outcome.keyframe) == (None, None)
    assert outcome.translation_error == np.inf
