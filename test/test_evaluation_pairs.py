# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The figures of pairs, on cases computed by hand."""

import json

import numpy as np
import pytest

from mast3r_ros.evaluation.matches import MatchErrors
from mast3r_ros.evaluation.pairs import PairOutcome, summarize_pairs
from mast3r_ros.evaluation.summary import NoQueriesError
from mast3r_ros.geometry import transforms

TRUTH = transforms.make(transforms.rotation_from_vector([0.1, -0.2, 0.3]), [0.0, 0.0, 2.0])


def _moved(meters=0.0, degrees=0.0):
    """The truth, moved across its translation, and turned."""
    return transforms.perturb(TRUTH, [meters, 0.0, 0.0, np.deg2rad(degrees), 0.0, 0.0])


def _accepted(meters=0.0, degrees=0.0, confidence=0.5, overlap=0.5, **more):
    pose = _moved(meters, degrees)
    more = {"overlap": overlap, "unchecked": pose, "relative": pose, **more}
    return PairOutcome("p", TRUTH, "localized", pose=pose, confidence=confidence, **more)


def _refused(overlap=0.5, **more):
    return PairOutcome("p", TRUTH, "few_inliers", overlap=overlap, **more)


def _matches(pixels, confidence=None, kept=None, side=100):
    pixels = np.array(pixels, np.float64)
    confidence = np.linspace(1, 0, len(pixels)) if confidence is None else np.array(confidence)
    return MatchErrors(pixels, confidence, np.array(kept or [True] * len(pixels)), side)


def test_shares_are_of_all_pairs_and_medians_of_the_accepted():
    outcomes = [
        _accepted(0.09, 1.0),
        _accepted(0.3, 3.0),
        _accepted(0.6, 1.0),  # wrong by its distance
        _accepted(0.3, 11.0),  # wrong by its angle
        _refused(),
    ]

    found = summarize_pairs(outcomes)

    assert found["queries"] == 5
    assert found["localized"] == 4 / 5
    assert found["wrong_accepted"] == 2
    assert found["within_50cm_10deg"] == 2 / 5
    assert found["within_10cm_2deg"] == 1 / 5
    assert found["median_rotation_deg"] == pytest.approx(2.0)
    assert found["median_translation_m"] == pytest.approx(0.3)
    assert found["median_direction_deg"] == pytest.approx(np.rad2deg(np.arctan2(0.3, 2.0)))
    assert found["refusals"] == {"few_inliers": 1}


def test_what_was_refused_for_no_reason_shows_among_the_unchecked():
    outcomes = [_accepted(0.05), _refused(unchecked=_moved(0.09)), _refused(unchecked=_moved(3.0))]

    found = summarize_pairs([*outcomes, _refused()])

    assert found["within_10cm_2deg"] == 1 / 4
    unchecked = found["unchecked"]
    assert unchecked["within_10cm_2deg"] == 2 / 4
    assert unchecked["localized"] == 3 / 4
    assert unchecked["median_translation_m"] == pytest.approx(0.09)
    assert unchecked["metric_ratio"] == pytest.approx(np.hypot(2.0, 0.09) / 2.0)


def test_the_auc_is_the_area_under_the_share_within_an_angle():
    """Errors of 2.5, 8 and none: under 5 degrees the area is (5 - 2.5) / 5 / 3."""
    found = summarize_pairs([_accepted(0.0, 2.5), _accepted(0.0, 8.0), _refused()])

    assert found["auc_5deg"] == pytest.approx(0.5 / 3)
    assert found["auc_10deg"] == pytest.approx((0.75 + 0.2) / 3)
    assert found["auc_20deg"] == pytest.approx((0.875 + 0.6) / 3)


def test_the_auc_takes_the_greater_of_rotation_and_direction():
    far = _accepted(2.0, 1.0)  # 45 degrees beside the way

    assert far.relative_error_deg == pytest.approx(45.0)
    assert summarize_pairs([far])["auc_20deg"] == 0.0


def test_a_direction_counts_for_the_auc_alone():
    unit = _moved(degrees=4.0)
    unit[:3, 3] /= 7.0
    direction = PairOutcome("p", TRUTH, "direction_only", relative=unit)

    found = summarize_pairs([direction])

    assert found["auc_5deg"] == pytest.approx(0.2)
    assert (found["localized"], found["within_50cm_10deg"]) == (0.0, 0.0)
    assert found["median_rotation_deg"] is None


def test_no_motion_has_no_direction():
    still = PairOutcome("p", TRUTH, "localized", pose=np.eye(4), relative=np.eye(4))

    found = summarize_pairs([still])

    assert found["auc_20deg"] == 0.0
    assert found["metric_ratio"] == 0.0


