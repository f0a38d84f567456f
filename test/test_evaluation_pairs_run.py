# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pairs through the whole product, by the library and by the verb."""

import itertools
import json
import sys

import numpy as np
import pytest
from evaluation_world import write_tum
from synthetic import ROOM, camera_pose, view
from typer.testing import CliRunner

from mast3r_ros.cli import app as cli
from mast3r_ros.datasets import open_dataset
from mast3r_ros.datasets.pairs import recorded_pairs
from mast3r_ros.datasets.recording import PosedImage, PosedPair
from mast3r_ros.datasets.worlds import rendered_pairs
from mast3r_ros.evaluation.pairs import GUESS, guess, localize_pairs, summarize_pairs
from mast3r_ros.frontends import create
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.overlap import overlap
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.matching.correspondences import Correspondences


def _pair(x, turn=0.0, z=0.0):
    """From the origin, and from a place beside it."""
    pose = camera_pose(x=x, z=z, turn=turn)
    return PosedPair(f"{x}", view(camera_pose()), view(pose, depth=False), pose, 0.7)


PAIRS = [_pair(0.15), _pair(0.3, 0.05), _pair(0.2, -0.05, 0.1)]


@pytest.fixture(scope="module")
def sift():
    return create("sift")


def _outcomes(pairs, front_end, options=None, depth=True):
    found = localize_pairs(pairs, {"it": front_end}, options, depth)
    return [attempt.outcome for _, attempt in found]


def test_pairs_with_depth(sift):
    outcomes = _outcomes(PAIRS, sift)

    assert [o.name for o in outcomes] == ["0.15", "0.3", "0.2"]
    found = summarize_pairs(outcomes)
    assert found["within_10cm_2deg"] == 1.0
    assert found["wrong_accepted"] == 0
    assert found["metric_ratio"] == pytest.approx(1.0, abs=0.05)
    assert found["auc_20deg"] > 0.8
    matches = found["matches"]
    assert matches["median_count"] > 100
    assert matches["median_px"] < 0.5
    assert matches["median_of_side"] == pytest.approx(matches["median_px"] / 320)
    assert matches["right_share"] > 0.8
    assert matches["kept_right_share"] >= matches["right_share"]
    assert found["latency_ms"]["total"] > 0


def test_without_depth_one_keyframe_gives_the_direction(sift):
    found = summarize_pairs(_outcomes(PAIRS, sift, depth=False))

    assert found["localized"] == 0.0
    assert found["refusals"] == {"direction_only": 3}
    assert found["auc_20deg"] > 0.5
    # The truth about the matches is known all the same.
    assert found["matches"]["median_px"] < 0.5


def test_the_guess_of_no_motion():
    found = summarize_pairs([guess(pair) for pair in PAIRS])

    assert found["localized"] == 1.0
    assert found["median_translation_m"] == pytest.approx(np.hypot(0.2, 0.1))
    assert found["median_rotation_deg"] == pytest.approx(np.rad2deg(0.05))


def test_what_the_checks_refuse_is_known_all_the_same(sift):
    strict = RelocalizerOptions(min_inliers=10_000)

    found = summarize_pairs(_outcomes(PAIRS, sift, strict))

    assert found["localized"] == 0.0
    assert found["unchecked"]["within_10cm_2deg"] == 1.0


class _Wrong:
    """A front end whose matches are off by (3, 4) pixels, or lead behind the query."""

    def __init__(self, sift):
        self._sift = sift
        self.name, self.min_inliers, self.min_inlier_ratio = "wrong", 10, 0.1

    def pixel_error_scale(self, size):
        return 1.0

    def describe(self, frame):
        return self._sift.describe(frame)

    def match(self, references, query, *, query_points=False):
        pixels = np.array([(u, v) for u in range(60, 200, 10) for v in (60, 100)], np.float32)
        points = np.full((len(pixels), 3), np.nan, np.float32)
        return [
            Correspondences(
                pixels,
                pixels + np.float32((3, 4)),
                np.ones(len(pixels), np.float32),
                points,
                points[:, 0],
                metric=False,
            )
        ]


def test_match_errors_are_pixels_of_the_original_image(sift):
    still = PosedPair("still", view(camera_pose()), view(camera_pose()), np.eye(4), 1.0)
    beyond = camera_pose(z=5.0)
    passed = PosedPair("passed", view(camera_pose()), view(camera_pose()), beyond, 0.0)

    one, two = (o.matches for o in _outcomes([still, passed], _Wrong(sift)))
    assert one.known.sum() > 20
    np.testing.assert_allclose(one.pixels[one.known], 5.0, atol=1e-3)
    # What is behind the query is as far off as its image is large.
    np.testing.assert_array_equal(two.pixels[two.known], np.hypot(320, 240))


