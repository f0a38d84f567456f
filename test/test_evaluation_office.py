# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A real walk through an office, by the command line: what must be reached."""

import json

import pytest
from typer.testing import CliRunner

from mast3r_ros.cli.app import app
from mast3r_ros.frontends import create
from mast3r_ros.frontends.base import FrontEndError

# Other tests run every line of it: coverage would take its time for nothing.
pytestmark = [pytest.mark.slow, pytest.mark.no_cover]


def _evaluate(office, folder, *options):
    file = folder / "figures.json"
    arguments = ["evaluate", str(office), "--every", "10", "--json", str(file)]
    result = CliRunner().invoke(app, [*arguments, *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(file.read_text())


def _needed(front_end):
    try:
        create(front_end)
    except FrontEndError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("front_end", "least"), [("xfeat", 0.90), ("sift", 0.80)])
def test_keyframes_with_depth(office, tmp_path, front_end, least):
    _needed(front_end)
    figures = _evaluate(office, tmp_path, "--front-end", front_end)

    assert figures["queries"] == 56
    assert figures["wrong_accepted"] == 0
    assert figures["within_10cm_2deg"] >= least


def test_keyframes_without_depth(office, tmp_path):
    _needed("xfeat")
    # One keyframe a second look: all of them take three quarters of the time.
    options = ("--front-end", "xfeat", "--no-depth", "--second-look", "0.01")
    figures = _evaluate(office, tmp_path, *options)

    assert figures["wrong_accepted"] == 0
    assert figures["within_25cm_5deg"] >= 0.65