def test_the_metric_ratio_is_that_of_the_lengths():
    double = TRUTH.copy()
    double[:3, 3] *= 2.0

    pairs = [PairOutcome("p", TRUTH, "localized", pose=p) for p in (TRUTH, double, double)]

    assert summarize_pairs(pairs)["metric_ratio"] == pytest.approx(2.0)


def test_pairs_have_nees():
    pose = _moved(meters=0.3)
    sure = np.diag([0.1, 1.0, 1.0, 1.0, 1.0, 1.0]) ** 2
    outcomes = [PairOutcome("p", TRUTH, "localized", pose=pose, covariance=sure), _refused()]

    assert summarize_pairs(outcomes)["nees"]["median"] == pytest.approx(9.0)


def test_errors_of_matches():
    """Matches count one by one, shares of right ones pair by pair."""
    outcomes = [
        _accepted(matches=_matches([0.5, 3.0, 50.0, np.nan], kept=[True, True, False, True])),
        _accepted(matches=_matches([1.5], side=1000)),
        _refused(matches=_matches([8.0])),
        _refused(),
    ]

    found = summarize_pairs(outcomes)["matches"]

    assert found["median_count"] == 1
    assert found["median_px"] == 3.0
    assert found["mean_px"] == pytest.approx(63.0 / 5)
    assert [found[f"within_{n}px"] for n in (1, 2, 5, 10)] == [0.2, 0.4, 0.6, 0.8]
    assert found["median_of_side"] == pytest.approx(0.03)
    assert found["mean_of_side"] == pytest.approx((0.005 + 0.03 + 0.5 + 0.0015 + 0.08) / 5)
    assert found["right_share"] == pytest.approx((1 / 3 + 1 + 0 + 0) / 4)
    assert found["kept_right_share"] == pytest.approx((1 / 2 + 1 + 0) / 3)


def test_bins_of_overlap_hold_every_pair_once():
    outcomes = [_accepted(overlap=o) for o in (0.0, 0.19, 0.2, 0.5, 0.8, 1.0)] + [_refused(0.5)]

    bins = summarize_pairs(outcomes)["overlap_bins"]

    assert [(b["from"], b["queries"]) for b in bins] == [(0.0, 2), (0.2, 1), (0.4, 2), (0.8, 2)]
    assert [b["localized"] for b in bins] == [1.0, 1.0, 0.5, 1.0]


def test_a_confidence_that_orders_the_errors():
    errors = np.linspace(0.0, 0.9, 10)  # the last four are wrong
    sorted_, reversed_ = (
        [_accepted(e, confidence=c) for e, c in zip(errors, confidence, strict=True)]
        for confidence in (1.0 - errors, errors)
    )

    good, bad = (summarize_pairs(o) for o in (sorted_, reversed_))
    medians = [b["median_translation_m"] for b in good["confidence_bins"]]
    assert len(medians) == 5
    assert medians == sorted(medians)
    assert good["confidence_bins"][0]["to"] == 1.0
    good, bad = good["confidence"], bad["confidence"]

    assert good["spearman"] == pytest.approx(-1.0)
    assert bad["spearman"] == pytest.approx(1.0)
    # All six right ones come first; or after the four wrong ones.
    assert good["precision_recall_auc"] == pytest.approx(0.6)
    expected = sum((i + 1) / (i + 5) for i in range(6)) / 10
    assert bad["precision_recall_auc"] == pytest.approx(expected)


def test_what_is_refused_is_missing_from_the_recall():
    outcomes = [_accepted(), _accepted(), _refused(), _refused()]

    assert summarize_pairs(outcomes)["confidence"]["precision_recall_auc"] == 0.5


def test_a_match_confidence_that_orders_the_errors():
    errors = np.arange(1.0, 11.0)

    found = summarize_pairs([_accepted(matches=_matches(errors, side=400))])["match_calibration"]

    assert found["spearman"] == pytest.approx(-1.0)
    assert [b["median_px"] for b in found["bins"]] == [1.5, 3.5, 5.5, 7.5, 9.5]
    assert [b["right_share"] for b in found["bins"]] == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_nothing_known_is_none_and_fit_for_json():
    found = summarize_pairs([_refused(overlap=np.nan)])

    assert found["median_translation_m"] is None
    assert found["matches"]["right_share"] is None
    assert found["overlap_bins"] == []
    assert found["confidence_bins"] == []
    assert found["confidence"] == {
        "spearman": None, "precision_recall_auc": 0.0, "calibration_error": None, "reliability": []
    }  # fmt: skip
    json.dumps(found, allow_nan=False)


def test_no_pairs_are_an_error():
    with pytest.raises(NoQueriesError, match="no pairs"):
        summarize_pairs([])
