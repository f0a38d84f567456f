# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Trajectories and queries as files, read back as other tools read them."""

import csv
import json

import numpy as np
import pytest

from mast3r_ros.evaluation.files import OutputError, write_queries, write_trajectory
from mast3r_ros.evaluation.outcome import Outcome
from mast3r_ros.evaluation.report import Row
from mast3r_ros.geometry import transforms

TRUTH = transforms.make(transforms.rotation_from_vector([0.3, -0.2, 0.9]), [1.0, 2.0, 3.0])
POSE = transforms.perturb(TRUTH, [0.3, 0, 0, 0, 0.1, 0])
OUTCOMES = [
    Outcome("a", TRUTH, "localized", "", POSE, 0.01 * np.eye(6), 0.7, 4, 50, 5, {"solve": 0.1},
            stamp=1_500_000_000_123_456_789),
    Outcome("b", TRUTH, "ambiguous", "another pose, as good", stamp=2_000_000_000),
]  # fmt: skip
ROWS = [Row({"recording": "walk", "front_end": "sift"}, OUTCOMES)]


def test_a_trajectory_is_read_back(tmp_path):
    path = tmp_path / "deep" / "poses.txt"

    write_trajectory(path, OUTCOMES)

    (line,) = path.read_text().splitlines()[1:]
    assert line.startswith("1500000000.123456789 ")
    numbers = [float(word) for word in line.split()]
    np.testing.assert_allclose(transforms.from_quaternion(numbers[1:4], numbers[4:]), POSE)


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_a_line_for_each_query(tmp_path, suffix):
    path = tmp_path / f"queries{suffix}"

    write_queries(path, ROWS, truth_covariance=0.01 * np.eye(6))

    if suffix == ".csv":
        with path.open() as stream:
            found = list(csv.DictReader(stream))
    else:
        found = json.loads(path.read_text())
    first, second = found
    assert (first["recording"], first["query"], second["query"]) == ("walk", "a", "b")
    assert float(first["translation_m"]) == pytest.approx(0.3)
    assert float(first["rotation_rad"]) == pytest.approx(0.1)
    assert float(first["nees"]) == pytest.approx(10.0)
    assert float(first["nees_with_truth_sigma"]) == pytest.approx(5.0)
    assert float(first["sigma_translation_m"]) == pytest.approx(np.sqrt(0.03))
    assert float(first["true_z"]) == 3.0
    assert not second["translation_m"]
    assert second["message"] == "another pose, as good"


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"\.csv or \.json"):
        write_queries(tmp_path / "queries.xlsx", ROWS)