def test_pairs_of_a_recording_are_spread_over_the_overlap(tmp_path):
    recording = list(open_dataset(write_tum(tmp_path / "walk")))

    pairs = recorded_pairs(recording, 20, seed=0, min_overlap=0.5)
    again = recorded_pairs(recording, 20, seed=0, min_overlap=0.5)
    others = recorded_pairs(recording, 20, seed=1, min_overlap=0.5)

    names = [p.name for p in pairs]
    assert len(set(names)) == 20
    assert names == [p.name for p in again]
    assert names != [p.name for p in others]
    overlaps = np.array([p.overlap for p in pairs])
    assert overlaps.min() >= 0.5
    assert overlaps.max() < 0.95
    assert len(np.unique(np.floor((overlaps - 0.5) / 0.1))) >= 3
    poses = {image.name: image.pose for image in recording}
    for pair in pairs:
        a, b = (poses[name] for name in pair.name.split(", "))
        np.testing.assert_allclose(a @ pair.motion, b, atol=1e-9)


def test_a_recording_without_depth_or_overlap_is_told():
    def images(*places, depth=True):
        return [
            PosedImage(f"{x}", camera_pose(x=x), lambda _, x=x: view(camera_pose(x=x), ROOM, depth))
            for x in places
        ]

    with pytest.raises(ValueError, match="without"):
        recorded_pairs(images(0.0, 0.1, depth=False), 5, 0, 0.1)
    with pytest.raises(ValueError, match="--min-overlap"):
        recorded_pairs(images(0.0, 30.0), 5, 0, 0.1)


def _run(*arguments):
    result = CliRunner().invoke(cli.app, ["evaluate", "pairs", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result


def test_the_verb_on_a_recording(tmp_path):
    figures, page = tmp_path / "figures.json", tmp_path / "page.html"
    folder = write_tum(tmp_path / "walk")

    done = _run(folder, "--front-end", "sift", "--count", 6, "--json", figures, "--report", page,
                "--min-overlap", 0.5)  # fmt: skip

    found = json.loads(figures.read_text())
    by_name = {row["front_end"]: row for row in found["rows"]}
    assert set(by_name) == {GUESS, "sift"}
    assert by_name["sift"]["within_50cm_10deg"] == 1.0
    assert by_name["sift"]["queries"] == 6
    assert by_name["sift"]["recording"] == str(folder)
    assert (found["depth"], found["min_overlap"]) == (True, 0.5)
    assert found["options"]["pose_method"] == "pnp"
    assert "within 50 cm, 10°" in done.stderr
    assert "sift: matches by confidence" in done.stderr
    text = page.read_text()
    assert "sift: by overlap" in text
    assert text.count("<figure>") == 8
    assert "quantiles of NEES against chi-square" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["worlds", "--front-end", "sift=file"], "only mast3r takes a checkpoint"),
        (["worlds", "--front-end", "surf"], "no front end 'surf'"),
        (["worlds", "--size", "big"], "size 'big'"),
    ],
)
def test_errors_of_the_user_are_one_line(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(
        sys, "argv", ["mast3r_ros", "evaluate", "pairs", "--front-end", "sift", *arguments]
    )

    with pytest.raises(SystemExit):
        cli.main()

    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def rendered():
    """Four small pairs of held-out rooms."""
    pytest.importorskip("moderngl")
    from mast3r_ros.training.worlds.renderer import NoOpenGL
    from mast3r_ros.training.worlds.textures import TexturesMissing

    try:
        return list(itertools.islice(rendered_pairs(3, (160, 120), 0.5), 4))
    except (NoOpenGL, TexturesMissing) as error:
        pytest.skip(str(error))


def test_rendered_pairs_tell_the_truth(rendered):
    """What one view sees lies, by depth and pose, where the other one measures it."""
    for pair in rendered:
        assert pair.overlap >= 0.5
        assert pair.reference.size == (160, 120)
        shared = overlap(
            pair.reference.depth,
            pair.query.depth,
            pair.reference.camera,
            pair.query.camera,
            transforms.inverse(pair.motion),
        )
        assert shared == pytest.approx(pair.overlap, abs=0.05)


def test_rendered_pairs_go_through_the_product(rendered, sift):
    found = summarize_pairs(_outcomes(rendered, sift))

    assert summarize_pairs([guess(pair) for pair in rendered])["within_10cm_2deg"] < 0.5
    assert found["wrong_accepted"] == 0
    assert found["matches"]["within_10px"] > 0.3
