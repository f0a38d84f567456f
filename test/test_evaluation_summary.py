# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The figures of an evaluation, on cases computed by hand."""

import numpy as np
import pytest

from mast3r_ros.evaluation.outcome import Outcome
from mast3r_ros.evaluation.pose_error import Bound, PoseError
from mast3r_ros.evaluation.summary import NoQueriesError, summarize
from mast3r_ros.geometry import transforms
from mast3r_ros.localization.result import Localization, Reason


def _outcome(distance, degrees, seconds=0.1, **more):
    truth = transforms.make(transforms.rotation_from_vector([0.3, -0.2, 0.9]), [1.0, 2.0, 3.0])
    delta = [0.0, distance, 0.0, np.deg2rad(degrees), 0.0, 0.0]
    pose = transforms.perturb(truth, delta)
    return Outcome("q", truth, "localized", pose=pose, timings={"solve": seconds}, **more)


def _refused(reason="few_inliers"):
    return Outcome("q", np.eye(4), reason, "why", timings={"describe": 0.2, "solve": 0.3})


def test_errors_are_distance_and_angle():
    error = _outcome(0.3, 20.0).error

    assert error.translation_m == pytest.approx(0.3)
    assert error.rotation_rad == pytest.approx(np.deg2rad(20.0))
    assert error.rotation_deg == pytest.approx(20.0)
    np.testing.assert_allclose(error.delta, [0, 0.3, 0, np.deg2rad(20), 0, 0], atol=1e-12)


def test_a_bound_needs_both_errors():
    bound = Bound.of(0.05, 1.0)

    assert _outcome(0.04, 0.9).error.within(bound)
    assert not _outcome(0.04, 1.1).error.within(bound)
    assert not _outcome(0.06, 0.9).error.within(bound)
    assert not _refused().error.within(Bound.of(1e9, 179.0))
    assert _outcome(0.04, 3.0).error.excess(bound) == pytest.approx(3.0)
    assert _outcome(0.10, 1.0).error.excess(bound) == pytest.approx(2.0)
    assert (bound.key, bound.label) == ("within_5cm_1deg", "5 cm, 1°")


def test_a_direction_is_that_of_the_translation():
    truth = transforms.make(np.eye(3), [1.0, 0.0, 0.0])
    beside = transforms.make(np.eye(3), [0.0, 3.0, 0.0])

    assert PoseError.of(beside, truth).direction_deg == pytest.approx(90.0)
    assert PoseError.of(np.eye(4), truth).direction_rad == np.inf


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
    assert summary["nees"] == dict.fromkeys(("mean", "median", "p95", "coverage_95"))
    assert summary["confidence"]["precision_recall_auc"] == 0.0


def test_no_queries_are_an_error():
    with pytest.raises(NoQueriesError, match="every image is a keyframe"):
        summarize([])


def test_nees_is_a_squared_mahalanobis_distance():
    covariance = np.diag([1.0, 0.01, 1.0, 1.0, 1.0, 1.0])

    outcome = _outcome(0.3, 0.0, covariance=covariance)

    assert outcome.nees() == pytest.approx(0.3**2 / 0.01)
    assert summarize([outcome])["nees"]["median"] == pytest.approx(9.0)
    assert np.isnan(_outcome(0.3, 0.0).nees())


def test_the_truths_own_error_is_added_to_the_covariance():
    outcomes = [_outcome(d, 0.0, covariance=0.01 * np.eye(6)) for d in (0.3, 0.6)]

    summary = summarize(outcomes, truth_covariance=0.02 * np.eye(6))

    assert summary["nees"]["mean"] == pytest.approx((9.0 + 36.0) / 2)
    assert summary["nees"]["coverage_95"] == 0.5
    assert summary["nees_with_truth_sigma"]["mean"] == pytest.approx((3.0 + 12.0) / 2)
    assert summary["nees_with_truth_sigma"]["coverage_95"] == 1.0


def test_decodes_are_the_keyframes_compared():
    outcomes = [_outcome(0.0, 0.0, decodes=3), _outcome(0.0, 0.0, decodes=5), _refused()]

    assert summarize(outcomes)["mean_decodes"] == pytest.approx(8 / 3)


def test_a_refusal_of_the_relocalizer_keeps_its_reason():
    answer = Localization(Reason.UNCERTAIN, "uncertain (1 m)", inliers=20, timings={"solve": 1.0})

    outcome = Outcome.of("name", np.eye(4), answer)

    assert (outcome.reason, outcome.message, outcome.inliers) == (
        "uncertain",
        "uncertain (1 m)",
        20,
    )
    assert (outcome.pose, outcome.keyframe) == (None, None)
    assert outcome.error.translation_m == np.inf
