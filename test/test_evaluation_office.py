# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A real walk through an office, by the command line: what must be reached."""

import json

import pytest
from typer.testing import CliRunner

from mast3r_ros.cli.app import app
from mast3r_ros.frontends import create
from mast3r_ros.frontends.base import FrontEndError

# Other tests run every line of it: measuring its coverage again would only take time.
pytestmark = [pytest.mark.slow, pytest.mark.no_cover]


def _evaluate(walk, folder, *options, every=10):
    file = folder / "figures.json"
    arguments = ["evaluate", str(walk), "--every", str(every), "--json", str(file)]
    result = CliRunner().invoke(app, [*arguments, *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(file.read_text())


def _needed(front_end):
    try:
        create(front_end)
    except FrontEndError as error:
        pytest.skip(str(error))


@pytest.fixture
def half_office(office, tmp_path):
    """Every second image of the walk."""
    folder = tmp_path / "half"
    (folder / "rgb").mkdir(parents=True)
    for image in sorted((office / "rgb").iterdir())[::2]:
        (folder / "rgb" / image.name).symlink_to(image)
    for name in ("depth", "groundtruth.txt", "camera_info.yaml"):
        (folder / name).symlink_to(office / name)
    return folder


def test_keyframes_with_depth(office, tmp_path):
    _needed("xfeat")
    figures = _evaluate(office, tmp_path, "--front-end", "xfeat")

    assert figures["queries"] == 56
    assert figures["wrong_accepted"] == 0
    assert figures["within_10cm_2deg"] >= 0.90


def test_keyframes_with_depth_by_sift(half_office, tmp_path):
    """At half of the images, with as many keyframes."""
    figures = _evaluate(half_office, tmp_path, "--front-end", "sift", every=5)

    assert figures["queries"] == 25
    assert figures["wrong_accepted"] == 0
    assert figures["within_10cm_2deg"] >= 0.80


def test_keyframes_without_depth(half_office, tmp_path):
    """At half of the images, with as many keyframes: without depth, each takes twice as long."""
    _needed("xfeat")
    # One keyframe a second look: all of them take three quarters of the time.
    options = ("--front-end", "xfeat", "--no-depth", "--second-look", "0.01")
    figures = _evaluate(half_office, tmp_path, *options, every=5)

    assert figures["queries"] == 25
    assert figures["wrong_accepted"] == 0
    assert figures["within_25cm_5deg"] >= 0.65
