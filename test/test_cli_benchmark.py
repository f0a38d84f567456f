# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The verb `benchmark`."""

import json
import subprocess
import sys
import time

from benchmark_world import mapfree_tree
from typer.testing import CliRunner

from mast3r_ros.cli import app as cli


def run(*arguments):
    return CliRunner().invoke(cli.app, ["benchmark", *map(str, arguments)], catch_exceptions=False)


def test_a_run_writes_figures_report_and_submission(tmp_path):
    data, out = mapfree_tree(tmp_path / "data"), tmp_path / "run"
    asked = (
        "mapfree",
        "--data",
        data,
        "--front-end",
        "no-motion",
        "--out",
        out,
        "--json",
        tmp_path / "f.json",
    )
    first = run(*asked)
    assert first.exit_code == 0, first.output
    summary = json.loads((out / "summary.json").read_text())
    assert summary == json.loads((tmp_path / "f.json").read_text())
    assert summary["figures"]["queries"] == 4
    assert summary["published"]["MASt3R (paper)"]["vcre_auc"] == 0.934
    assert "0.46" in (out / "report.html").read_text()
    assert (out / "submission.zip").is_file()
    again = run(*asked)
    assert "4 queries are done, 0 are left" in again.stderr
    assert json.loads((out / "summary.json").read_text()) == summary


def test_a_process_that_is_killed_resumes_to_the_figures_of_an_uninterrupted_one(tmp_path):
    data = mapfree_tree(tmp_path / "data", queries=range(0, 20, 5))
    asked = ["mapfree", "--data", data, "--front-end", "sift", "--out"]
    lines = tmp_path / "killed/results.jsonl"
    command = [sys.executable, "-m", "mast3r_ros", "benchmark", *map(str, asked)]
    process = subprocess.Popen(
        [*command, str(tmp_path / "killed")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (lines.is_file() and lines.read_text().count("\n") >= 2):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = lines.read_text().count("\n")
    assert 2 <= done < 8
    resumed = run(*asked, tmp_path / "killed")
    assert f"{done} queries are done, {8 - done} are left" in resumed.stderr
    run(*asked, tmp_path / "whole")
    killed, whole = (
        json.loads((tmp_path / name / "summary.json").read_text()) for name in ("killed", "whole")
    )
    assert killed.pop("seconds") > 0
    assert whole.pop("seconds") > 0
    assert killed == whole


def test_wrong_names_and_runs_are_told(tmp_path):
    data = mapfree_tree(tmp_path / "data")
    for arguments, words in (
        (("aachenn", "--data", data), "no benchmark 'aachenn'; there are mapfree"),
        (("mapfree", "--data", tmp_path / "none"), "is not a folder. Download"),
        (("tum", "--data", "worlds"), "worlds is not a folder. Download"),
    ):
        result = CliRunner().invoke(
            cli.app, ["benchmark", *map(str, arguments), "--front-end", "no-motion"]
        )
        assert words in str(result.exception)
