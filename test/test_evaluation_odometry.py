# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Odometry of an evaluation: noise as stated, files as recorded, and histories told apart."""

import json

import bag_world
import numpy as np
import pytest
from evaluation_world import POSES, pose_line, write_tum
from typer.testing import CliRunner

from mast3r_ros.cli import app as cli
from mast3r_ros.datasets import RecordingError, SourceOptions
from mast3r_ros.evaluation.odometry import RecordedOdometry, SimulatedOdometry
from mast3r_ros.evaluation.odometry_options import OdometryOptions
from mast3r_ros.geometry import transforms
from mast3r_ros.localization.window import WindowOptions

_STEP = transforms.perturb(np.eye(4), [0.3, 0.1, 0.0, 0.0, 0.0, 0.2])


def _run(*arguments):
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def _errors(seed, images_a_step, steps=400):
    """Errors of each step of 0.4 s, driven in a number of images."""
    odometry = SimulatedOdometry(WindowOptions(), seed)
    turn = transforms.rotation_vector(_STEP[:3, :3]) / images_a_step
    part = transforms.make(transforms.rotation_from_vector(turn), _STEP[:3, 3] / images_a_step)
    truth, poses, truths = np.eye(4), [], []
    for i in range(steps * images_a_step + 1):
        poses.append(odometry.at(round(0.4e9 * i / images_a_step), truth))
        truths.append(truth)
        truth = truth @ part
    for i in range(0, steps * images_a_step, images_a_step):
        moved = transforms.inverse(poses[i]) @ poses[i + images_a_step]
        yield transforms.difference(
            moved, transforms.inverse(truths[i]) @ truths[i + images_a_step]
        )


@pytest.mark.parametrize("images_a_step", [1, 2, 4])
def test_noise_is_as_stated_however_often_it_is_asked_for(images_a_step):
    errors = np.array(list(_errors(0, images_a_step)))

    sigma = errors.std(axis=0)

    distance = np.linalg.norm(_STEP[:3, 3])
    np.testing.assert_allclose(sigma[:3], 0.02 * distance, rtol=0.15)
    np.testing.assert_allclose(np.rad2deg(sigma[3:]), 0.3, rtol=0.15)


def test_a_seed_repeats_the_noise():
    one, same, other = (np.array(list(_errors(seed, 1, 5))) for seed in (3, 3, 4))

    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-4


def test_a_file_is_interpolated_and_its_gaps_are_not(tmp_path):
    file = tmp_path / "odometry.txt"
    there = transforms.perturb(np.eye(4), [1.0, 0.0, 0.0, 0.0, 0.0, 0.4])
    lines = [f"10.0 {pose_line(np.eye(4))}", f"10.2 {pose_line(there)}", f"11.2 {pose_line(there)}"]
    file.write_text("\n".join(lines) + "\n")

    odometry = RecordedOdometry.of_file(file)

    half = odometry.at(10_100_000_000, np.eye(4))
    np.testing.assert_allclose(half[:3, 3], [0.5, 0.0, 0.0], atol=1e-9)
    assert transforms.rotation_angle(half, np.eye(4)) == pytest.approx(0.2)
    assert odometry.at(10_700_000_000, np.eye(4)) is None
    assert odometry.at(9_000_000_000, np.eye(4)) is None


@pytest.mark.parametrize(("window", "odometry"), [(5, ""), (1, "truth")])
def test_a_window_needs_odometry(window, odometry):
    with pytest.raises(ValueError, match="--window 5 --odometry truth"):
        OdometryOptions(window=window, odometry=odometry)


def test_evaluate_reports_full_windows_and_shorter_histories_apart(tmp_path):
    walk = write_tum(tmp_path / "walk")
    common = ["evaluate", walk, "--every", 4, "--front-end", "sift", "--window", 3]

    printed = _run(*common, "--odometry", "truth", "--json", tmp_path / "truth.json")
    odometry = tmp_path / "odometry.txt"
    moved = transforms.perturb(np.eye(4), [4.0, 1.0, 0.0, 0.0, 0.0, 2.0])
    odometry.write_text("\n".join(f"{i / 2} {pose_line(moved @ p)}" for i, p in enumerate(POSES)))
    queries = tmp_path / "queries.json"
    _run(*common, "--odometry", odometry, "--queries", queries)

    figures = json.loads((tmp_path / "truth.json").read_text())
    # Images 1, 2, 3, 5 and 6 are queries: the first two have fewer than two before them.
    assert figures["full_window"]["queries"] == 3
    assert figures["shorter_history"]["queries"] == 2
    assert figures["full_window"]["within_5cm_1deg"] == 1.0
    assert figures["full_window"]["not_within_25cm_5deg"] == 0
    assert figures["odometry"]["odometry_noise"] == 0.02
    assert figures["odometry"]["seed"] == 0
    assert "a shorter history" in printed
    records = json.loads(queries.read_text())
    assert [record["history"] for record in records] == [1, 2, 3, 3, 3]
    assert max(record["translation_m"] for record in records) < 0.02
    filtered = figures["filtered"]
    # The third image is the first one that three agree at.
    assert filtered["seconds_to_first_fix"] == pytest.approx(1.0)
    assert filtered["ate_m"] < 0.02
    assert filtered["coverage"] == 1.0
    assert "Filtered trajectory" in printed


_MOVED = transforms.perturb(np.eye(4), [4.0, 1.0, 0.0, 0.0, 0.0, 2.0])
_SOURCE = SourceOptions(image_topic="/camera/image_raw")
_BODY_LENS = transforms.perturb(np.eye(4), [0.2, 0.0, 0.5, 0.0, 0.3, 0.0])


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """A bag with TF map -> base -> lens, and odometry of the base in a frame of its own."""

    def messages():
        step = bag_world.STEP
        yield from bag_world.tf_messages("/tf_static", ("base", "lens", _BODY_LENS, step))
        yield from bag_world.frames(4)
        for i in range(4):
            stamp, base = (i + 1) * step, POSES[i] @ transforms.inverse(_BODY_LENS)
            yield from bag_world.tf_messages("/tf", ("map", "base", base, stamp))
            yield "/odom", "nav_msgs/msg/Odometry", stamp, bag_world.odometry(_MOVED @ base, stamp)

    return bag_world.write(tmp_path_factory.mktemp("odometry") / "bag", messages())


def test_a_topic_of_a_bag_is_taken_to_the_camera_in_its_own_frame(bag):
    odometry = OdometryOptions(window=3, odometry="/odom").open(0, bag, _SOURCE)

    for i in (0, 3):
        found = odometry.at((i + 1) * bag_world.STEP, np.eye(4))
        np.testing.assert_allclose(found, _MOVED @ POSES[i], atol=1e-6)


def test_a_topic_that_is_not_there_is_named(bag):
    with pytest.raises(RecordingError, match="/wheels"):
        OdometryOptions(window=3, odometry="/wheels").open(0, bag, _SOURCE)
