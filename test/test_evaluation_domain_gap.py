# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The domain gap: nothing between equal images, and what was changed has the gap that it must."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from evaluation_world import write_tum
from training_pairs import make_pair
from typer.testing import CliRunner

from mast3r_ros.cli.app import app
from mast3r_ros.datasets import worlds
from mast3r_ros.datasets.recording import PosedPair
from mast3r_ros.datasets.worlds import _posed
from mast3r_ros.evaluation.domain_gap import UNITS, collect, compare, gap_table, mean_gap


@pytest.fixture(scope="module")
def pairs() -> list[PosedPair]:
    return [_posed(i, make_pair(i, side=160)) for i in range(6)]


def _changed(pairs, change):
    """The pairs with both images changed."""
    return [
        replace(
            pair,
            reference=replace(pair.reference, image=change(pair.reference.image)),
            query=replace(pair.query, image=change(pair.query.image)),
        )
        for pair in pairs
    ]


def test_a_recording_has_no_gap_to_itself(pairs):
    found = compare(collect(pairs), collect(pairs))
    assert found.keys() == UNITS.keys()
    assert mean_gap(found)[0] == pytest.approx(0, abs=1e-9)
    assert all(gap.recording == gap.worlds for gap in found.values())


@pytest.mark.parametrize(
    ("change", "statistic", "sign"),
    [
        (lambda image: image // 2, "brightness", -1),
        (lambda image: image // 2, "contrast", -1),
        (lambda image: cv2.GaussianBlur(image, (0, 0), 2), "sharpness", -1),
        (lambda image: cv2.GaussianBlur(image, (0, 0), 2), "gradient", -1),
        (lambda image: np.full_like(image, 90), "bare patches", 1),
        (lambda image: np.full_like(image, 5), "too dark", 1),
        (lambda image: np.full_like(image, 250), "too bright", 1),
        (lambda image: np.repeat(image[..., :1], 3, 2), "saturation", -1),
        (
            lambda image: cv2.add(
                image, np.random.default_rng(0).integers(0, 30, image.shape, np.uint8)
            ),
            "noise",
            1,
        ),
    ],
)
def test_a_change_shows_in_its_statistic(pairs, change, statistic, sign):
    gap = compare(collect(_changed(pairs, change)), collect(pairs))[statistic]
    assert sign * (gap.recording[1] - gap.worlds[1]) > 0
    assert gap.distance > 0.4


def test_depth_and_motion_have_statistics(pairs):
    found = collect(pairs)
    median = np.median(pairs[0].reference.depth)
    assert np.median(found["depth"]) == pytest.approx(median, rel=0.2)
    assert found["baseline"][0] == pytest.approx(
        np.linalg.norm(pairs[0].motion[:3, 3]) / median, rel=1e-3
    )
    blind = [
        replace(p, reference=replace(p.reference, depth=None), query=replace(p.query, depth=None))
        for p in pairs
    ]
    assert "depth" not in compare(collect(blind), found)
    assert gap_table({"worlds 1": compare(collect(blind), found)}).rows[-1][0] == "mean"


def test_the_command_compares_with_each_version(tmp_path, monkeypatch, pairs):
    asked = []

    def rendered(seed, size, min_overlap, version):
        asked.append((version, tuple(size)))
        return iter(pairs)

    monkeypatch.setattr(worlds, "rendered_pairs", rendered)
    write_tum(tmp_path / "recording")
    file = tmp_path / "gap.json"
    arguments = ["evaluate gap", str(tmp_path / "recording"), "--count", "3", "--json", str(file)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert asked == [(1, (160, 120)), (2, (160, 120))]
    found = json.loads(file.read_text())
    assert found["worlds 1"]["contrast"] == found["worlds 2"]["contrast"]
    assert 0 <= found["worlds 1"]["contrast"]["distance"] <= 1
